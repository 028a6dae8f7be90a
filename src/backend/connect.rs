//! Opening: connects to a backend, before the 101.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "state")]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, getsockopt, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::device::{open_device, open_fifo, open_fifos};
use super::{Backend, Kind, WRITE_WAIT};
use crate::backend::lookup::{LOOK, lookup};
use crate::config::Target;
use crate::system::keepalive::keep_alive;

/// Opens a target, but for a program: [`Backend::run`] runs that. `limit` bounds the connecting by
/// TCP, and later each wait for a device that takes nothing. While connecting waits, `go_on` says
/// whether the connection is still wanted.
///
/// # Errors
/// As connect(2) and open(2); `ConnectionAborted` when `go_on` says no; `WouldBlock` when the queue
/// of a UNIX listener is full (unix(7)), which is not waited for here.
pub(crate) fn connect_while(
    target: &Target,
    limit: Duration,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Backend> {
    match target {
        Target::Unix(path) => connect_unix(path),
        Target::Tcp(host, port) => connect_tcp(host, *port, limit, go_on),
        Target::Tty(path, line) => open_device(path, line, limit),
        Target::Fifo(path) => open_fifo(path, limit),
        Target::Fifos {
            source,
            destination,
        } => open_fifos(source, destination.as_deref(), limit),
        // `websocket` serves it itself.
        Target::Status => Err(io::ErrorKind::Unsupported.into()),
        #[cfg(feature = "exec")]
        Target::Exec(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A backend that is this program itself: our end of a pair of sockets.
#[cfg(feature = "state")]
pub(crate) fn of_ourselves(socket: UnixStream) -> Backend {
    Backend {
        is_ours: true,
        ..Backend::new(socket.into(), Kind::Stream)
    }
}

fn connect_unix(path: &Path) -> io::Result<Backend> {
    let backend = connect_for_client(path)?;
    backend.set_blocking()?;
    Ok(backend)
}

/// Connects to a UNIX socket, for a client that is about to be handed over. Nothing follows the
/// connect(2): the C gateway's library looks for the client as soon as it has accepted, and once
/// only. [`Backend::set_blocking`] comes before the backend is read or written.
///
/// # Errors
/// As connect(2); `WouldBlock` when the queue of the listener is full (unix(7)).
pub(crate) fn connect_for_client(path: &Path) -> io::Result<Backend> {
    match connect_unix_as(path, SockType::Stream) {
        // unix(7): the listener's type differs.
        Err(Errno::EPROTOTYPE) => {
            let fd = connect_unix_as(path, SockType::SeqPacket)?;
            Ok(Backend::new(fd, Kind::Packet))
        }
        result => Ok(Backend::new(result?, Kind::Stream)),
    }
}

pub(super) fn connect_unix_as(path: &Path, kind: SockType) -> nix::Result<OwnedFd> {
    let address = unix_address(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, kind, flags, None)?;
    set_limit(fd.as_fd(), WRITE_WAIT);
    loop {
        match nix::sys::socket::connect(fd.as_raw_fd(), &address) {
            Err(Errno::EINTR) => {}
            result => break result?,
        }
    }
    Ok(fd)
}

/// The address of a UNIX socket. A path that begins with `@` is a name in the abstract namespace
/// (unix(7)), as ss(8) and systemd.socket(5) write it.
fn unix_address(path: &Path) -> nix::Result<UnixAddr> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => UnixAddr::new_abstract(name),
        None => UnixAddr::new(path),
    }
}

fn connect_tcp(
    host: &str,
    port: u16,
    limit: Duration,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Backend> {
    let deadline = Instant::now() + limit;
    let stream = connect_any(&lookup(host, port, limit, go_on)?, deadline, go_on)?;
    keep_alive(&stream, limit);
    let fd = OwnedFd::from(stream);
    set_limit(fd.as_fd(), WRITE_WAIT);
    Ok(Backend::new(fd, Kind::Stream))
}

/// Connects to the first address that answers. Each address has its share of the time that is left.
pub(super) fn connect_any(
    addresses: &[SocketAddr],
    deadline: Instant,
    go_on: &dyn Fn() -> bool,
) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address for this host name");
    for (address, untried) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / untried;
        match connect_within(*address, share, go_on) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_within(
    address: SocketAddr,
    limit: Duration,
    go_on: &dyn Fn() -> bool,
) -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let open = |family| socket(family, SockType::Stream, flags, None);
    let (fd, begun) = match address {
        SocketAddr::V4(address) => {
            let fd = open(AddressFamily::Inet)?;
            let begun = nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn::from(address));
            (fd, begun)
        }
        SocketAddr::V6(address) => {
            let fd = open(AddressFamily::Inet6)?;
            let begun = nix::sys::socket::connect(fd.as_raw_fd(), &SockaddrIn6::from(address));
            (fd, begun)
        }
    };
    match begun {
        Err(Errno::EINPROGRESS | Errno::EINTR) => wait_connected(fd.as_fd(), limit, go_on)?,
        begun => begun?,
    }
    let stream = TcpStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Waits until a socket is connected (connect(2), EINPROGRESS).
fn wait_connected(fd: BorrowedFd<'_>, limit: Duration, go_on: &dyn Fn() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let pause = PollTimeout::try_from(left.min(LOOK)).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
        match poll(&mut fds, pause) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => {
                return match getsockopt(&fd, sockopt::SocketError)? {
                    0 => Ok(()),
                    error => Err(io::Error::from_raw_os_error(error)),
                };
            }
            Err(error) => return Err(error.into()),
        }
        if !go_on() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Sets the write limit. A socket that refuses it stays without one.
pub(super) fn set_limit(fd: BorrowedFd<'_>, limit: Duration) {
    let limit = TimeVal::milliseconds(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    let _ = setsockopt(&fd, sockopt::SendTimeout, &limit);
}
