//! Every key of the configuration, written once.
//!
//! From here come the checks, the defaults, the messages, the example file
//! in etc/, the manual page and the list in `ouistiti -h`.

pub(crate) mod tls;
pub(crate) mod websocket;

use super::schema::{Key, NEEDED, Section};
use tls::TLS_SECTION;
use websocket::WEBSOCKET_SECTION;

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

pub(crate) static HOSTNAME: Key = Key::optional(
    "hostname",
    "Name of this server in the log; it answers to any.",
)
.absent("none", "router.lan");
pub(crate) static ADDR: Key = Key::words(
    "addr",
    None,
    "Addresses to listen on, between commas. IPv4 or IPv6, each with ':port' if it \
     is to differ from 'port' ([::1]:8080), '*' for all, or 'unix:/run/x.sock' for \
     a UNIX socket, to which everybody may connect who can enter its directory.",
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
     For a reverse proxy in front. With tls the PROXY header comes before the handshake.",
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

/// The `document` section.
pub(crate) static DOCUMENT_SECTION: Section = Section {
    name: "document",
    keys: &[&DOCUMENT_ROOT, &DEFAULTPAGE],
    inherited: &[],
    foreign: &[
        ("allow", "every file beneath docroot is served"),
        ("deny", "every file beneath docroot is served"),
        ("denylast", "every file beneath docroot is served"),
        (
            "options",
            "ranges are always served, directories are never listed, nothing is written",
        ),
        ("transfer_type", ""),
        ("maxsize", ""),
        ("dochome", ""),
        ("dirhome", ""),
    ],
};

pub(crate) static DOCUMENT_ROOT: Key =
    Key::optional("docroot", "Directory of the files.").absent(NEEDED, "/srv/www/htdocs");
pub(crate) static DEFAULTPAGE: Key =
    Key::text("defaultpage", "index.html", "File served for a directory.");
