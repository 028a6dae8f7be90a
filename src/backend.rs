//! Opening and running: the backend's end of a connection.
//!
//! [`connect`] opens what `access` has resolved, before the 101 goes out; the copy
//! threads then read and write the [`Backend`] by shared reference. SEQPACKET
//! sockets are found here by themselves. What the bytes mean is `framing`'s.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, recvfrom, send, sendmsg,
    setsockopt, shutdown, socket, sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::termios::{self, BaudRate, SetArg};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{pipe2, read, write};

use crate::config::Target;
use crate::lookup::lookup;

/// How the descriptor is read, written and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A stream socket, UNIX or TCP.
    Stream,
    /// A UNIX SEQPACKET socket: it keeps boundaries.
    Packet,
    /// A character device: read and written, but it has no end.
    Device,
    /// A named pipe: written only, since what is read from it would be our own bytes.
    Pipe,
}

/// A connected backend.
pub struct Backend {
    fd: OwnedFd,
    kind: Kind,
    /// Wakes who waits for a device, which no shutdown(2) reaches: closed by writing a byte.
    wake: Option<(OwnedFd, OwnedFd)>,
    /// Longest wait for a device; sockets have it as an option.
    limit: Duration,
    /// A packet socket was closed by a peer that left bytes unread.
    was_reset: AtomicBool,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// So many bytes; from a SEQPACKET socket one packet, which may be empty.
    Bytes(usize),
    /// The backend has ended its stream.
    End,
}

/// Opens a target. `limit` bounds the wait for a place in the listener's queue, and later each
/// wait for a backend that does not read.
///
/// # Errors
/// As connect(2) and open(2).
pub fn connect(target: &Target, limit: Duration) -> io::Result<Backend> {
    match target {
        Target::Unix(path) => connect_unix(path, limit),
        Target::Tcp(host, port) => connect_tcp(host, *port, limit),
        Target::Tty(path, baud) => open_device(path, *baud, limit),
        Target::Fifo(path) => open_pipe(path, limit),
    }
}

fn connect_unix(path: &Path, limit: Duration) -> io::Result<Backend> {
    match connect_unix_as(path, SockType::Stream, limit) {
        // unix(7): the listener's type differs.
        Err(Errno::EPROTOTYPE) => {
            let fd = connect_unix_as(path, SockType::SeqPacket, limit)?;
            Ok(Backend::new(fd, Kind::Packet))
        }
        result => Ok(Backend::new(result?, Kind::Stream)),
    }
}

fn connect_unix_as(path: &Path, kind: SockType, limit: Duration) -> nix::Result<OwnedFd> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    set_limit(fd.as_fd(), limit);
    loop {
        match nix::sys::socket::connect(fd.as_raw_fd(), &address) {
            Err(Errno::EINTR) => {}
            result => return result.map(|()| fd),
        }
    }
}

fn connect_tcp(host: &str, port: u16, limit: Duration) -> io::Result<Backend> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address for this host name");
    for address in lookup(host, port, limit)? {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                let fd = OwnedFd::from(stream);
                set_limit(fd.as_fd(), limit);
                return Ok(Backend::new(fd, Kind::Stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A serial line or another character device, raw (termios(3)).
fn open_device(path: &Path, baud: u32, limit: Duration) -> io::Result<Backend> {
    // Without O_NONBLOCK the open waits for a modem's carrier, and later a write for ever.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::open(path, flags, Mode::empty())?;
    if let Ok(mut settings) = termios::tcgetattr(&fd) {
        termios::cfmakeraw(&mut settings);
        settings.control_flags |= termios::ControlFlags::CLOCAL | termios::ControlFlags::CREAD;
        if let Some(speed) = baud_rate(baud) {
            termios::cfsetspeed(&mut settings, speed)?;
        }
        termios::tcsetattr(&fd, SetArg::TCSANOW, &settings)?;
    }
    Backend::with_wake(fd, Kind::Device, limit)
}

fn open_pipe(path: &Path, limit: Duration) -> io::Result<Backend> {
    // With O_NONBLOCK a pipe that nobody reads is refused at once (ENXIO, fifo(7)).
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::open(path, flags, Mode::empty())?;
    Backend::with_wake(fd, Kind::Pipe, limit)
}

/// The speeds of serial lines in use; 0 leaves the line's speed as it is.
fn baud_rate(baud: u32) -> Option<BaudRate> {
    Some(match baud {
        1200 => BaudRate::B1200,
        2400 => BaudRate::B2400,
        4800 => BaudRate::B4800,
        9600 => BaudRate::B9600,
        19200 => BaudRate::B19200,
        38400 => BaudRate::B38400,
        57600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        230_400 => BaudRate::B230400,
        460_800 => BaudRate::B460800,
        921_600 => BaudRate::B921600,
        _ => return None,
    })
}

/// A failure to set the limit leaves the socket without one, as it came.
fn set_limit(fd: BorrowedFd<'_>, limit: Duration) {
    let limit = TimeVal::milliseconds(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    let _ = setsockopt(&fd, sockopt::SendTimeout, &limit);
}

impl Backend {
    fn new(fd: OwnedFd, kind: Kind) -> Self {
        Self {
            fd,
            kind,
            wake: None,
            limit: Duration::ZERO,
            was_reset: AtomicBool::new(false),
        }
    }

    fn with_wake(fd: OwnedFd, kind: Kind, limit: Duration) -> io::Result<Self> {
        let wake = Some(pipe2(OFlag::O_CLOEXEC)?);
        Ok(Self {
            fd,
            kind,
            wake,
            limit,
            was_reset: AtomicBool::new(false),
        })
    }

    /// Whether it keeps packet boundaries (SEQPACKET).
    pub fn is_packet(&self) -> bool {
        self.kind == Kind::Packet
    }

    /// Reads what is there, or one packet, waiting for it.
    ///
    /// # Errors
    /// As recv(2); a packet longer than `buffer` is an error, since its rest is lost.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Input> {
        match self.kind {
            Kind::Stream => input(retry(|| {
                nix::sys::socket::recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty())
            })),
            Kind::Packet => self.read_packet(buffer),
            Kind::Device | Kind::Pipe => self.read_device(buffer),
        }
    }

    /// Reads what is there already from a byte stream; `None` if that is nothing.
    ///
    /// # Errors
    /// As recv(2).
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<Input>> {
        if self.kind != Kind::Stream {
            return Ok(None);
        }
        let (fd, flags) = (self.fd.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        match retry(|| nix::sys::socket::recv(fd, buffer, flags)) {
            Err(Errno::EAGAIN) => Ok(None),
            result => input(result).map(Some),
        }
    }

    /// An accepted socket carries its listener's address, so that a packet comes with a sender
    /// and the end of the stream without one: this tells an empty packet from the end.
    ///
    /// A peer that closes with bytes unread is told once, before the packets it had sent: those
    /// are read first.
    fn read_packet(&self, buffer: &mut [u8]) -> io::Result<Input> {
        let mut result = retry(|| recvfrom::<UnixAddr>(self.fd.as_raw_fd(), buffer));
        if result == Err(Errno::ECONNRESET) {
            self.was_reset.store(true, Ordering::Relaxed);
            result = retry(|| recvfrom::<UnixAddr>(self.fd.as_raw_fd(), buffer));
        }
        match result {
            Ok((0, None)) if self.was_reset.load(Ordering::Relaxed) => {
                Err(Errno::ECONNRESET.into())
            }
            Ok((0, None)) => Ok(Input::End),
            Ok((count, _)) if count == buffer.len() => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("packet of {count} bytes or more"),
            )),
            Ok((count, _)) => Ok(Input::Bytes(count)),
            Err(error) => Err(error.into()),
        }
    }

    fn read_device(&self, buffer: &mut [u8]) -> io::Result<Input> {
        let readable = match self.kind {
            Kind::Pipe => PollFlags::empty(),
            _ => PollFlags::POLLIN,
        };
        match self.wait_for(readable, PollTimeout::NONE) {
            Err(Errno::EPIPE) => return Ok(Input::End),
            result => result?,
        }
        if self.kind == Kind::Pipe {
            return Ok(Input::End);
        }
        match retry(|| read(&self.fd, buffer)) {
            // A serial line whose other side hung up.
            Err(Errno::EIO) => Ok(Input::End),
            result => input(result),
        }
    }

    /// Waits for a device; `EAGAIN` after `limit`, `EPIPE` once it was cut.
    fn wait_for(&self, events: PollFlags, limit: PollTimeout) -> nix::Result<()> {
        let Some((wake, _)) = &self.wake else {
            return Ok(());
        };
        let mut fds = [
            PollFd::new(wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.fd.as_fd(), events),
        ];
        match retry(|| poll(&mut fds, limit))? {
            0 => Err(Errno::EAGAIN),
            _ if fds[0].any() == Some(true) => Err(Errno::EPIPE),
            _ => Ok(()),
        }
    }

    /// Writes pieces as one, or as one packet. Waits as long as the backend takes bytes; when
    /// it takes none for the limit given to `connect`, `go_on` decides.
    ///
    /// # Errors
    /// As sendmsg(2); `TimedOut` when `go_on` says no.
    pub fn write_all_of(&self, pieces: &[&[u8]; 2], go_on: impl Fn() -> bool) -> io::Result<()> {
        let mut slices = [IoSlice::new(pieces[0]), IoSlice::new(pieces[1])];
        let mut left = &mut slices[..];
        loop {
            match self.write(left) {
                Ok(_) if self.kind == Kind::Packet => return Ok(()),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if go_on() => {}
                Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
            if left.iter().all(|slice| slice.is_empty()) {
                return Ok(());
            }
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        let fd = self.fd.as_raw_fd();
        match (self.kind, slices) {
            (Kind::Stream | Kind::Packet, [one]) => send(fd, one, MsgFlags::MSG_NOSIGNAL),
            (Kind::Stream | Kind::Packet, [one, two]) if two.is_empty() => {
                send(fd, one, MsgFlags::MSG_NOSIGNAL)
            }
            (Kind::Stream | Kind::Packet, _) => {
                sendmsg::<()>(fd, slices, &[], MsgFlags::MSG_NOSIGNAL, None)
            }
            (Kind::Device | Kind::Pipe, _) => {
                let limit = PollTimeout::try_from(self.limit).unwrap_or(PollTimeout::MAX);
                self.wait_for(PollFlags::POLLOUT, limit)?;
                let first = slices.iter().find(|slice| !slice.is_empty());
                first.map_or(Ok(0), |slice| write(&self.fd, slice))
            }
        }
    }

    /// Tells the backend that nothing more comes: it reads its end of file.
    pub fn end(&self) {
        match self.kind {
            Kind::Stream | Kind::Packet => {
                let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Write);
            }
            // A device has no end; what waits for its reader to end would wait for ever.
            Kind::Device | Kind::Pipe => self.cut(),
        }
    }

    /// Ends both directions at once and wakes whoever waits in them.
    pub fn cut(&self) {
        match &self.wake {
            None => {
                let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Both);
            }
            Some((_, wake)) => {
                let _ = write(wake, &[0]);
            }
        }
    }
}

impl AsFd for Backend {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn input(result: nix::Result<usize>) -> io::Result<Input> {
    match result {
        Ok(0) => Ok(Input::End),
        Ok(count) => Ok(Input::Bytes(count)),
        Err(error) => Err(error.into()),
    }
}

fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
#[path = "backend_tests.rs"]
pub(crate) mod tests;
