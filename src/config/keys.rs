//! Every key of the configuration, written once.
//!
//! From here come the checks, the defaults, the messages, the example file
//! in etc/, the manual page and the list in `ouistiti -h`.

pub(crate) use super::document_keys::{DEFAULTPAGE, DOCUMENT_ROOT, DOCUMENT_SECTION};

use super::choices::{CLIENTAUTHS, FRAMETYPES, FRAMINGS, LINK_TYPES, PROXIES};
use super::schema::{Key, NEEDED, Section, words};

/// What stands at the top of the file.
pub(crate) static ROOT: Section = Section {
    name: "the file",
    keys: &[
        &USER, &PID_FILE, &LOG_FILE, &CONFIG_D, &INIT_D, &LANDLOCK, &SERVERS,
    ],
    inherited: &[],
    foreign: &[
        ("mimetypes", "content types are built in"),
        ("modules", "nothing is loaded"),
        ("createconfig", ""),
    ],
};

pub(crate) static USER: Key = Key::optional(
    "user",
    "User to become once the sockets are bound and the secrets read. Its groups, \
     group and user id are taken for good; an unknown user ends the start.",
)
.absent("stay as started", "nobody");
pub(crate) static PID_FILE: Key = Key::optional(
    "pid-file",
    "File that holds the process id while the daemon runs. 'ouistiti -K' reads it.",
)
.absent("none", "/var/run/ouistiti.pid");
pub(crate) static LOG_FILE: Key = Key::optional("log-file", "File to append the log to.").absent(
    "syslog, or standard error in the foreground",
    "/var/log/ouistiti.log",
);
pub(crate) static CONFIG_D: Key = Key::optional(
    "config_d",
    "Directory whose files *.conf bring more servers. They are read in the order of \
     their names, and only for their 'servers'.",
)
.absent("none", "/etc/ouistiti.d");
pub(crate) static INIT_D: Key = Key::optional(
    "init_d",
    "Directory whose executables are run before serving, to start backends. They \
     get the argument 'start', and 'stop' at the end.",
)
.absent("none", "/etc/ouistiti.init.d");
pub(crate) static LANDLOCK: Key = Key::flag(
    "landlock",
    "Once it serves, the kernel keeps the daemon to the files named here, where it has \
     Landlock. The manual of ouistiti tells what a reload can then not do.",
);
pub(crate) static SERVERS: Key = Key::list(
    &SERVER,
    "The servers, each with its address and what it serves.",
)
.absent(NEEDED, "")
.in_smallest_file();

/// One element of `servers`.
pub(crate) static SERVER: Section = Section {
    name: "servers",
    keys: &[
        &HOSTNAME,
        &ADDR,
        &PORT,
        &MAXCLIENTS,
        &KEEPALIVETIMEOUT,
        &MAXPERIP,
        &TRUSTED,
        &TLS,
        &WEBSOCKET,
        &DOCUMENT,
    ],
    inherited: &[],
    foreign: &[
        ("auth", "nobody has to log in here"),
        ("authz", "nobody has to log in here"),
        ("authn", "nobody has to log in here"),
        ("clientfilter", "every address may connect"),
        ("userfilter", "every user may connect"),
        ("cgi", ""),
        ("python", ""),
        ("redirect", ""),
        ("redirect404", ""),
        ("error_redirection", ""),
        ("cors", "see 'origins' of websocket"),
        ("cookie", ""),
        ("upgrade", ""),
        ("vhost", "give the host a server of its own"),
        ("vhosts", "give the host a server of its own"),
        ("webstream", ""),
        ("filestorage", "'document' serves files, for reading"),
        ("static_file", "'document' serves files"),
        ("mdns", ""),
        ("tinysvcmdns", ""),
        ("version", ""),
        ("versions", ""),
        ("chunksize", ""),
        ("service", ""),
        ("security", ""),
        ("methodlock", ""),
        ("unlock_groups", ""),
    ],
};

pub(crate) static HOSTNAME: Key =
    Key::optional("hostname", "Host name this server answers to.").absent("any", "router.lan");
pub(crate) static ADDR: Key = Key::words(
    "addr",
    None,
    "Addresses to listen on, between commas. IPv4 or IPv6, each with ':port' if it \
     is to differ from 'port' ([::1]:8080), '*' for all, or 'unix:/run/x.sock' for \
     a UNIX socket.",
)
.absent("all, IPv4 and IPv6", "192.168.1.1");
pub(crate) static PORT: Key = Key::number(
    "port",
    None,
    (0, 65535),
    "TCP port to listen on. 0 takes a free one and the start line tells which.",
)
.absent("80, or 443 with tls", "8080");
pub(crate) static MAXCLIENTS: Key = Key::number(
    "maxclients",
    Some(200),
    (1, 10_000),
    "Most clients at a time. At the limit a new one gets 503 and Retry-After.",
);
pub(crate) static KEEPALIVETIMEOUT: Key = Key::number(
    "keepalivetimeout",
    Some(10),
    (1, 3600),
    "Seconds a client has for TLS handshake and request head together.",
);
pub(crate) static MAXPERIP: Key = Key::number(
    "maxperip",
    Some(0),
    (0, 10_000),
    "Most clients of one address. 0 sets no limit.",
);
pub(crate) static TRUSTED: Key = Key::words(
    "trusted",
    Some(""),
    "Networks whose X-Forwarded-For or PROXY header is believed, between commas. \
     For a reverse proxy in front.",
);
pub(crate) static TLS: Key = Key::group(
    &TLS_SECTION,
    "Certificates: this server speaks https:// and wss://.",
)
.absent("plain http:// and ws://", "");
pub(crate) static WEBSOCKET: Key = Key::group(
    &WEBSOCKET_SECTION,
    "The gateway: what a WebSocket request is given to.",
)
.absent("WebSocket requests are refused", "")
.in_smallest_file();
pub(crate) static DOCUMENT: Key = Key::group(
    &DOCUMENT_SECTION,
    "Static files: what any other request is answered with, so that a page and its \
     WebSocket share an origin.",
)
.absent("requests that are no WebSocket get 426", "");

/// The `tls` section.
pub(crate) static TLS_SECTION: Section = Section {
    name: "tls",
    keys: &[
        &CRTFILE,
        &KEYFILE,
        &CACHAIN,
        &CLIENTAUTH,
        &CERTIFICATES,
        &DHMFILE,
    ],
    inherited: &[],
    foreign: &[],
};

pub(crate) static CRTFILE: Key = Key::optional(
    "crtfile",
    "PEM file of the certificate and those between it and the root, in this order. \
     All of it is sent.",
)
.absent(NEEDED, "/etc/ouistiti/server.crt");
pub(crate) static KEYFILE: Key = Key::optional("keyfile", "PEM file of the private key.")
    .absent(NEEDED, "/etc/ouistiti/server.key")
    .formerly(&["pemfile"]);
pub(crate) static CACHAIN: Key = Key::optional(
    "cachain",
    "PEM file of authorities. With it a client must show a certificate of theirs.",
)
.absent(
    "client certificates are not asked for",
    "/etc/ouistiti/clients-ca.crt",
);
pub(crate) static CLIENTAUTH: Key = Key::choice(
    "clientauth",
    "required",
    &words(&CLIENTAUTHS),
    "Whether a client may come without certificate, with 'cachain'.",
);
pub(crate) static CERTIFICATES: Key = Key::list(
    &CERTIFICATE,
    "Further certificates, chosen by the server name the client asks for.",
)
.absent("none", "");
pub(crate) static DHMFILE: Key = Key::optional(
    "dhmfile",
    "Accepted for the sake of old files and unused: keys are agreed on elliptic \
     curves.",
)
.absent("none", "/etc/ouistiti/dhparam.pem");

/// One element of `certificates`.
pub(crate) static CERTIFICATE: Section = Section {
    name: "certificates",
    keys: &[&CRTFILE, &KEYFILE],
    inherited: &[],
    foreign: &[],
};

/// The `websocket` section.
pub(crate) static WEBSOCKET_SECTION: Section = Section {
    name: "websocket",
    keys: &[
        &DOCROOT,
        &ALLOW,
        &DENY,
        &DENYLAST,
        &OPTIONS,
        &ORIGINS,
        &FRAMETYPE,
        &FRAMING,
        &MAXMESSAGE,
        &PING,
        &PROTOCOLS,
        &MERGE,
        &PROXY,
        &WAIT,
        &LINKS,
    ],
    inherited: &[],
    foreign: &[("server", "name a server outside docroot in 'links'")],
};

pub(crate) static DOCROOT: Key = Key::text(
    "docroot",
    "/var/run/ouistiti",
    "Directory of the UNIX sockets. The path of a request is a name beneath it.",
)
.formerly(&["root"]);
pub(crate) static ALLOW: Key = Key::words(
    "allow",
    Some("*"),
    "Names that are served: globs between commas. A glob matches the whole name, \
     without leading '/'.",
);
pub(crate) static DENY: Key = Key::words(
    "deny",
    Some(""),
    "Names that are not, though 'allow' matches: globs between commas.",
);
pub(crate) static DENYLAST: Key = Key::flag(
    "denylast",
    "A name that 'allow' and 'deny' both match is served.",
);
pub(crate) static OPTIONS: Key = Key::words(
    "options",
    Some(""),
    "Features: 'direct' hands the client's socket to the backend. The backend must \
     be linked with libwebsocket.so; not with tls.",
)
.formerly(&["mode"]);
pub(crate) static ORIGINS: Key = Key::words(
    "origins",
    None,
    "Hosts whose pages may connect: globs between commas, '*' for all. HOST:PORT \
     means that port alone. A client without Origin header is no browser and may.",
)
.absent("the same origin only", "*.example.org");
pub(crate) static FRAMETYPE: Key = Key::choice(
    "frametype",
    "auto",
    &words(&FRAMETYPES),
    "Type of the messages to the client.",
);
pub(crate) static FRAMING: Key = Key::choice(
    "framing",
    "stream",
    &words(&FRAMINGS),
    "How messages meet the backend's byte stream.",
);
pub(crate) static MAXMESSAGE: Key = Key::number(
    "maxmessage",
    Some(16 * 1024 * 1024),
    (1, 1 << 30),
    "Longest message in bytes, where one must be held whole. A longer one closes \
     with 1009.",
);
pub(crate) static PING: Key = Key::number(
    "ping",
    Some(25),
    (1, 3600),
    "Seconds of silence before a ping. No answer within as long again closes the \
     connection.",
);
pub(crate) static PROTOCOLS: Key = Key::words(
    "protocols",
    Some(""),
    "Subprotocols to choose from, between commas. The first offered that is listed \
     is taken.",
);
pub(crate) static MERGE: Key = Key::flag(
    "merge",
    "Small messages that arrive together may share one write of framing 'stream'. \
     Fastest; for backends that read a byte stream.",
);
pub(crate) static PROXY: Key = Key::choice(
    "proxy",
    "none",
    &words(&PROXIES),
    "Header that tells the backend the client's address before anything else, and as \
     TLVs 0x02 the TLS server name, 0xE0 the service's name, 0xE1 the Origin, 0xE2 the \
     subject of the client's certificate. It has at most 536 bytes: a TLV beyond is \
     left out.",
);
pub(crate) static WAIT: Key = Key::number(
    "wait",
    Some(0),
    (0, 60),
    "Seconds a handshake waits for a backend that is just restarting.",
);
pub(crate) static LINKS: Key = Key::list(
    &LINK,
    "Services outside docroot. They stand before it: the first whose 'origin' \
     matches the name serves it.",
)
.absent("none", "");

/// One element of `links`.
pub(crate) static LINK: Section = Section {
    name: "links",
    keys: &[&ORIGIN, &TYPE, &DESTINATION, &LINK_PORT, &BAUD],
    inherited: &[
        &OPTIONS,
        &FRAMETYPE,
        &FRAMING,
        &PROTOCOLS,
        &MAXMESSAGE,
        &MERGE,
        &PROXY,
        &WAIT,
    ],
    foreign: &[],
};

pub(crate) static ORIGIN: Key =
    Key::optional("origin", "Names it serves: a glob.").absent(NEEDED, "modem");
pub(crate) static TYPE: Key =
    Key::choice("type", "unix", &words(&LINK_TYPES), "What the backend is.");
pub(crate) static DESTINATION: Key = Key::optional(
    "destination",
    "Path of the backend, or its host for type tcp.",
)
.absent(NEEDED, "/run/modem.sock");
pub(crate) static LINK_PORT: Key = Key::number(
    "port",
    None,
    (1, 65535),
    "Port of the backend, needed for type tcp.",
)
.absent("none", "5000");
pub(crate) static BAUD: Key = Key::number(
    "baud",
    Some(0),
    (0, 4_000_000),
    "Speed of a serial line, for type tty. 0 leaves it as it is.",
);
