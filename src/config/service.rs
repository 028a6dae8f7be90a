//! How one backend is spoken to, as plain data.

use std::time::Duration;

use super::endpoint::Target;

/// How one backend is spoken to: what a `links` entry may set for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub protocols: Protocols,
    /// Small messages that arrived together may share one write (`merge`).
    pub merge: bool,
    /// Send a PROXY protocol v2 header to the backend first (`proxy = "v2"`).
    pub proxy: bool,
    /// How long a handshake waits for a backend that restarts (`wait`).
    pub wait: Duration,
    /// Whether clients share one connection to the backend, and how.
    pub sharing: SharingConfig,
}

/// How clients share one connection to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharingConfig {
    /// Who is served by it (`share`).
    pub share: Share,
    /// Bytes of the last messages that a newcomer gets (`replay`).
    pub replay: usize,
    /// How long the connection is kept after the last client (`linger`).
    pub linger: Duration,
    /// The connection is held whether there are clients or not (`keep`).
    pub keep: bool,
}

/// Who is served by one connection to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All for a serial line and a named pipe, otherwise none.
    Auto,
    /// Each client has a connection of its own.
    None,
    /// All clients.
    All,
    /// The client that came last.
    Newest,
    /// The client that came first.
    First,
}

impl Share {
    /// Who is served by the one connection to this target; `None` where each client has its own.
    pub(crate) fn of(self, target: &Target) -> Option<Self> {
        let is_line = matches!(
            target,
            Target::Tty(..) | Target::Fifo(_) | Target::Fifos { .. }
        );
        match self {
            Self::None => None,
            Self::Auto if is_line && cfg!(feature = "share") => Some(Self::All),
            Self::Auto => None,
            shared => Some(shared),
        }
    }
}

/// Which of the subprotocols that a client offers is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocols {
    /// The first one offered.
    FirstOffered,
    /// The first one offered that is among these; none if the list is empty.
    Listed(Vec<String>),
}

impl Protocols {
    /// The subprotocol chosen of those offered, which stand in the client's order.
    pub(crate) fn choose<'a>(&self, offered: &'a [String]) -> Option<&'a String> {
        match self {
            Self::FirstOffered => offered.first(),
            Self::Listed(listed) => offered.iter().find(|offer| listed.contains(offer)),
        }
    }
}

/// Type of the messages sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// The type the client last sent; before its first message what the subprotocol and the
    /// backend's first bytes suggest. Bytes that are not UTF-8 go as binary.
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
    /// CR LF ends a message to the backend, LF or CR LF one to the client.
    Crlf,
    /// A NUL ends a message.
    Nul,
    /// A four-byte big-endian length and an opcode byte precede a message.
    Length,
}
