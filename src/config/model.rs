//! What the administrator asked for, as plain data.
//!
//! Each folder of the daemon gets the part that it needs, by reference.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use glob::Pattern;
use log::LevelFilter;

use super::auth::AuthConfig;
use super::link::LinkConfig;
use super::patterns::{HostPattern, Origins, matches};
use super::service::ServiceConfig;

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
    /// Least severe messages that are logged (`log-level`).
    pub log_level: LevelFilter,
    /// Socket that answers `-S` (`control`); empty for none, `None` for one beside the pid file.
    pub control: Option<PathBuf>,
    /// Where metrics are read (`metrics`).
    pub metrics: Option<Listen>,
    /// Directory of executables run before serving (`init_d`).
    pub init_d: Option<PathBuf>,
    /// Directory of files with more servers (`config_d`).
    pub config_d: Option<PathBuf>,
    /// Let the kernel keep the daemon to the files it needs (`landlock`).
    pub landlock: bool,
    /// How long a process serves its clients after another has taken over (`upgrade-limit`).
    pub upgrade_limit: Option<Duration>,
    /// The `servers` list, those of `config_d` included.
    pub servers: Vec<ServerConfig>,
}

/// One element of `servers`: where to listen and what to serve there.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Names that this server goes by (`hostname`); empty if none are set.
    pub hostnames: Vec<HostPattern>,
    /// The addresses to listen on; never empty (`addr`, `port`).
    pub listen: Vec<Listen>,
    /// Where the configuration sets these addresses, for messages about them.
    pub listen_place: Place,
    /// Most clients at a time (`maxclients`).
    pub max_clients: usize,
    /// Most bytes that messages held whole and grown buffers of all clients together may take
    /// (`maxmemory`).
    pub max_memory: usize,
    /// Most threads that copy at a time (`maxthreads`).
    pub max_threads: usize,
    /// Most clients of one peer address (`maxperip`).
    pub max_per_ip: MaxPerIp,
    /// Time for the TLS handshake and the request head together (`keepalivetimeout`).
    pub head_timeout: Duration,
    /// Longest request head, in bytes (`headsize`).
    pub head_size: usize,
    /// Networks whose X-Forwarded-For or PROXY header is believed (`trusted`).
    pub trusted: Vec<Network>,
    /// Port of the https server that every request is redirected to (`redirect`).
    pub redirect: Option<u16>,
    /// Who may come in, if not everybody may (`auth`).
    pub auth: Option<AuthConfig>,
    /// Certificates, if this server speaks TLS (`tls`).
    pub tls: Option<TlsConfig>,
    /// The gateway, if this server has one (`websocket`).
    pub websocket: Option<WebsocketConfig>,
    /// Static files, if this server has some (`document`).
    pub document: Option<DocumentConfig>,
}

impl Listen {
    /// Whether only programs of this machine can connect.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix { .. } => true,
            _ => false,
        }
    }
}

impl ServerConfig {
    /// Its `auth`, and those of its parts.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &AuthConfig> {
        let document = self.document.iter().map(|document| &document.auth);
        let websocket = self.websocket.iter();
        let services = websocket.flat_map(|websocket| {
            let links = websocket.links.iter().map(|link| &link.auth);
            [&websocket.auth].into_iter().chain(links)
        });
        let all = [&self.auth].into_iter().chain(document).chain(services);
        all.flatten()
    }

    /// Most clients of a peer address; `None` is no limit. A peer without an address has come by a
    /// UNIX socket and has no limit either.
    pub(crate) fn max_of(&self, ip: IpAddr) -> Option<usize> {
        match self.max_per_ip {
            MaxPerIp::Set(0) => None,
            MaxPerIp::Set(limit) => Some(limit),
            MaxPerIp::Default if ip.to_canonical().is_loopback() => None,
            MaxPerIp::Default => Some((self.max_clients / 4).max(1)),
        }
    }
}

/// Most clients of one peer address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxPerIp {
    /// A quarter of `maxclients`; loopback addresses have no limit.
    Default,
    /// This many for every address, loopback too; 0 for no limit.
    Set(usize),
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address. `[::]` listens for IPv4 and IPv6 both.
    Tcp(SocketAddr),
    /// An IPv6 address that means something only on one interface, and a TCP port.
    Scoped {
        /// The address.
        address: Ipv6Addr,
        /// The interface's name or index.
        interface: String,
        /// The port.
        port: u16,
    },
    /// Every address that a network interface has, or comes to have, and a TCP port.
    Interface(String, u16),
    /// A UNIX stream socket (`addr = "unix:/run/x.sock"`).
    Unix {
        /// Its path, at most [`MAX_SOCKET_PATH`] bytes.
        path: PathBuf,
        /// Its permissions, set when it is made (`addrmode`).
        mode: u32,
        /// Its group, set when it is made (`addrgroup`); `None` is that of the process.
        group: Option<String>,
    },
}

impl Listen {
    /// Whether both are one address, whatever its permissions.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            _ => self == other,
        }
    }

    /// The TCP port; 0 takes a free one. A UNIX socket has none.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Scoped { port, .. } | Self::Interface(_, port) => Some(*port),
            Self::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Scoped {
                address,
                interface,
                port,
            } => write!(f, "[{address}%{interface}]:{port}"),
            Self::Interface(name, port) => write!(f, "{name}:{port}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The name, in messages, of the configuration that options stand for.
pub(crate) const OPTIONS: &str = "the options";

/// A line of a configuration file. It displays as `FILE:LINE`; of [`OPTIONS`] nobody sees lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from one.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path == Path::new(OPTIONS) {
            true => f.write_str(OPTIONS),
            false => write!(f, "{}:{}", self.path.display(), self.line),
        }
    }
}

/// An IP network in CIDR form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of the network.
    pub address: IpAddr,
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
    /// Who may have the files, if it is not as the server says (`auth`).
    pub auth: Option<AuthConfig>,
}

/// The `websocket` section.
#[derive(Debug, Clone)]
pub struct WebsocketConfig {
    /// Directory of the UNIX sockets (`docroot`).
    pub docroot: PathBuf,
    /// Names served (`allow`).
    pub allow: Vec<Pattern>,
    /// Names refused (`deny`).
    pub deny: Vec<Pattern>,
    /// `allow` wins over `deny` (`denylast`).
    pub deny_last: bool,
    /// Pages that may connect, beside those of the same origin (`origins`).
    pub origins: Origins,
    /// Seconds of silence before a ping (`ping`).
    pub ping: Duration,
    /// Whether clients may list the services (`list`).
    pub list: bool,
    /// Whether the console that is built in is shown (`console`).
    pub console: bool,
    /// Who may use services, if it is not as the server says (`auth`).
    pub auth: Option<AuthConfig>,
    /// Silence after which a direction holds no thread; `None` if it keeps it (`park`).
    pub park: Option<Duration>,
    /// How each service found beneath `docroot` is spoken to.
    pub service: Arc<ServiceConfig>,
    /// Services outside `docroot` (`links`). They come first: the first whose glob matches the name
    /// serves it.
    pub links: Vec<LinkConfig>,
}

impl WebsocketConfig {
    /// Whether `allow` matches a name and `deny` does not, or with `denylast` `allow` alone.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let listed = |globs: &[Pattern]| globs.iter().any(|glob| matches(glob, name));
        listed(&self.allow) && (self.deny_last || !listed(&self.deny))
    }
}
