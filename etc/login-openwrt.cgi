#!/bin/sh
# Tells the gateway who is signed in to LuCI (login-openwrt.conf), by the session in LuCI's cookie.

sessions=$(printf '%s' "$HTTP_COOKIE" | tr -d ' ' | tr ';' '\n' |
    sed -n 's/^sysauth[_a-z]*=\([0-9a-f]\{32\}\)$/\1/p')
for session in $sessions; do
    user=$(ubus call session get "{\"ubus_rpc_session\":\"$session\",\"keys\":[\"username\"]}" |
        jsonfilter -e '@.values.username')
    [ -n "$user" ] || continue
    printf 'Status: 200 OK\r\nRemote-User: %s\r\nContent-Length: 0\r\n\r\n' "$user"
    exit
done 2>/dev/null
printf 'Status: 403 Forbidden\r\nContent-Length: 0\r\n\r\n'
