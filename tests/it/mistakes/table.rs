//! The mistakes: how each is made, and what is told of it.

/// A mistake in the configuration: the file or the start says so.
pub(crate) struct AtStart {
    pub(crate) what: &'static str,
    /// The configuration; `DIR` is the directory, `ADDR` and `PORT` a free address.
    pub(crate) file: &'static str,
    /// What the log says: cause, cure and setting.
    pub(crate) told: &'static str,
}

const fn at_start(what: &'static str, file: &'static str, told: &'static str) -> AtStart {
    AtStart { what, file, told }
}

pub(crate) const AT_START: [AtStart; 24] = [
    at_start(
        "a setting is mistyped",
        "servers = ( { websocket = { alow = \"x\"; }; } );",
        "unknown setting 'alow' in websocket (did you mean 'allow'?)",
    ),
    at_start(
        "a setting stands in the wrong section",
        "servers = ( { origins = \"*\"; websocket = { }; } );",
        "unknown setting 'origins' in servers (it belongs in websocket)",
    ),
    at_start(
        "a value has the wrong type",
        "servers = ( { port = \"http\"; websocket = { }; } );",
        "'port' takes a whole number, not a string",
    ),
    at_start(
        "a string has no quotes",
        "servers = ( { websocket = { docroot = /run; }; } );",
        "a string stands in double quotes: \"/run\"",
    ),
    at_start(
        "a number is out of bounds",
        "servers = ( { port = 80800; websocket = { }; } );",
        "'port' is 80800, but must be from 0 to 65535",
    ),
    at_start(
        "a bracket is not closed",
        "servers = ( { websocket = { };",
        "this '(' is never closed with ')'",
    ),
    at_start(
        "there is no server",
        "user = \"root\";",
        "there is no server: servers = (",
    ),
    at_start(
        "docroot is missing",
        "servers = ( { addr = \"ADDR\"; port = PORT; websocket = { docroot = \"DIR/no\"; }; } );",
        "nothing in 'docroot' can be served: ",
    ),
    at_start(
        "the user is unknown",
        "user = \"nobody-here\"; servers = ( { websocket = { }; } );",
        "user = \"nobody-here\": there is no user 'nobody-here' on this machine",
    ),
    at_start(
        "the address is not of this machine",
        "servers = ( { addr = \"192.0.2.1\"; port = PORT; websocket = { docroot = \"DIR\"; }; } );",
        "is no address of this machine yet; clients are served when it is",
    ),
    at_start(
        "two servers have one address",
        "servers = ( { addr = \"ADDR\"; port = PORT; websocket = { }; }, { addr = \"ADDR\"; port = PORT; websocket = { }; } );",
        "like server 1",
    ),
    at_start(
        "direct mode with tls",
        "servers = ( { tls = { crtfile = \"DIR/c\"; }; websocket = { options = \"direct\"; }; } );",
        "'direct' cannot go with tls",
    ),
    at_start(
        "a word is unknown",
        "servers = ( { websocket = { framing = \"lines\"; }; } );",
        "did you mean 'line'?",
    ),
    at_start(
        "an origin is a URL",
        "servers = ( { websocket = { origins = \"http://a.example\"; }; } );",
        "an origin is given as its host alone",
    ),
    at_start(
        "a link leads nowhere",
        "servers = ( { websocket = { links = ( { origin = \"a\"; } ); }; } );",
        "links needs 'destination', such as destination = ",
    ),
    at_start(
        "a filter of the C gateway is not known",
        "servers = ( { clientfilter = { }; websocket = { }; } );",
        "ignore = \"clientfilter\"",
    ),
    at_start(
        "deny refuses all that allow lets in",
        "servers = ( { addr = \"ADDR\"; port = PORT; websocket = { docroot = \"DIR\"; allow = \"a\"; deny = \"*\"; }; } );",
        "denylast = true; lets in those that 'allow' matches",
    ),
    at_start(
        "metrics are for everybody",
        "metrics = \"0.0.0.0:9180\"; servers = ( { websocket = { }; } );",
        "metrics have no login: a loopback address",
    ),
    at_start(
        "a certificate is missing",
        "servers = ( { addr = \"ADDR\"; port = PORT; tls = { crtfile = \"DIR/c.pem\"; keyfile = \"DIR/k.pem\"; }; websocket = { docroot = \"DIR\"; }; } );",
        "c.pem, a file of 'tls': no such file or directory; 'openssl req -x509 ",
    ),
    at_start(
        "the file of users is missing",
        "servers = ( { addr = \"ADDR\"; port = PORT; auth = { type = \"Basic\"; file = \"DIR/users\"; }; websocket = { docroot = \"DIR\"; }; } );",
        "users, a file of auth: no such file or directory",
    ),
    at_start(
        "the password is empty",
        "servers = ( { auth = { type = \"Basic\"; user = \"anna\"; passwd = \"\"; }; websocket = { }; } );",
        "'passwd' is empty",
    ),
    at_start(
        "'group' is meant to limit who comes in",
        "servers = ( { addr = \"ADDR\"; port = PORT; auth = { type = \"Basic\"; file = \"DIR/users\"; group = \"admins\"; }; websocket = { docroot = \"DIR\"; }; } );",
        "'group' has no effect beside 'file': 'groups' says who may come in",
    ),
    at_start(
        "nobody is in 'groups'",
        "servers = ( { addr = \"ADDR\"; port = PORT; auth = { type = \"Basic\"; user = \"anna\"; passwd = \"x\"; groups = \"admins\"; }; websocket = { docroot = \"DIR\"; }; } );",
        "nobody can come in, since no user is in its list, or in its 'groups'",
    ),
    at_start(
        "the log file has no directory",
        "log-file = \"DIR/no/log\"; servers = ( { addr = \"ADDR\"; port = PORT; websocket = { docroot = \"DIR\"; }; } );",
        "cannot open the log file",
    ),
];

/// A mistake that a client meets.
pub(crate) struct Met {
    pub(crate) what: &'static str,
    /// The first line of the request, without its version; empty for `TLS`.
    pub(crate) line: &'static str,
    /// Header lines beside those of a handshake, or in their place; an empty value takes one away.
    pub(crate) headers: &'static [&'static str],
    /// What the log says.
    pub(crate) told: &'static str,
    /// What the answer says.
    pub(crate) answer: &'static str,
    /// What the last line of `-S explain` names.
    pub(crate) setting: &'static str,
}

/// The settings that the requests below meet.
pub(crate) const SETTINGS: &str = "deny = \"secret\"; protocols = \"mqtt\"; \
    links = ( { origin = \"away\"; destination = \"DIR/none\"; }, \
    { origin = \"modem\"; type = \"tty\"; destination = \"DIR/none\"; }, \
    { origin = \"users\"; destination = \"DIR/run/echo\"; \
      auth = { type = \"Basic\"; user = \"root\"; passwd = \"x\"; }; }, \
    { origin = \"asked\"; destination = \"DIR/run/echo\"; \
      auth = { type = \"rpc\"; address = \"unix:/nowhere/login\"; }; } );";

pub(crate) const MET: [Met; 25] = [
    Met {
        what: "the name of the service is mistyped",
        line: "GET /ecco",
        headers: &[],
        told: "404, no service ecco; there is no socket of that name in 'docroot', and no entry of 'links'",
        answer: "404 Not Found: there is no such service",
        setting: "docroot, links",
    },
    Met {
        what: "the name is not allowed",
        line: "GET /secret",
        headers: &[],
        told: "403, name not allowed: secret; 'allow' and 'deny' say which names are served",
        answer: "403 Forbidden: this name is not served",
        setting: "allow, deny",
    },
    Met {
        what: "the server of the service does not run",
        line: "GET /dead",
        headers: &[],
        told: "503, service not available: dead: connection refused; its server must run",
        answer: "503 Service Unavailable: the service is not available, try again",
        setting: "docroot, links, user: the backend must run",
    },
    Met {
        what: "a link leads to a socket that is not there",
        line: "GET /away",
        headers: &[],
        told: "503, service not available: away: no such file or directory; its server must run",
        answer: "503 Service Unavailable: the service is not available, try again",
        setting: "docroot, links, user: the backend must run",
    },
    Met {
        what: "a link leads to a serial line that is not there",
        line: "GET /modem",
        headers: &[],
        told: "503, service not available: modem: no such file or directory; the device must be there",
        answer: "503 Service Unavailable: the service is not available, try again",
        setting: "docroot, links, user: the backend must run",
    },
    Met {
        what: "the address names no service",
        line: "GET /",
        headers: &[],
        told: "404, no service at /; an entry of 'links' with origin = \"\" serves it",
        answer: "404 Not Found: there is no such service",
        setting: "docroot, links",
    },
    Met {
        what: "the page comes from another host",
        line: "GET /echo",
        headers: &["Origin: http://www.example.org"],
        told: "for /echo (origins = \"www.example.org\" would let it in)",
        answer: "403 Forbidden: pages of this origin may not connect",
        setting: "origins",
    },
    Met {
        what: "the page comes from another port of the router",
        line: "GET /echo",
        headers: &["Host: router.lan:8080", "Origin: http://router.lan"],
        told: "(origins = \"same-host\" would let it in)",
        answer: "403 Forbidden: pages of this origin may not connect",
        setting: "origins",
    },
    Met {
        what: "the page is in a sandbox",
        line: "GET /echo",
        headers: &["Origin: null"],
        told: "(origins = \"null\" would let it in)",
        answer: "403 Forbidden: pages of this origin may not connect",
        setting: "origins",
    },
    Met {
        what: "the page was opened from a file",
        line: "GET /echo",
        headers: &["Origin: file://"],
        told: "(origins = \"file\" would let it in)",
        answer: "403 Forbidden: pages of this origin may not connect",
        setting: "origins",
    },
    Met {
        what: "the router is reached by a name it does not know",
        line: "GET /echo",
        headers: &["Host: gw.example.org", "Origin: http://gw.example.org"],
        told: "421, not a name of this server ('hostname' lists them): gw.example.org, for /echo",
        answer: "421 Misdirected Request: this server does not go by this name",
        setting: "hostname",
    },
    Met {
        what: "the client speaks an old version",
        line: "GET /echo",
        headers: &["Sec-WebSocket-Version: 8"],
        told: "426, bad WebSocket version 8; a client must speak version 13",
        answer: "426 Upgrade Required: only WebSocket version 13 is spoken here",
        setting: "none: the client",
    },
    Met {
        what: "the handshake has no key",
        line: "GET /echo",
        headers: &["Sec-WebSocket-Key:"],
        told: "400, no Sec-WebSocket-Key; a client must send 16 bytes in base64",
        answer: "400 Bad Request: Sec-WebSocket-Key must be 16 bytes in base64",
        setting: "none: the client",
    },
    Met {
        what: "a subprotocol is offered twice",
        line: "GET /echo",
        headers: &["Sec-WebSocket-Protocol: mqtt, mqtt"],
        told: "400, bad subprotocol mqtt; a client must offer tokens, each once",
        answer: "400 Bad Request: Sec-WebSocket-Protocol must list different tokens",
        setting: "none: the client",
    },
    Met {
        what: "none of the subprotocols is listed",
        line: "GET /echo",
        headers: &["Sec-WebSocket-Protocol: chat"],
        told: "echo: none of the subprotocols offered (chat) is chosen, so that a browser gives up; 'protocols' lists those",
        answer: "101 Switching Protocols",
        setting: "protocols",
    },
    Met {
        what: "a service is opened as a page",
        line: "GET /echo",
        headers: &[
            "Upgrade:",
            "Connection:",
            "Sec-WebSocket-Key:",
            "Sec-WebSocket-Version:",
        ],
        told: "426, no upgrade, of the service /echo",
        answer: "426 Upgrade Required: this is a WebSocket service",
        setting: "none: the client must ask for a WebSocket",
    },
    Met {
        what: "a page is asked for and none is served",
        line: "GET /index.html",
        headers: &[
            "Upgrade:",
            "Connection:",
            "Sec-WebSocket-Key:",
            "Sec-WebSocket-Version:",
        ],
        told: "426, only WebSocket connections are served here; a page or a program opens it by ws://",
        answer: "426 Upgrade Required: only WebSocket connections are served here",
        setting: "document",
    },
    Met {
        what: "a proxy in front takes the upgrade away",
        line: "GET /echo",
        headers: &["Upgrade:", "Connection: close"],
        told: "426, the proxy in front does not pass WebSocket on; nginx does with: proxy_http_version 1.1",
        answer: "426 Upgrade Required: the proxy in front does not pass WebSocket on",
        setting: "the proxy in front",
    },
    Met {
        what: "a proxy or program sends no Host",
        line: "GET /echo",
        headers: &["Host:"],
        told: "400, malformed request: no Host",
        answer: "400 Bad Request: no Host",
        setting: "none: the client",
    },
    Met {
        what: "a request has content",
        line: "GET /echo",
        headers: &["Content-Length: 5"],
        told: "400, a request with content is not taken here",
        answer: "400 Bad Request: a request with content is not taken here",
        setting: "none: the client",
    },
    Met {
        what: "the cookies are too many",
        line: "GET /echo",
        headers: &["Cookie: LONG"],
        told: "431, the request head is too large; 'headsize' is the limit",
        answer: "431 Request Header Fields Too Large: the request head is too large",
        setting: "headsize",
    },
    Met {
        what: "the address is too long",
        line: "GET /LONG",
        headers: &[],
        told: "414, the address is too long; 'headsize' is the limit",
        answer: "414 URI Too Long: the address is too long",
        setting: "headsize",
    },
    Met {
        what: "the password is wrong",
        line: "GET /users",
        headers: &["Authorization: Basic cm9vdDp5"],
        told: "401, wrong password, or no such user: root",
        answer: "401 Unauthorized: the user or the password is wrong",
        setting: "auth",
    },
    Met {
        what: "the program that checks logins does not run",
        line: "GET /asked",
        headers: &["Authorization: Basic eDp5"],
        told: "503, login not checked: unix:/nowhere/login: no such file or directory; the program at 'address' of auth must run and answer",
        answer: "503 Service Unavailable: the login cannot be checked now, try again",
        setting: "address (auth)",
    },
    Met {
        what: "wss:// or https:// leads to a plain port",
        line: "",
        headers: &[],
        told: "400, malformed request: this port does not speak TLS",
        answer: "400 Bad Request: this port does not speak TLS",
        setting: "tls",
    },
];
