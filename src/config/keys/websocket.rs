//! The keys of the `websocket` section and of its `links`.

use super::super::choices::{
    FLOWS, FRAMETYPES, FRAMINGS, HANGUPS, LINK_TYPES, PARITIES, PROXIES, SHARES,
};
use super::super::schema::{Key, NEEDED, Section, words};
use super::{AUTH, foreign};

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
        &PARK,
        &PROTOCOLS,
        &MERGE,
        &PROXY,
        &WAIT,
        &LIST,
        &CONSOLE,
        &LINKS,
    ],
    inherited: &[&AUTH],
    foreign: foreign::WEBSOCKET,
    ..Section::EMPTY
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
    "Names that are served: globs between commas. A glob matches the whole name, without its leading '/'.",
);
pub(crate) static DENY: Key = Key::words(
    "deny",
    Some(""),
    "Names that are refused, even if 'allow' matches: globs between commas.",
);
pub(crate) static DENYLAST: Key = Key::flag(
    "denylast",
    "A name that both 'allow' and 'deny' match is served.",
);
pub(crate) static OPTIONS: Key = Key::words(
    "options",
    Some(""),
    "Options between commas: 'direct' hands the client's socket to the backend, which needs libwebsocket.so. It cannot go with tls.",
)
.formerly(&["mode"]);
pub(crate) static ORIGINS: Key = Key::words(
    "origins",
    Some("same-origin"),
    "Pages that may connect: words and globs of hosts, between commas. The words are same-origin \
     (pages of the host and port that they connect to, which always may), same-host (pages of \
     that host with any port and scheme), null (sandboxed pages) and file (pages from a file); \
     '*' is for all pages. A glob HOST:PORT is for that port only, and one of digits and dots \
     for IP addresses only. A client without Origin header is not a browser, and may connect.",
);
pub(crate) static FRAMETYPE: Key = Key::choice(
    "frametype",
    "auto",
    &words(&FRAMETYPES),
    "Type of the messages to the client. In direct mode libwebsocket.so keeps it; the C gateway's \
     library sends text.",
);
pub(crate) static FRAMING: Key = Key::choice(
    "framing",
    "stream",
    &words(&FRAMINGS),
    "How messages meet the backend's byte stream.",
);
pub(crate) static MAXMESSAGE: Key = Key::size(
    "maxmessage",
    16 << 20,
    (1, 1 << 30),
    "Longest message in bytes, where a message must be held whole. A longer one closes with 1009.",
);
pub(crate) static PING: Key = Key::number(
    "ping",
    Some(25),
    (1, 3600),
    "Seconds of silence before a ping. If there is no answer within the same time, the connection is cut.",
);
pub(crate) static PARK: Key = Key::number(
    "park",
    Some(10),
    (0, 3600),
    "Seconds of silence after which a direction of a connection holds no thread until it has \
     something to copy again. 0 keeps the threads.",
);
pub(crate) static PROTOCOLS: Key = Key::words(
    "protocols",
    None,
    "Subprotocols to choose from, between commas. The first offered that is listed is chosen; \
     '*' lists all, and the empty string none. Browsers give up when they have offered some \
     and none is chosen.",
)
.absent("the first offered is chosen", "mqtt,binary");
pub(crate) static MERGE: Key = Key::flag(
    "merge",
    "Small messages that arrive together share one write, with framing 'stream'. This is fastest, for backends that read a stream of bytes.",
);
pub(crate) static PROXY: Key = Key::choice(
    "proxy",
    "none",
    &words(&PROXIES),
    "Header that a backend gets before anything else. It has the client's address, and as TLVs 0x02 the TLS server name, 0xE0 the service's name, 0xE1 the Origin, 0xE2 the subject of the client's certificate, 0xE3 the user who has logged in, 0xE4 the query, 0xE5 the cookies and 0xE6 the client's id. Query and cookies come last; a TLV that does not fit 31 KiB is left out.",
);
pub(crate) static WAIT: Key = Key::number(
    "wait",
    Some(0),
    (0, 60),
    "Seconds that a handshake waits for a backend that is restarting.",
);
pub(crate) static LIST: Key = Key::flag(
    "list",
    "A GET of /-/services lists the services that 'allow' and 'deny' let this server's clients have, and whether they run, as JSON.",
);
pub(crate) static CONSOLE: Key = Key::flag(
    "console",
    "The console, a page that talks to any service, stands at / where 'document' has no page.",
);
pub(crate) static LINKS: Key = Key::list(
    &LINK,
    "Services outside docroot. They come before it: the first one whose 'origin' matches the name serves it.",
)
.absent("none", "");

/// One element of `links`.
pub(crate) static LINK: Section = Section {
    name: "links",
    keys: &[
        &ORIGIN,
        &TYPE,
        &DESTINATION,
        &SOURCE,
        &LINK_PORT,
        &BAUD,
        &DATABITS,
        &PARITY,
        &STOPBITS,
        &FLOW,
        &EXCLUSIVE,
        &HANGUP,
        &ARGUMENTS,
        &DIRECTORY,
        &MAXPROCESSES,
        &SHARE,
        &REPLAY,
        &LINGER,
        &KEEP,
    ],
    inherited: &[
        &OPTIONS,
        &FRAMETYPE,
        &FRAMING,
        &PROTOCOLS,
        &MAXMESSAGE,
        &MERGE,
        &PROXY,
        &WAIT,
        &AUTH,
    ],
    ..Section::EMPTY
};

pub(crate) static ORIGIN: Key = Key::optional(
    "origin",
    "Names it serves: a glob, or the empty string for ws://HOST/.",
)
.absent(NEEDED, "modem")
.may_be_empty();
pub(crate) static TYPE: Key =
    Key::choice("type", "unix", &words(&LINK_TYPES), "What the backend is.");
pub(crate) static DESTINATION: Key = Key::optional(
    "destination",
    "Path of the backend, or its host for type tcp. For type exec it is the whole path of the \
     program, from /.",
)
.absent(NEEDED, "/run/modem.sock");
pub(crate) static SOURCE: Key = Key::optional(
    "source",
    "Path of a fifo that clients hear, for type fifo. It is held open, so that the programs that \
     write to it come and go. What clients send goes to the fifo 'destination', or nowhere without \
     one.",
)
.absent(
    "'destination' is read where it has only a writer",
    "/run/log.fifo",
);
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
pub(crate) static DATABITS: Key = Key::number(
    "databits",
    Some(8),
    (5, 8),
    "Bits of a character on a serial line.",
);
pub(crate) static PARITY: Key = Key::choice(
    "parity",
    "none",
    &words(&PARITIES),
    "Parity bit of a character on a serial line.",
);
pub(crate) static STOPBITS: Key = Key::number(
    "stopbits",
    Some(1),
    (1, 2),
    "Stop bits of a character on a serial line.",
);
pub(crate) static FLOW: Key = Key::choice(
    "flow",
    "none",
    &words(&FLOWS),
    "Flow control of a serial line: how a slow reader stops the writer.",
);
pub(crate) static EXCLUSIVE: Key = Key::flag(
    "exclusive",
    "No other program can open the serial line while a client has it (TIOCEXCL). Root's \
     programs can, but most look at its lock (flock).",
);
pub(crate) static HANGUP: Key = Key::choice(
    "hangup",
    "as-is",
    &words(&HANGUPS),
    "What happens on a serial line when the last program closes it.",
);
pub(crate) static ARGUMENTS: Key = Key::texts(
    "arguments",
    "Arguments of the program, for type exec: an array of strings. No shell reads them.",
)
.absent("it has none", "-u");
pub(crate) static DIRECTORY: Key = Key::optional(
    "directory",
    "Directory in which the program runs, for type exec.",
)
.absent("that of the daemon", "/srv/count");
pub(crate) static MAXPROCESSES: Key = Key::number(
    "maxprocesses",
    Some(50),
    (1, 10_000),
    "Clients that may have a run of the program at a time, for type exec; a further one gets 503. \
     With 'user', the runs of all links together may have eight times as many processes and \
     threads, so that a program that starts others without end does not take all of them.",
);
pub(crate) static SHARE: Key = Key::choice(
    "share",
    "auto",
    &words(&SHARES),
    "Which clients share one connection to the backend. A message of a client is delivered whole, \
     with framing 'stream' too. A client that is 256 KiB behind the others is closed with 1013, so \
     that it costs them nothing. It cannot go with 'direct'.",
);
pub(crate) static REPLAY: Key = Key::size(
    "replay",
    0,
    (0, 16 << 20),
    "Bytes of the last messages of a shared backend that a new client gets first.",
);
pub(crate) static LINGER: Key = Key::number(
    "linger",
    Some(0),
    (0, 86_400),
    "Seconds for which the connection to a shared backend is kept after its last client has left.",
);
pub(crate) static KEEP: Key = Key::flag(
    "keep",
    "The connection to a shared backend is held from the start, with or without clients, and made \
     again when it has ended. The origin is then a name, not a glob.",
);
