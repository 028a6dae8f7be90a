//! The client's end of a connection, plain or TLS, used by two threads at once.
//!
//! Both copy threads read and write through a shared reference to one [`Client`]. `frames` decides
//! which thread may write, and when.

pub(crate) mod frames;
#[cfg(feature = "share")]
pub(crate) mod offer;
mod readiness;
mod sending;
mod suspension;
mod writing;

use std::fmt;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::AsRawFd;

use crate::tally::Traffic;

#[cfg(feature = "tls")]
use crate::tls::Session;

/// A client: a connected socket, with a TLS session over it on a TLS server.
pub struct Client {
    stream: Stream,
    peer: Option<SocketAddr>,
    /// Where it comes from, as a proxy in front says.
    source: OnceLock<Box<SocketAddr>>,
    traffic: Traffic,
    /// Its number among the clients of the process; 0 before it has one.
    number: usize,
    /// It stands for a client with TLS: see [`Client::posing`].
    poses: bool,
}

enum Stream {
    /// TCP, or a UNIX stream: the calls used here are the same for both.
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<Session>),
}

impl Client {
    /// A client without TLS.
    pub fn plain(socket: TcpStream) -> Self {
        let peer = socket.peer_addr().ok();
        Self::accepted(socket, peer)
    }

    /// A client without TLS that accept(2) told to come from `peer`.
    pub fn accepted(socket: TcpStream, peer: Option<SocketAddr>) -> Self {
        Self {
            stream: Stream::Plain(socket),
            peer,
            source: OnceLock::new(),
            traffic: Traffic::default(),
            number: 0,
            poses: false,
        }
    }

    /// Stands for a client with or without TLS whose request is only explained.
    #[cfg(feature = "state")]
    pub(crate) fn posing(socket: TcpStream, tls: bool) -> Self {
        Self {
            poses: tls,
            ..Self::accepted(socket, None)
        }
    }

    /// A client with TLS, its handshake done.
    #[cfg(feature = "tls")]
    pub fn tls(session: Session, peer: Option<SocketAddr>) -> Self {
        Self {
            stream: Stream::Tls(Box::new(session)),
            peer,
            source: OnceLock::new(),
            traffic: Traffic::default(),
            number: 0,
            poses: false,
        }
    }

    /// Its address; `None` behind a UNIX socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where it comes from: the address given to [`Client::set_source`], otherwise its peer's. Port
    /// 0 stands for an unknown port.
    pub fn source(&self) -> Option<SocketAddr> {
        self.source.get().map(|source| **source).or(self.peer)
    }

    /// Records where it comes from, once, when its peer is a proxy.
    pub fn set_source(&self, source: SocketAddr) {
        self.source.get_or_init(|| Box::new(source));
    }

    /// Gives it its number.
    pub(crate) fn set_number(&mut self, number: usize) {
        self.number = number;
    }

    /// Its number among the clients of the process, as `-S` shows it; 0 before it has one.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The bytes of its WebSocket.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The address it has connected to; `None` behind a UNIX socket.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket().local_addr().ok()
    }

    /// The server name it asked for in its TLS handshake.
    pub fn server_name(&self) -> Option<String> {
        match &self.stream {
            Stream::Plain(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.server_name(),
        }
    }

    /// The subject of its certificate (RFC 4514 text).
    pub fn subject(&self) -> Option<String> {
        match &self.stream {
            Stream::Plain(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.client_subject(),
        }
    }

    /// Whether what it sends is encrypted.
    pub fn is_tls(&self) -> bool {
        match self.stream {
            Stream::Plain(_) => self.poses,
            #[cfg(feature = "tls")]
            Stream::Tls(_) => true,
        }
    }

    /// The socket, for a backend that takes it over; gives the client back if it speaks TLS.
    ///
    /// # Errors
    /// The client itself, when its bytes are encrypted.
    pub fn into_plain(self) -> Result<TcpStream, Self> {
        match self.stream {
            Stream::Plain(socket) => Ok(socket),
            #[cfg(feature = "tls")]
            Stream::Tls(_) => Err(self),
        }
    }

    /// The socket alone, once nothing more is to be said through a TLS session.
    pub fn into_socket(self) -> TcpStream {
        match self.stream {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.into_socket(),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.socket(),
        }
    }

    /// Reads without consuming: the next `read` returns the same bytes.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` at the deadline.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Plain(socket) => Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_PEEK)?),
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.peek(buffer),
        }
    }

    /// Reads what is there, waiting for the first byte. 0 is the end of the stream.
    ///
    /// # Errors
    /// As read(2); `WouldBlock` when the deadline or the silence limit has passed.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stream {
            Stream::Plain(socket) => (&*socket).read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(session) => (&**session).read(buffer),
        }
    }

    /// Lets every read and write wait until `deadline` at most.
    ///
    /// # Errors
    /// `TimedOut` when it has passed.
    pub fn set_deadline(&self, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.set_read_timeout(Some(left))?;
        self.set_write_timeout(Some(left))
    }

    /// Sets how long a read waits for its first byte.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(limit)
    }

    /// Sets how long a write waits while the socket is full.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.socket().set_write_timeout(limit)
    }

    /// Ends what is written: close_notify on TLS, then FIN.
    pub fn finish(&self) {
        #[cfg(feature = "tls")]
        if let Stream::Tls(session) = &self.stream {
            // A client that is gone needs no close_notify.
            let _ = session.close_notify();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Ends both directions at once and wakes the threads that wait in them.
    pub fn cut(&self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }

    /// Reads and drops until the client closes its end, for `limit` at most: closing a socket with
    /// unread bytes makes TCP send a reset, and the client loses what we sent last.
    pub fn linger(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut dropped = [0; 2048];
        let socket = self.socket();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.set_read_timeout(Some(left)).is_err() {
                return;
            }
            // Raw bytes, on TLS too: their content does not matter any more.
            match (&*socket).read(&mut dropped) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Its address, as in the log. `{:#}` puts its number in front: `#7 192.0.2.1:4711`.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() && self.number != 0 {
            write!(f, "#{} ", self.number)?;
        }
        Peer(self.source()).fmt(f)
    }
}

/// An address in the log; `None` behind a UNIX socket.
pub(crate) struct Peer(pub Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv4 client of a socket for both is not ::ffff:192.0.2.1.
        let written = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        match self.0.map(written) {
            Some((ip, 0)) => write!(f, "{ip}"),
            Some((ip, port)) => write!(f, "{}", SocketAddr::new(ip, port)),
            None => f.write_str("unix"),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}
