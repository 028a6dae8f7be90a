//! Listening: the sockets of one server, TCP and UNIX.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{Shutdown, shutdown};

use crate::config::Listen;

/// A listening socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Waits for a client.
    ///
    /// # Errors
    /// As accept(2).
    pub(super) fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(socket, _)| socket),
            // Read, written and shut down alike; only its address is none.
            Self::Unix(listener) => listener
                .accept()
                .map(|(socket, _)| TcpStream::from(OwnedFd::from(socket))),
        }
    }

    /// Wakes its accept loop, which then finds that the server stops.
    pub(super) fn close(&self) {
        let fd = match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        };
        let _ = shutdown(fd, Shutdown::Both);
    }

    /// Where it listens, as the start line says it.
    pub(super) fn name(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(
                |error| error.to_string(),
                |address| format!("{scheme}://{address}"),
            ),
            Self::Unix(listener) => listener
                .local_addr()
                .ok()
                .and_then(|address| Some(format!("unix:{}", address.as_pathname()?.display())))
                .unwrap_or_default(),
        }
    }
}

/// Listens on an address.
///
/// # Errors
/// As bind(2).
pub(super) fn bind(address: &Listen) -> io::Result<Listener> {
    match address {
        Listen::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
        Listen::Unix(path) => bind_unix(path).map(Listener::Unix),
    }
}

/// All addresses: IPv6 and IPv4 by one socket, or IPv4 where there is no IPv6.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error)
            if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
                && address.ip().is_unspecified() =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        result => result,
    }
}

/// Replaces the socket of a daemon that is gone, never one that is listened on.
pub(super) fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && std::fs::symlink_metadata(path)?.file_type().is_socket()
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}
