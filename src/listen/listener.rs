//! Listening: one address, and the server its clients come to.
//!
//! A [`Listener`] outlives its server if a new configuration keeps the address: it then leads to
//! the new server, and no client that connects in between is lost.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Group;

use crate::config::Listen;
use crate::listen::tcp;
use crate::server::Server;
use crate::system::threads;

/// A listening socket, and the server it leads to.
pub(crate) struct Listener {
    address: Listen,
    socket: Socket,
    state: Mutex<State>,
    lent: Option<Lent>,
}

/// A pipe that ends the wait for clients on a socket which another process has bound and keeps.
/// shutdown(2) would end that socket for the other process and the next start too.
struct Lent {
    closed: PipeReader,
    close: PipeWriter,
}

enum State {
    /// It leads to no server yet, and nobody accepts.
    New,
    /// It leads to this server.
    Serving(Weak<Server>),
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
                bind_unix(path, *mode, group.as_deref()).map(Socket::Unix)
            }
        };
        Ok(Self {
            address: address.clone(),
            socket: socket?,
            state: Mutex::new(State::New),
            lent: None,
        })
    }

    /// Takes a TCP socket that another process has bound and keeps.
    ///
    /// # Errors
    /// As getsockname(2), fcntl(2) and pipe(2).
    pub(crate) fn lent_tcp(listener: TcpListener) -> io::Result<Self> {
        let address = Listen::Tcp(listener.local_addr()?);
        listener.set_nonblocking(true)?;
        Self::lent(address, Socket::Tcp(listener))
    }

    /// Takes a UNIX socket that another process has bound and keeps.
    ///
    /// # Errors
    /// If it has no path; as getsockname(2), fcntl(2) and pipe(2).
    pub(crate) fn lent_unix(listener: UnixListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = address
            .as_pathname()
            .ok_or_else(|| io::Error::other("a UNIX socket without a path"))?;
        listener.set_nonblocking(true)?;
        let address = Listen::Unix {
            path: path.to_owned(),
            mode: 0,
            group: None,
        };
        Self::lent(address, Socket::Unix(listener))
    }

    fn lent(address: Listen, socket: Socket) -> io::Result<Self> {
        let (closed, close) = io::pipe()?;
        Ok(Self {
            address,
            socket,
            state: Mutex::new(State::New),
            lent: Some(Lent { closed, close }),
        })
    }

    /// Returns the address as it is configured.
    pub(crate) fn address(&self) -> &Listen {
        &self.address
    }

    /// Makes it lead to `server`. Returns true if it led to none before: then nobody accepts yet.
    pub(crate) fn serve_with(&self, server: &Arc<Server>) -> bool {
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
            State::New | State::Closed => None,
        }
    }

    /// Accepts a client. Returns its socket and its address, `None` on a UNIX socket.
    ///
    /// # Errors
    /// As accept(2). After [`Listener::close`] it always fails.
    pub(crate) fn accept(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let Some(lent) = &self.lent else {
            return self.socket.accept();
        };
        loop {
            lent.wait(self.socket.as_fd())?;
            match self.socket.accept() {
                // The client has left, or the other process has accepted it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Closes it for good and wakes its accept loop, which then finds no server and ends.
    pub(crate) fn close(&self) {
        *self.state() = State::Closed;
        match &self.lent {
            // This cannot block: the pipe is empty.
            Some(lent) => drop((&lent.close).write(&[0])),
            None => drop(shutdown(self.socket.as_fd().as_raw_fd(), Shutdown::Both)),
        }
        self.remove_socket();
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

    fn remove_socket(&self) {
        if let (Listen::Unix { path, .. }, None) = (&self.address, &self.lent) {
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
        if !matches!(*self.state(), State::Closed) {
            self.remove_socket();
        }
    }
}

impl Lent {
    /// Waits for a client.
    ///
    /// # Errors
    /// `ConnectionAborted` once the listener is closed; as poll(2).
    fn wait(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let mut fds = [listener, self.closed.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?;
        match fds[1].any() {
            Some(false) => Ok(()),
            _ => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Socket {
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

/// Binds a UNIX socket. It replaces the socket of a daemon that is gone, never one that somebody
/// listens on. Connecting needs the right to write to the socket and to enter its directory
/// (unix(7)).
fn bind_unix(path: &Path, mode: u32, group: Option<&str>) -> io::Result<UnixListener> {
    let bound = match bind_with_mode(path, mode) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && std::fs::symlink_metadata(path)?.file_type().is_socket()
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            std::fs::remove_file(path)?;
            bind_with_mode(path, mode)
        }
        result => result,
    };
    let listener = bound?;
    if let Some(name) = group {
        let group = Group::from_name(name)?
            .ok_or_else(|| io::Error::other(format!("there is no group '{name}'")))?;
        lchown(path, None, Some(group.gid.as_raw()))?;
    }
    Ok(listener)
}

/// Binds a socket that has its mode from its first moment on. A chmod(2) afterwards, by name, could
/// change a file that somebody has put in its place.
fn bind_with_mode(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let path = path.to_owned();
    // umask(2) changes all threads. So the socket is bound by a thread with a umask of its own.
    let bind = move || {
        // A container may forbid this. The other threads make no file in the meantime.
        let _ = unshare(CloneFlags::CLONE_FS);
        let before = umask(Mode::from_bits_truncate(0o777 & !mode));
        let bound = UnixListener::bind(path);
        umask(before);
        bound
    };
    let bound = threads::named("bind").spawn(bind)?.join();
    bound.unwrap_or_else(|_| Err(io::Error::other("the thread that binds has failed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::system::beneath::tests::Scratch;

    #[test]
    fn a_unix_socket_gets_the_mode_of_the_configuration() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let _listener = bind_unix(&path, 0o660, None).expect("a free name");
        let mode = std::fs::metadata(&path).expect("a socket").permissions();
        assert_eq!(mode.mode() & 0o777, 0o660);
    }

    #[test]
    fn a_unix_socket_never_has_another_mode() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let done = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    if let Ok(found) = std::fs::symlink_metadata(&path) {
                        seen.push(found.permissions().mode() & 0o777);
                    }
                }
                seen
            });
            for _ in 0..300 {
                let _listener = bind_unix(&path, 0o622, None).expect("a free name");
                std::fs::remove_file(&path).expect("a socket");
            }
            done.store(true, Ordering::Relaxed);
            watch.join().expect("no panic")
        });
        assert!(seen.iter().all(|mode| *mode == 0o622), "{seen:?}");
    }

    #[test]
    fn a_unix_socket_of_a_daemon_that_is_gone_is_replaced_and_a_live_one_is_not() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let first = bind_unix(&path, 0o660, None).expect("a free name");
        let refused = bind_unix(&path, 0o660, None).expect_err("it is listened on");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind_unix(&path, 0o660, None).expect("stale");
        std::fs::remove_file(&path).expect("a socket");
        std::fs::write(&path, "precious").expect("a file");
        assert!(bind_unix(&path, 0o660, None).is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }
}
