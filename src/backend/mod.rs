//! Opening and running: the backend's end of a connection.
//!
//! [`connect()`] opens what `access` has resolved, before the 101 goes out; the copy threads then
//! read and write the [`Backend`] by shared reference. SEQPACKET sockets are recognised here.
//! `framing` knows what the bytes mean.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, UnixAddr, recv, recvfrom, send, sendmsg, shutdown};

mod connect;
mod device;
#[cfg(feature = "exec")]
pub(crate) mod exec;
pub(crate) mod lookup;
pub(crate) mod presence;
mod program;
#[cfg(feature = "share")]
mod ready;
pub(crate) mod serial;
mod waiting;

#[cfg(feature = "websocket_rt")]
pub(crate) use connect::connect_for_client;
pub(crate) use connect::connect_while;
#[cfg(feature = "state")]
pub(crate) use connect::of_ourselves;
use device::Device;

use crate::system::gather::gather;
use crate::system::unread::unread;

/// How long a write waits for a backend that does not read, before its thread goes elsewhere.
pub(super) const WRITE_WAIT: Duration = Duration::from_millis(200);

/// Longest wait for a writer whose system call is about to report a reset.
const RESET_WAIT: Duration = Duration::from_secs(1);

/// How the descriptor is read, written and ended.
#[derive(Debug)]
enum Kind {
    /// A stream socket, UNIX or TCP.
    Stream,
    /// A UNIX SEQPACKET socket: it keeps boundaries.
    Packet,
    /// A serial line, another device or a fifo.
    Device(Box<Device>),
}

/// A connected backend.
pub(crate) struct Backend {
    fd: OwnedFd,
    kind: Kind,
    /// A thread is in a system call that writes to a socket.
    is_writing: AtomicBool,
    /// The other side has closed its socket with bytes unread.
    was_reset: AtomicBool,
    /// The other side is this process.
    is_ours: bool,
    /// The program at the other side; dropping it ends it.
    #[cfg(feature = "exec")]
    program: Option<Box<exec::Program>>,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes were read. From a SEQPACKET socket they are one packet, which may be empty.
    Bytes(usize),
    /// The backend has ended its stream.
    End,
}

impl Backend {
    fn new(fd: OwnedFd, kind: Kind) -> Self {
        Self {
            fd,
            kind,
            is_writing: AtomicBool::new(false),
            was_reset: AtomicBool::new(false),
            is_ours: false,
            #[cfg(feature = "exec")]
            program: None,
        }
    }

    /// Lets reads and writes wait.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn set_blocking(&self) -> io::Result<()> {
        fcntl(&self.fd, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok(())
    }

    /// A backend that another process has connected, and keeps packet boundaries if `is_packet`.
    pub(crate) fn taken(socket: OwnedFd, is_packet: bool) -> Self {
        let kind = if is_packet {
            Kind::Packet
        } else {
            Kind::Stream
        };
        Self::new(socket, kind)
    }

    /// Whether another process can read and write it in our place.
    pub(crate) fn is_passable(&self) -> bool {
        self.is_socket() && !self.is_program() && !self.is_ours
    }

    /// Its socket alone.
    #[cfg(feature = "websocket_rt")]
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Whether it keeps packet boundaries (SEQPACKET).
    pub(crate) fn is_packet(&self) -> bool {
        matches!(self.kind, Kind::Packet)
    }

    /// Whether it can be waited for by epoll(7): a socket. Devices and pipes are read otherwise.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.kind, Kind::Stream | Kind::Packet)
    }

    /// Whether a read of a socket would return at once.
    pub(crate) fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// Reads what is there, or one packet, waiting for it.
    ///
    /// # Errors
    /// As recv(2), `Interrupted` when the thread was called out of it; a packet longer than `buffer`
    /// is an error, since its rest is lost; [`Backend::is_gone`] tells of a device.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<Input> {
        match &self.kind {
            Kind::Stream => self.stream_input(recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty())),
            Kind::Packet => self.read_packet(buffer),
            Kind::Device(device) => device.read(self.fd.as_fd(), buffer),
        }
    }

    /// Reads what is there already from a byte stream; `None` if that is nothing.
    ///
    /// # Errors
    /// As recv(2).
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> io::Result<Option<Input>> {
        if !matches!(self.kind, Kind::Stream) {
            return Ok(None);
        }
        let (fd, flags) = (self.fd.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        match retry(|| recv(fd, buffer, flags)) {
            Err(Errno::EAGAIN) => Ok(None),
            result => self.stream_input(result).map(Some),
        }
    }

    fn stream_input(&self, result: nix::Result<usize>) -> io::Result<Input> {
        match result {
            Ok(0) | Err(Errno::ECONNRESET) if self.is_program() => Ok(Input::End),
            Ok(0) if self.is_reset() => Err(Errno::ECONNRESET.into()),
            result => input(result),
        }
    }

    /// Whether the other side has closed with bytes unread. The kernel reports that to one system
    /// call, once. Where that call was a writer's, the reader finds the end of the stream.
    fn is_reset(&self) -> bool {
        let deadline = Instant::now() + RESET_WAIT;
        while self.is_writing.load(Ordering::Acquire) && self.is_closed() {
            // Its call is about to end: no call waits for a closed socket.
            if Instant::now() >= deadline {
                break;
            }
            thread::yield_now();
        }
        self.was_reset.load(Ordering::Acquire)
    }

    /// Whether the other side has closed both directions.
    fn is_closed(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// An accepted socket carries its listener's address, so that a packet comes with a sender and
    /// the end of the stream without one: an empty packet differs from the end.
    ///
    /// The kernel reports a peer that closed with bytes unread once, before the packets it had
    /// sent: this reads those first.
    fn read_packet(&self, buffer: &mut [u8]) -> io::Result<Input> {
        let mut result = recvfrom::<UnixAddr>(self.fd.as_raw_fd(), buffer);
        if result == Err(Errno::ECONNRESET) {
            self.was_reset.store(true, Ordering::Release);
            result = retry(|| recvfrom::<UnixAddr>(self.fd.as_raw_fd(), buffer));
        }
        match result {
            Ok((0, None)) => self.stream_input(Ok(0)),
            Ok((count, _)) if count == buffer.len() => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("packet of {count} bytes or more"),
            )),
            Ok((count, _)) => Ok(Input::Bytes(count)),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes bytes. Waits as long as the backend takes some. When it has taken none for a while,
    /// `go_on` decides whether to wait on.
    ///
    /// # Errors
    /// As sendmsg(2); `TimedOut` when `go_on` says no.
    pub(crate) fn write_all(&self, bytes: &[u8], go_on: impl Fn() -> bool) -> io::Result<()> {
        let mut taken = 0;
        loop {
            let before = taken;
            let is_full;
            (taken, is_full) = self.write_of(&[bytes], taken)?;
            if !is_full {
                return Ok(());
            }
            if taken == before && !go_on() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    /// Writes at most four pieces, of which `taken` bytes were written before, in one call, or as one
    /// packet. Returns how many bytes of all have been written, and whether that is not all: the
    /// backend has taken no more for [`WRITE_WAIT`], or a device for the limit given to `connect`.
    ///
    /// # Errors
    /// As sendmsg(2), but for `EAGAIN`.
    pub(crate) fn write_of(&self, pieces: &[&[u8]], taken: usize) -> io::Result<(usize, bool)> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        loop {
            match gather(pieces, taken, |slices| self.write(slices)) {
                Ok(count) => return Ok((taken + count, taken + count < length)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok((taken, true)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        match &self.kind {
            Kind::Stream | Kind::Packet => {
                self.is_writing.store(true, Ordering::Release);
                let result = self.send(slices);
                if result == Err(Errno::ECONNRESET) {
                    self.was_reset.store(true, Ordering::Release);
                }
                self.is_writing.store(false, Ordering::Release);
                result
            }
            Kind::Device(device) => device.write(self.fd.as_fd(), slices),
        }
    }

    fn send(&self, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        let fd = self.fd.as_raw_fd();
        match slices {
            [one] => send(fd, one, MsgFlags::MSG_NOSIGNAL),
            _ => sendmsg::<()>(fd, slices, &[], MsgFlags::MSG_NOSIGNAL, None),
        }
    }

    /// What the other side has not read yet ([`unread`]).
    pub(crate) fn unread(&self) -> u32 {
        unread(&self.fd)
    }

    /// Ends what is written to the backend: it reads the end of file.
    pub(crate) fn end(&self) {
        match self.kind {
            Kind::Stream | Kind::Packet => {
                let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Write);
            }
            // A device has no end to wait for.
            Kind::Device(_) => self.cut(),
        }
    }

    /// Ends both directions at once and wakes the threads that wait in them.
    pub(crate) fn cut(&self) {
        match &self.kind {
            Kind::Stream | Kind::Packet => {
                let _ = shutdown(self.fd.as_raw_fd(), Shutdown::Both);
            }
            Kind::Device(device) => device.end(),
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
pub(crate) mod tests;
