"""The log as systemd's own journald stores it: one in a mount namespace, which needs root."""

import json
import os
import pathlib
import subprocess

import pytest

import conftest
from conftest import DEADLINE, free_address

JOURNALD = pathlib.Path("/usr/lib/systemd/systemd-journald")

# A journald that knows nothing of this machine's, and the program with its standard error as a unit
# has it: JOURNAL_STREAM (systemd.exec(5)) names the stream. Prints all lines as JSON.
SCRIPT = """
set -e
mount -t tmpfs journal /run
mkdir -p /run/log/journal /run/systemd/journal
until_there() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt "$DEADLINE" ]
        sleep 1
    done
}
"$JOURNALD" >/dev/null 2>&1 &
journald=$!
trap 'kill $journald' EXIT
until_there test -S /run/systemd/journal/stdout
lines() { journalctl --directory=/run/log/journal -t ouistiti --no-pager "$@"; }
systemd-cat -t ouistiti sh -c '
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"' sh "$@" &
daemon=$!
has() { lines | grep -q "$1"; }
until_there has 'listening on'
kill "$daemon"
until_there has 'stopping'
lines -o json
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
@pytest.mark.skipif(not JOURNALD.exists(), reason="no systemd-journald here")
def test_journald_has_each_line_with_its_severity_and_the_name_once(tmp_path):
    host, port = free_address()
    config = tmp_path / "conf"
    config.write_text(f"""
        init_d = "/nonexistent";
        servers = ( {{ addr = "{host}"; port = {port}; websocket = {{ docroot = "/tmp"; }}; }} );
    """)
    command = ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", *conftest.GATEWAY, "-f", config]
    environment = {**os.environ, "JOURNALD": str(JOURNALD), "DEADLINE": str(DEADLINE)}
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in text.splitlines()]
    told = [(line["PRIORITY"], line["SYSLOG_IDENTIFIER"], line["MESSAGE"]) for line in lines]
    warning, start, end = told
    assert warning[:2] == ("4", "ouistiti") and warning[2].startswith("no program of init_d is run")
    assert start[:2] == ("6", "ouistiti") and start[2].startswith(f"listening on http://{host}:{port}")
    assert end == ("6", "ouistiti", "stopping")
