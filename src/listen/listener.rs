//! Listening: one address, and the server its clients come to.
//!
//! A [`Listener`] outlives its server if a new configuration keeps the address: it then leads to
//! the new server, and no client that connects in between is lost.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use nix::sys::socket::{Shutdown, shutdown};

use crate::config::Listen;
use crate::listen::{tcp, unix};
use crate::server::Server;
#[cfg(feature = "websocket")]
use crate::system::keepalive::keep_alive;

/// A listening socket, and the server it leads to.
pub(crate) struct Listener {
    address: Listen,
    /// How the configuration wrote the address of a socket that the process before us has bound.
    written: Option<String>,
    socket: Socket,
    state: Mutex<State>,
    wake: Wake,
    /// Another process has bound it and keeps it.
    is_lent: bool,
}

/// A pipe that ends the wait for clients. shutdown(2) would do the same, but would also end the
/// socket for another process that listens on it.
struct Wake {
    woken: PipeReader,
    wake: PipeWriter,
}

enum State {
    /// It leads to no server yet, and nobody accepts.
    New,
    /// It leads to this server.
    Serving(Weak<Server>),
    /// Another process accepts from now on; a client that is accepted still is this server's.
    Left(Weak<Server>),
    /// It leads to no server any more.
    Closed,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds an address and listens on it.
    ///
    /// # Errors
    /// As bind(2) and listen(2).
    pub(crate) fn open(address: &Listen) -> io::Result<Self> {
        let socket = match address {
            Listen::Tcp(address) => tcp::bind(*address).map(Socket::Tcp),
            Listen::Scoped {
                address,
                interface,
                port,
            } => tcp::bind_scoped(*address, interface, *port).map(Socket::Tcp),
            // An interface stands for addresses, which `binding` opens one by one.
            Listen::Interface(..) => Err(io::ErrorKind::AddrNotAvailable.into()),
            Listen::Unix { path, mode, group } => {
                unix::bind(path, *mode, group.as_deref()).map(Socket::Unix)
            }
        };
        Self::new(address.clone(), socket?)
    }

    /// Takes a socket that the process before us has bound. `written` is its address as that
    /// process's configuration has it.
    ///
    /// # Errors
    /// If it is no listening stream socket of TCP or UNIX; as getsockname(2) and pipe(2).
    pub(crate) fn taken(socket: OwnedFd, written: &str) -> io::Result<Self> {
        if !getsockopt(&socket, sockopt::AcceptConn)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let is_unix = getsockname::<SockaddrStorage>(socket.as_raw_fd())?.family()
            == Some(AddressFamily::Unix);
        let mut taken = match is_unix {
            true => Self::unix(socket.into())?,
            false => Self::tcp(socket.into())?,
        };
        taken.written = Some(written.to_owned());
        Ok(taken)
    }

    /// The address as the configuration writes it, and a second descriptor of the socket, for
    /// another process.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn share(&self) -> io::Result<(String, OwnedFd)> {
        Ok((self.written(), self.socket.as_fd().try_clone_to_owned()?))
    }

    /// The address as the configuration writes it.
    pub(crate) fn written(&self) -> String {
        let written = self.written.clone();
        written.unwrap_or_else(|| self.address.to_string())
    }

    /// Takes a TCP socket that another process has bound and keeps.
    ///
    /// # Errors
    /// As getsockname(2), fcntl(2) and pipe(2).
    pub(crate) fn lent_tcp(listener: TcpListener) -> io::Result<Self> {
        Self::tcp(listener).map(Self::lent)
    }

    /// Takes a UNIX socket that another process has bound and keeps.
    ///
    /// # Errors
    /// If it has no path; as getsockname(2), fcntl(2) and pipe(2).
    pub(crate) fn lent_unix(listener: UnixListener) -> io::Result<Self> {
        Self::unix(listener).map(Self::lent)
    }

    fn lent(mut self) -> Self {
        self.is_lent = true;
        self
    }

    fn tcp(listener: TcpListener) -> io::Result<Self> {
        Self::new(Listen::Tcp(listener.local_addr()?), Socket::Tcp(listener))
    }

    fn unix(listener: UnixListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = address
            .as_pathname()
            .ok_or_else(|| io::Error::other("a UNIX socket without a path"))?;
        let address = Listen::Unix {
            path: path.to_owned(),
            mode: 0,
            group: None,
        };
        Self::new(address, Socket::Unix(listener))
    }

    fn new(address: Listen, socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking()?;
        let (woken, wake) = io::pipe()?;
        Ok(Self {
            address,
            written: None,
            socket,
            state: Mutex::new(State::New),
            wake: Wake { woken, wake },
            is_lent: false,
        })
    }

    /// Returns the address as it is configured.
    pub(crate) fn address(&self) -> &Listen {
        &self.address
    }

    /// Whether it listens on an address of a configuration.
    pub(crate) fn is_on(&self, address: &Listen) -> bool {
        let written = self.written.as_ref();
        self.address.is_same(address)
            || written.is_some_and(|written| *written == address.to_string())
    }

    /// Makes it lead to `server`. Returns true if it led to none before: then nobody accepts yet.
    pub(crate) fn serve_with(&self, server: &Arc<Server>) -> bool {
        #[cfg(feature = "websocket")]
        if let (Socket::Tcp(listener), Some(config)) = (&self.socket, &server.config().websocket) {
            // Once here, instead of five system calls for each client.
            keep_alive(listener, config.ping);
        }
        let before = std::mem::replace(&mut *self.state(), State::Serving(Arc::downgrade(server)));
        matches!(before, State::New)
    }

    /// Whether it leads to no server yet.
    pub(crate) fn is_new(&self) -> bool {
        matches!(*self.state(), State::New)
    }

    /// Returns the server it leads to; `None` if it is closed or new.
    pub(crate) fn server(&self) -> Option<Arc<Server>> {
        match &*self.state() {
            State::Serving(server) => server.upgrade(),
            State::Left(server) => server.upgrade(),
            State::New | State::Closed => None,
        }
    }

    /// Whether nobody accepts here any more.
    #[cfg(feature = "state")]
    pub(crate) fn is_ended(&self) -> bool {
        matches!(*self.state(), State::Left(_) | State::Closed)
    }

    /// Whether another process accepts from now on.
    pub(crate) fn is_left(&self) -> bool {
        matches!(*self.state(), State::Left(_))
    }

    /// Accepts a client. Returns its socket and its address, `None` on a UNIX socket.
    ///
    /// # Errors
    /// As accept(2). `ConnectionAborted` after [`Listener::close`] and [`Listener::leave`].
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        loop {
            self.wake.wait(self.socket.as_fd())?;
            match self.socket.accept() {
                // The client has left, or another process has accepted it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Closes it for good and wakes its accept loop, which then finds no server and ends.
    pub(crate) fn close(&self) {
        *self.state() = State::Closed;
        self.wake.wake();
        if !self.is_lent {
            let _ = shutdown(self.socket.as_fd().as_raw_fd(), Shutdown::Both);
        }
        self.remove_socket();
    }

    /// Leaves the socket to another process that accepts on it, and ends the accept loop. A client
    /// that the loop has accepted is served.
    pub(crate) fn leave(&self) {
        let server = self
            .server()
            .as_ref()
            .map_or_else(Weak::new, Arc::downgrade);
        *self.state() = State::Left(server);
        self.wake.wake();
    }

    /// Returns its address as the start line has it.
    pub(crate) fn name(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map_or_else(
                |error| error.to_string(),
                |address| format!("{scheme}://{address}"),
            ),
            Socket::Unix(_) => self.address.to_string(),
        }
    }

    /// The TCP address it listens on.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    fn remove_socket(&self) {
        if let (Listen::Unix { path, .. }, false) = (&self.address, self.is_lent) {
            // If the user may not remove it, the next start replaces it.
            let _ = std::fs::remove_file(path);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if !self.is_left() && !matches!(*self.state(), State::Closed) {
            self.remove_socket();
        }
    }
}

impl Wake {
    /// Ends this wait and all that follow: the byte stays in the pipe.
    fn wake(&self) {
        // This cannot block: the pipe is empty.
        let _ = (&self.wake).write(&[0]);
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// `ConnectionAborted` once the listener is closed or left; as poll(2).
    fn wait(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let mut fds = [listener, self.woken.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?;
        match fds[1].any() {
            Some(false) => Ok(()),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Socket {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(socket, peer)| (socket, Some(peer))),
            // A UNIX stream is read, written and shut down like a TCP stream; it has no address.
            Self::Unix(listener) => listener
                .accept()
                .map(|(socket, _)| (TcpStream::from(OwnedFd::from(socket)), None)),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}
