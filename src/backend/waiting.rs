//! Running: waits for a device or a pipe.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Input, retry};

/// A wait for a descriptor that no shutdown(2) reaches.
#[derive(Debug)]
pub(super) struct Waiting {
    /// A byte in this pipe ends every wait.
    woken: PipeReader,
    wake: PipeWriter,
    /// Longest wait until it can be written to; sockets have an option for this.
    pub(super) limit: Duration,
}

impl Waiting {
    pub(super) fn new(limit: Duration) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        Ok(Self { woken, wake, limit })
    }

    /// Waits for a device; `EAGAIN` after `limit`, `EPIPE` once it was cut.
    pub(super) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        limit: PollTimeout,
    ) -> nix::Result<()> {
        let mut fds = [
            PollFd::new(self.woken.as_fd(), PollFlags::POLLIN),
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

    /// Ends every wait, for good.
    pub(super) fn end(&self) {
        let _ = (&self.wake).write(&[0]);
    }
}
