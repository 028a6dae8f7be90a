//! A connection to the program that checks logins. Each step ends at a deadline.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::backend::{Backend, connect_while};
use crate::config::Target;

/// Time between two tries to connect to a UNIX socket whose queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// The place of a program, as `address` has it.
pub(super) fn address(target: &Target) -> String {
    match target {
        Target::Unix(path) => format!("unix:{}", path.display()),
        Target::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
        Target::Tcp(host, port) => format!("{host}:{port}"),
        // `address` names no others.
        _ => String::new(),
    }
}

/// A connected socket, UNIX or TCP.
pub struct Socket(Backend);

impl Socket {
    /// Connects until `deadline`. A full queue of a UNIX socket is waited for.
    ///
    /// # Errors
    /// As connect(2); `TimedOut` at the deadline.
    pub fn connect(target: &Target, deadline: Instant) -> io::Result<Self> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match connect_while(target, left, &|| true) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && left > PAUSE => {
                    thread::sleep(PAUSE);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(ErrorKind::TimedOut.into());
                }
                result => return result.map(Self),
            }
        }
    }

    /// Sends all of these bytes, to a SEQPACKET socket as one packet.
    ///
    /// # Errors
    /// As send(2); `TimedOut` at the deadline.
    pub(super) fn send(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while !bytes.is_empty() {
            match send(self.0.as_fd().as_raw_fd(), bytes, flags) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, deadline)?,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for bytes and takes what is there; 0 is the end.
    ///
    /// # Errors
    /// As recv(2); `TimedOut` at the deadline.
    pub(super) fn receive(&self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            // Also where bytes are there: a program that goes on sending gets no more time.
            if Instant::now() >= deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            match recv(self.0.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN, deadline)?,
                Err(Errno::EINTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Whether nothing has come, neither bytes nor the end.
    pub(super) fn is_quiet(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }

    fn wait(&self, events: PollFlags, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        // poll(2) counts whole milliseconds: it must not return at once for less than one.
        let left = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut fds = [PollFd::new(self.0.as_fd(), events)];
        match poll(&mut fds, left.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
