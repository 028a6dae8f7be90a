//! The key table: every key of the configuration, written once.
//!
//! The checks, the defaults, the messages, the example file in etc/, the manual page and the list
//! of `ouistiti -hh` are made from it.

pub(crate) mod auth;
pub(crate) mod foreign;
pub(crate) mod tls;
pub(crate) mod websocket;

use auth::AUTH_SECTION;
use tls::TLS_SECTION;
use websocket::WEBSOCKET_SECTION;

use super::choices::{LOG_LEVELS, REDIRECTS};
use super::schema::{Key, NEEDED, Section, words};

/// The top of the file.
pub(crate) static ROOT: Section = Section {
    name: "the file",
    keys: &[
        &USER,
        &PID_FILE,
        &LOG_FILE,
        &LOG_LEVEL,
        &CONTROL,
        &METRICS,
        &CONFIG_D,
        &INIT_D,
        &LANDLOCK,
        &UPGRADE_LIMIT,
        &SERVERS,
    ],
    foreign: foreign::FILE,
    ..Section::EMPTY
};

pub(crate) static USER: Key = Key::optional(
    "user",
    "User that the daemon becomes once it has bound its sockets and read its keys. It takes the user's groups, group id and user id, and cannot go back. An unknown user ends the start.",
)
.absent("stay as started", "nobody");
pub(crate) static PID_FILE: Key = Key::optional(
    "pid-file",
    "File with the process id while the daemon runs. 'ouistiti -K' reads it.",
)
.absent("none", "/var/run/ouistiti.pid");
pub(crate) static LOG_FILE: Key = Key::optional("log-file", "File to append the log to.").absent(
    "syslog, or standard error in the foreground",
    "/var/log/ouistiti.log",
);
pub(crate) static LOG_LEVEL: Key = Key::choice(
    "log-level",
    "info",
    &words(&LOG_LEVELS),
    "Least severe messages that are logged. '-v' tells more, once debug, twice trace.",
);
pub(crate) static CONTROL: Key = Key::optional(
    "control",
    "UNIX socket that answers 'ouistiti -S', to root and the daemon's user. The empty string is for none. It changes with a start or an upgrade, not by HUP.",
)
.absent("the pid file's name with the ending .sock; none without a pid file", "/var/run/ouistiti.sock")
.may_be_empty();
pub(crate) static METRICS: Key = Key::optional(
    "metrics",
    "Where Prometheus reads metrics by HTTP: a loopback address with its port, or 'unix:/PATH'. It changes with a start or an upgrade, not by HUP.",
)
.absent("none", "127.0.0.1:9180");
pub(crate) static CONFIG_D: Key = Key::optional(
    "config_d",
    "Directory of files *.conf with more servers, or one such file. They are read in the order of their names, and only their 'servers' have an effect. They must belong to root or the starting user, and nobody else may write to them or to the directory.",
)
.absent("none", "/etc/ouistiti.d");
pub(crate) static INIT_D: Key = Key::optional(
    "init_d",
    "Directory of executables that are run before serving, to start backends. Their argument is 'start', and 'stop' at the end. They must belong to root or the starting user; where others may write to one or to the directory, it is not run.",
)
.absent("none", "/etc/ouistiti.init.d");
pub(crate) static LANDLOCK: Key = Key::flag(
    "landlock",
    "Once the daemon serves, the kernel lets it open only the files that the configuration names, if the kernel has Landlock. ouistiti(8) says what a reload can then not do.",
);
pub(crate) static UPGRADE_LIMIT: Key = Key::number(
    "upgrade-limit",
    Some(86400),
    (0, 31_536_000),
    "Seconds for which the process before an upgrade (signal USR2) goes on serving its clients. Those that are left then get Close 1001. 0 sets no limit.",
);
pub(crate) static SERVERS: Key = Key::list(
    &SERVER,
    "The servers, each with its address and what it serves.",
)
.absent(NEEDED, "")
.formerly(&["server"])
.in_smallest_file();

/// One element of `servers`.
pub(crate) static SERVER: Section = Section {
    name: "servers",
    keys: &[
        &HOSTNAME,
        &SERVER_ROOT,
        &ADDR,
        &PORT,
        &ADDRMODE,
        &ADDRGROUP,
        &MAXCLIENTS,
        &MAXMEMORY,
        &MAXTHREADS,
        &KEEPALIVETIMEOUT,
        &HEADSIZE,
        &MAXPERIP,
        &TRUSTED,
        &REDIRECT,
        &IGNORE,
        &AUTH,
        &TLS,
        &WEBSOCKET,
        &DOCUMENT,
    ],
    foreign: foreign::SERVER,
    refused: foreign::REFUSED,
    ..Section::EMPTY
};

pub(crate) static HOSTNAME: Key = Key::words(
    "hostname",
    None,
    "Names that this server goes by: globs of hosts between commas. The log calls the server \
     by the first. Browsers reach the server by these names, IP addresses, 'localhost', names \
     without dots or of the local network (.local, .lan, .home, .internal, .localdomain, \
     .home.arpa), the machine's own name, and with tls the names of its certificate; another \
     Host gets 421, so that no page can use a name of its own for this machine.",
)
.absent("none", "router.example.org");
pub(crate) static SERVER_ROOT: Key = Key::optional(
    "root",
    "Directory in which the relative paths of this server begin.",
)
.absent("the working directory", "/srv/www");
pub(crate) static ADDR: Key = Key::words(
    "addr",
    None,
    "Addresses to listen on, between commas. IPv4 or IPv6, each with ':port' if it \
     is to differ from 'port' ([::1]:8080), IPv6 with a scope where it needs one (fe80::1%eth0), \
     '*' for all, 'unix:/run/x.sock' for a UNIX socket, or the name of a network interface for \
     the addresses that it has and comes to have (br-lan, br-lan:8080). What is not there yet is a \
     warning, and is served when it is; the addresses that an interface gets after the start need a \
     port from 1024 on, since a running daemon has no privileges.",
)
.absent("all, IPv4 and IPv6", "192.168.1.1");
pub(crate) static PORT: Key = Key::number(
    "port",
    None,
    (0, 65535),
    "TCP port to listen on. 0 takes a free one and the start line tells which.",
)
.absent("80, or 443 with tls", "8080");
pub(crate) static ADDRMODE: Key = Key::text(
    "addrmode",
    "0666",
    "Permissions of the UNIX sockets of 'addr', in octal. Who may connect also needs to be able \
     to enter their directory. A reload does not change those of a socket that stays.",
);
pub(crate) static ADDRGROUP: Key = Key::optional(
    "addrgroup",
    "Group that the UNIX sockets of 'addr' are given.",
)
.absent("the group of the starting user", "www-data");
pub(crate) static MAXCLIENTS: Key = Key::number(
    "maxclients",
    Some(200),
    (1, 10_000),
    "Most clients at a time. A further one gets 503 and Retry-After.",
);
pub(crate) static MAXMEMORY: Key = Key::size(
    "maxmemory",
    32 << 20,
    (64 << 10, 1 << 31),
    "Bytes that messages held whole, grown buffers and what waits for clients and backends that do \
     not read may take together. Beyond it buffers do not grow, and a message that must be held \
     closes with 1013.",
);
pub(crate) static MAXTHREADS: Key = Key::number(
    "maxthreads",
    None,
    (2, 20_000),
    "Most threads that copy at a time, beside those of clients that open or close. A direction of \
     a connection that has something to copy beyond it waits its turn; its bytes stay in the \
     kernel. It is never more than half of the threads that the user may still start (ulimit -u). \
     With park = 0 each client has two threads, and this has no effect.",
)
.absent("the smaller of 2 x 'maxclients' and 256", "64");
pub(crate) static KEEPALIVETIMEOUT: Key = Key::number(
    "keepalivetimeout",
    Some(10),
    (0, 3600),
    "Seconds that a client has for the TLS handshake and the request head together. 0 is the \
     default.",
);
pub(crate) static HEADSIZE: Key = Key::size(
    "headsize",
    16 << 10,
    (1 << 10, 64 << 10),
    "Longest request head in bytes, cookies included. A longer one gets 431.",
);
pub(crate) static MAXPERIP: Key = Key::number(
    "maxperip",
    None,
    (0, 10_000),
    "Most clients of one IPv4 address, or of one IPv6 network of 64 bits. 0 sets no limit.",
)
.absent(
    "a quarter of 'maxclients', but no limit for loopback addresses",
    "20",
);
pub(crate) static TRUSTED: Key = Key::words(
    "trusted",
    Some(""),
    "Networks of reverse proxies, between commas. They are believed about the client's address \
     (PROXY header; X-Forwarded-For, Forwarded or X-Real-IP), and about the host and the scheme \
     it asked for (X-Forwarded-Host, X-Forwarded-Proto). With tls the PROXY header comes before \
     the handshake.",
);
pub(crate) static REDIRECT: Key = Key::choice(
    "redirect",
    "none",
    &words(&REDIRECTS),
    "Where requests are sent on to instead of being served.",
);
pub(crate) static IGNORE: Key = Key::words(
    "ignore",
    Some(""),
    "Settings of the C gateway, between commas, that keep people out there and are not \
     understood here (auth, authz, authn, clientfilter, userfilter). Each is an error unless it \
     is named here.",
);
pub(crate) static AUTH: Key =
    Key::group(&AUTH_SECTION, "Who may come in.").absent("everybody may come in", "");
pub(crate) static TLS: Key = Key::group(
    &TLS_SECTION,
    "Certificates: this server speaks https:// and wss://.",
)
.absent("plain http:// and ws://", "");
pub(crate) static WEBSOCKET: Key =
    Key::group(&WEBSOCKET_SECTION, "The gateway, for WebSocket requests.")
        .absent("WebSocket requests are refused", "")
        .in_smallest_file();
pub(crate) static DOCUMENT: Key = Key::group(
    &DOCUMENT_SECTION,
    "Static files, for every other request. A page and its WebSocket then share an origin.",
)
.absent("every other request gets 426", "");

/// The `document` section.
pub(crate) static DOCUMENT_SECTION: Section = Section {
    name: "document",
    keys: &[&DOCUMENT_ROOT, &DEFAULTPAGE],
    inherited: &[&AUTH],
    foreign: foreign::DOCUMENT,
    ..Section::EMPTY
};

pub(crate) static DOCUMENT_ROOT: Key =
    Key::optional("docroot", "Directory of the files.").absent(NEEDED, "/srv/www/htdocs");
pub(crate) static DEFAULTPAGE: Key =
    Key::text("defaultpage", "index.html", "File served for a directory.");
