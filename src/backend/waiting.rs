//! Running: waits for a device or a pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Input, retry};

/// A wait for a descriptor that no shutdown(2) reaches.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Once it is above 0, it ends every wait (eventfd(2)).
    over: EventFd,
    /// Longest wait until it can be written to; sockets have an option for this.
    pub(super) limit: Duration,
}

impl Waiting {
    pub(super) fn new(limit: Duration) -> io::Result<Self> {
        let over = EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { over, limit })
    }

    /// Waits for a device; `EAGAIN` after `limit`, `EPIPE` once it was cut.
    pub(super) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        limit: PollTimeout,
    ) -> nix::Result<()> {
        let mut fds = [
            PollFd::new(self.over.as_fd(), PollFlags::POLLIN),
            PollFd::new(fd, events),
        ];
        match retry(|| poll(&mut fds, limit))? {
            0 => Err(Errno::EAGAIN),
            _ if fds[0].any() == Some(true) => Err(Errno::EPIPE),
            _ => Ok(()),
        }
    }

    /// Waits until a pipe has no reader any more, or was cut.
    pub(super) fn until_end(&self, fd: BorrowedFd<'_>) -> io::Result<Input> {
        match self.wait(fd, PollFlags::empty(), PollTimeout::NONE) {
            Ok(()) | Err(Errno::EPIPE) => Ok(Input::End),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until `source` can be read or the pipe `destination` has no reader any more; `EPIPE` for
    /// the latter, and once it was cut. Bytes to read come first.
    pub(super) fn for_source(
        &self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
    ) -> nix::Result<()> {
        let mut fds = [
            PollFd::new(self.over.as_fd(), PollFlags::POLLIN),
            PollFd::new(source, PollFlags::POLLIN),
            PollFd::new(destination, PollFlags::empty()),
        ];
        retry(|| poll(&mut fds, PollTimeout::NONE))?;
        match fds[0].any() != Some(true) && fds[1].any() == Some(true) {
            true => Ok(()),
            false => Err(Errno::EPIPE),
        }
    }

    /// Ends every wait, for good.
    pub(super) fn end(&self) {
        let _ = self.over.write(1);
    }
}
