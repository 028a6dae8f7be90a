//! Start-up: what the administrator asked for, as plain data.
//!
//! The rooms of the house each get the part they need, by reference. These
//! values are made by [`load`]: `lexer` and `parser` turn libconfig text into
//! a tree with places, `reader` checks it against the table in `keys`, and
//! `server` and `websocket` build what is below.

mod built;
mod choices;
mod keys;
mod libconfig;
mod load;
mod manual;
mod reader;
mod render;
mod schema;
mod server;
mod suggest;
#[cfg(test)]
mod tests;
mod websocket;

#[cfg(all(test, feature = "websocket"))]
pub(crate) use choices::BAUDS;
pub use libconfig::diagnostic::{Diagnostic, Severity};
#[doc(hidden)]
pub use libconfig::value::{Setting, Value};
#[doc(hidden)]
pub use load::tree;
pub use load::{Loaded, from_text, load};
pub use manual::manual;
pub use render::{example, summary};

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Longest path of a UNIX socket, in bytes (unix(7), with its final NUL 108).
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// A whole configuration file, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// User to become after binding and reading secrets (`user`).
    pub user: Option<String>,
    /// File that holds the daemon's process id (`pid-file`).
    pub pid_file: Option<PathBuf>,
    /// File to log to instead of syslog (`log-file`).
    pub log_file: Option<PathBuf>,
    /// Directory of executables run before serving (`init_d`).
    pub init_d: Option<PathBuf>,
    /// Directory of files with more servers (`config_d`).
    pub config_d: Option<PathBuf>,
    /// Let the kernel keep the daemon to the files it needs (`landlock`).
    pub landlock: bool,
    /// The `servers` list, those of `config_d` included.
    pub servers: Vec<ServerConfig>,
}

/// One element of `servers`: where to listen and what to serve there.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What the log calls this server (`hostname`).
    pub hostname: Option<String>,
    /// The addresses to listen on; never empty (`addr`, `port`).
    pub listen: Vec<Listen>,
    /// Most clients at a time (`maxclients`).
    pub max_clients: usize,
    /// Most clients of one peer address, 0 for no limit (`maxperip`).
    pub max_per_ip: usize,
    /// Time for the TLS handshake and the request head together (`keepalivetimeout`).
    pub head_timeout: Duration,
    /// Networks whose X-Forwarded-For or PROXY header is believed (`trusted`).
    pub trusted: Vec<Network>,
    /// Certificates, if this server speaks TLS (`tls`).
    pub tls: Option<TlsConfig>,
    /// The gateway, if this server has one (`websocket`).
    pub websocket: Option<WebsocketConfig>,
    /// Static files, if this server has some (`document`).
    pub document: Option<DocumentConfig>,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address. `[::]` listens for IPv4 and IPv6 both.
    Tcp(SocketAddr),
    /// A UNIX stream socket (`addr = "unix:/run/x.sock"`).
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An IP network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of the network.
    pub address: std::net::IpAddr,
    /// Length of its prefix, in bits.
    pub prefix: u8,
}

/// The `tls` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate pairs; the first is the default. Never empty.
    pub pairs: Vec<TlsPair>,
    /// CA certificates that client certificates must chain to (`cachain`).
    pub client_ca: Option<PathBuf>,
    /// A client without a certificate is served too (`clientauth = "optional"`).
    pub client_auth_optional: bool,
}

/// One certificate chain and its key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPair {
    /// The chain, leaf first (`crtfile`).
    pub certificate: PathBuf,
    /// The private key (`keyfile`, formerly `pemfile`); may be the same file.
    pub key: PathBuf,
}

/// The `document` section: static files.
#[derive(Debug, Clone)]
pub struct DocumentConfig {
    /// Directory of the files (`docroot`).
    pub docroot: PathBuf,
    /// File served for a directory (`defaultpage`).
    pub default_page: String,
}

/// The `websocket` section.
#[derive(Debug, Clone)]
pub struct WebsocketConfig {
    /// Directory of the UNIX sockets (`docroot`).
    pub docroot: PathBuf,
    /// Names served (`allow`).
    pub allow: Vec<glob::Pattern>,
    /// Names refused (`deny`).
    pub deny: Vec<glob::Pattern>,
    /// `allow` wins over `deny` (`denylast`).
    pub deny_last: bool,
    /// Hosts whose pages may connect (`origins`); `None` is the same origin only.
    pub origins: Option<Vec<glob::Pattern>>,
    /// Seconds of silence before a ping (`ping`).
    pub ping: Duration,
    /// How each service found beneath `docroot` is spoken to.
    pub service: ServiceConfig,
    /// Services outside `docroot` (`links`).
    pub links: Vec<LinkConfig>,
    // `links` stand before `docroot`: the first whose glob matches the name serves it.
}

impl WebsocketConfig {
    /// Whether `allow` matches a name and `deny` does not, or with `denylast` `allow` alone.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let listed = |globs: &[glob::Pattern]| globs.iter().any(|glob| matches(glob, name));
        listed(&self.allow) && (self.deny_last || !listed(&self.deny))
    }
}

/// `*` crosses `/`, letters count as written.
pub(crate) fn matches(glob: &glob::Pattern, text: &str) -> bool {
    glob.matches_with(text, glob::MatchOptions::new())
}

/// How one backend is spoken to: what a `links` entry may set for itself.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Hand the client's descriptor to the backend (`options = "direct"`).
    pub direct: bool,
    /// Type of the messages to the client (`frametype`).
    pub frame_type: FrameType,
    /// How messages meet the backend's bytes (`framing`).
    pub framing: Framing,
    /// Longest message where one must be held whole, in bytes (`maxmessage`).
    pub max_message: usize,
    /// Subprotocols to choose from (`protocols`).
    pub protocols: Vec<String>,
    /// Small messages that arrived together may share one write (`merge`).
    pub merge: bool,
    /// Send a PROXY protocol v2 header to the backend first (`proxy = "v2"`).
    pub proxy: bool,
    /// How long a handshake waits for a backend that restarts (`wait`).
    pub wait: Duration,
}

/// A service outside `docroot`: one element of `links`.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// The names it serves (`origin`).
    pub origin: glob::Pattern,
    /// Where its backend is (`type`, `destination`, `port`, `baud`).
    pub target: Target,
    /// How it is spoken to: the section's values with this entry's own over them.
    pub service: ServiceConfig,
}

/// Where a link's backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A UNIX socket, stream or SEQPACKET.
    Unix(PathBuf),
    /// A TCP server: host and port.
    Tcp(String, u16),
    /// A serial line and its speed in baud (0 leaves it as it is).
    Tty(PathBuf, u32),
    /// A named pipe.
    Fifo(PathBuf),
}

/// Type of the messages sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// The type the client last sent, text before that; bytes that are not UTF-8 go as binary.
    Auto,
    /// Always text; bytes that are not UTF-8 close with 1007.
    Text,
    /// Always binary.
    Binary,
}

/// How messages meet the backend's byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Bytes: one read is one message.
    Stream,
    /// A line feed ends a message.
    Line,
    /// A NUL ends a message.
    Nul,
    /// A four-byte big-endian length and an opcode byte precede a message.
    Length,
}
