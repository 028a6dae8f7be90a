//! The words that settings take. Each list is written once.

use log::LevelFilter;

use super::endpoint::{Flow, HangUp, Parity};
use super::schema::Choice;
use super::service::{FrameType, Framing, Share};

const fn choice<T>(word: &'static str, value: T, meaning: &'static str) -> Choice<T> {
    Choice {
        word,
        value,
        meaning,
    }
}

/// Words of `frametype`.
pub(crate) const FRAMETYPES: [Choice<FrameType>; 3] = [
    choice(
        "auto",
        FrameType::Auto,
        "the type the client last sent. Before its first message: binary if the chosen \
         subprotocol is a binary one (binary, mqtt, ...) or if the backend's first bytes are \
         not text or begin a binary protocol (RFB, SSH), else text. What is not UTF-8 always \
         goes as binary",
    ),
    choice(
        "text",
        FrameType::Text,
        "always text; what is not UTF-8 closes with 1007",
    ),
    choice("binary", FrameType::Binary, "always binary"),
];

/// Words of `framing`.
pub(crate) const FRAMINGS: [Choice<Framing>; 5] = [
    choice(
        "stream",
        Framing::Stream,
        "bytes; one read from the backend is one message",
    ),
    choice("line", Framing::Line, "a line feed ends a message"),
    choice(
        "crlf",
        Framing::Crlf,
        "carriage return and line feed end a message to the backend; a line feed, with or \
         without carriage return, ends one to the client (modems, serial consoles)",
    ),
    choice(
        "nul",
        Framing::Nul,
        "a NUL ends a message (programs of the C gateway: jsonrpc)",
    ),
    choice(
        "length",
        Framing::Length,
        "4 bytes of length, big-endian, and 1 opcode byte (1 text, 2 binary) precede a message",
    ),
];

/// Words of `share`.
pub(crate) const SHARES: [Choice<Share>; 5] = [
    choice(
        "auto",
        Share::Auto,
        "all for a serial line and a named pipe, none for other types",
    ),
    choice("none", Share::None, "a connection for each client"),
    choice(
        "all",
        Share::All,
        "one connection for all clients: what the backend says goes to each of them, and what they \
         say goes to it, one whole message after the other",
    ),
    choice(
        "newest",
        Share::Newest,
        "one client at a time; a new one takes over, and the old one is closed with 1001",
    ),
    choice(
        "first",
        Share::First,
        "one client at a time; others get 503 until it leaves",
    ),
];

/// How people log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthType {
    /// There is no login.
    None,
    /// With user and password.
    Basic,
    /// With a token.
    Bearer,
    /// With user and password that authrpc checks.
    Rpc,
    /// Another program is asked over HTTP.
    Forward,
    /// With a client certificate.
    Certificate,
}

/// Words of `type` of auth, in any case.
pub(crate) const AUTH_TYPES: [Choice<AuthType>; 6] = [
    choice("None", AuthType::None, "everybody may come in"),
    choice("Basic", AuthType::Basic, "with user and password"),
    choice("Bearer", AuthType::Bearer, "with a token"),
    choice("rpc", AuthType::Rpc, "with a user and password of authrpc"),
    choice(
        "forward",
        AuthType::Forward,
        "another program knows who it is",
    ),
    choice(
        "certificate",
        AuthType::Certificate,
        "with a client certificate",
    ),
];

/// Whether clients are asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// They are not.
    None,
    /// They are, and may come without.
    Optional,
    /// They are, and must have one.
    Required,
}

/// Words of `clientauth`.
pub(crate) const CLIENTAUTHS: [Choice<ClientAuth>; 3] = [
    choice("none", ClientAuth::None, "no certificate is asked for"),
    choice(
        "optional",
        ClientAuth::Optional,
        "a client without certificate is served too",
    ),
    choice(
        "required",
        ClientAuth::Required,
        "a client without certificate is refused",
    ),
];

/// Words of `proxy`: whether the header is sent.
pub(crate) const PROXIES: [Choice<bool>; 2] = [
    choice("none", false, "no header"),
    choice("v2", true, "a PROXY protocol header, version 2"),
];

/// Words of `redirect`: whether there is one.
pub(crate) const REDIRECTS: [Choice<bool>; 2] = [
    choice("none", false, "no redirect"),
    choice(
        "https",
        true,
        "every request is sent to the same host's server with tls",
    ),
];

/// Words of `log-level`.
pub(crate) const LOG_LEVELS: [Choice<LevelFilter>; 5] = [
    choice("error", LevelFilter::Error, "the daemon cannot do its work"),
    choice("warn", LevelFilter::Warn, "the administrator should look"),
    choice(
        "info",
        LevelFilter::Info,
        "start, stop, refusals, and the end of each connection",
    ),
    choice("debug", LevelFilter::Debug, "what both sides do"),
    choice("trace", LevelFilter::Trace, "frame headers"),
];

/// Words of `options`: whether the mode is direct.
pub(crate) const MODES: [Choice<bool>; 1] = [choice(
    "direct",
    true,
    "the backend gets the client's socket",
)];

/// The type of a link's backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkType {
    /// A UNIX socket.
    Unix,
    /// A TCP server.
    Tcp,
    /// A serial line.
    Tty,
    /// A named pipe.
    Fifo,
    /// The built-in service that tells what the daemon does.
    Status,
    /// A program.
    Exec,
}

/// Words of `type` in `links`.
pub(crate) const LINK_TYPES: [Choice<LinkType>; 6] = [
    choice("unix", LinkType::Unix, "a UNIX socket, stream or SEQPACKET"),
    choice("tcp", LinkType::Tcp, "a TCP server"),
    choice(
        "tty",
        LinkType::Tty,
        "a serial line or another character device",
    ),
    choice("fifo", LinkType::Fifo, "a named pipe"),
    choice(
        "status",
        LinkType::Status,
        "what 'ouistiti -S json' prints, every two seconds: for who has logged in, and for \
         programs and pages of this machine",
    ),
    choice(
        "exec",
        LinkType::Exec,
        "a program that is run for each client, with the connection as its standard input and \
         output",
    ),
];

/// Speeds of serial lines, in baud (termios(3), Linux).
pub(crate) const BAUDS: [i64; 31] = [
    0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600,
    115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// Words of `parity`.
pub(crate) const PARITIES: [Choice<Parity>; 3] = [
    choice("none", Parity::None, "no parity bit"),
    choice("even", Parity::Even, "even parity"),
    choice("odd", Parity::Odd, "odd parity"),
];

/// Words of `hangup`.
pub(crate) const HANGUPS: [Choice<HangUp>; 3] = [
    choice("as-is", HangUp::AsItIs, "as the line is set, by stty(1)"),
    choice(
        "yes",
        HangUp::Yes,
        "DTR falls: a modem hangs up, and some boards reset when the line is opened next",
    ),
    choice("no", HangUp::No, "DTR stays"),
];

/// Words of `flow`.
pub(crate) const FLOWS: [Choice<Flow>; 3] = [
    choice("none", Flow::None, "no flow control"),
    choice("hardware", Flow::Hardware, "by the lines RTS and CTS"),
    choice(
        "software",
        Flow::Software,
        "by the characters XON and XOFF, which messages then cannot contain",
    ),
];
