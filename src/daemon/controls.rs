//! Running: where the main thread waits for signals, and for the processes of an upgrade.

use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use log::debug;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::daemon::signals;
use crate::system::threads;

/// What the daemon is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// TERM or INT: stop, gracefully the first time.
    Stop,
    /// HUP: read what may have changed again.
    Reload,
    /// USR1: tell in the log what goes on.
    Tell,
    /// USR2: let the program that is now on disk take over.
    Upgrade,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A signal.
    Control(Control),
    /// This one of the descriptors is readable, or at its end.
    Ready(usize),
    /// Nothing, within the time.
    Quiet,
}

/// Where the main thread waits to be told something. It waits in poll(2), not for a lock: that
/// works on a kernel without the 32-bit system calls for time as well.
pub(crate) struct Controls(SignalFd);

impl Controls {
    /// Receives the signals that are blocked.
    ///
    /// # Errors
    /// When there is no descriptor left, or the kernel has no signalfd(2).
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&signals::blocked(), flags)?))
    }

    /// Waits for a signal that means something, or for one of the descriptors, for `limit` at the
    /// most.
    ///
    /// # Errors
    /// As poll(2) and signalfd(2).
    pub(crate) fn next(
        &self,
        others: &[BorrowedFd<'_>],
        limit: Option<Duration>,
    ) -> io::Result<Event> {
        let limit = limit.map_or(PollTimeout::NONE, |limit| {
            PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
        });
        loop {
            let fds = others.iter().copied().chain([self.0.as_fd()]);
            let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            match poll(&mut fds, limit) {
                Err(Errno::EINTR) => continue,
                Ok(0) => return Ok(Event::Quiet),
                result => result?,
            };
            let is_ready = |fd: &PollFd<'_>| fd.any() != Some(false);
            if let Some(index) = fds[..others.len()].iter().position(is_ready) {
                return Ok(Event::Ready(index));
            }
            if let Some(control) = self.read()? {
                return Ok(Event::Control(control));
            }
        }
    }

    /// Does `work` on a thread of its own and waits for its end. Returns false if a signal to stop
    /// comes first: then it is waited for no longer.
    ///
    /// # Errors
    /// As [`Controls::next`] and pipe(2).
    pub(crate) fn wait_for(
        &self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<bool> {
        let (reader, writer) = io::pipe()?;
        let work = move || {
            // Closed at the end of the thread, however it ends.
            let _open: PipeWriter = writer;
            work();
        };
        if threads::spawn(name, work).is_err() {
            return Ok(false);
        }
        loop {
            match self.next(&[reader.as_fd()], None)? {
                Event::Control(Control::Stop) => return Ok(false),
                Event::Ready(_) => return Ok(true),
                Event::Control(_) | Event::Quiet => {}
            }
        }
    }

    /// Takes a signal; `None` if it means nothing.
    fn read(&self) -> io::Result<Option<Control>> {
        let Some(signal) = self.0.read_signal()? else {
            return Ok(None);
        };
        match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
            Ok(Ok(Signal::SIGHUP)) => Ok(Some(Control::Reload)),
            Ok(Ok(Signal::SIGUSR1)) => Ok(Some(Control::Tell)),
            Ok(Ok(Signal::SIGUSR2)) => Ok(Some(Control::Upgrade)),
            Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => Ok(Some(Control::Stop)),
            _ => {
                debug!("signal {} is ignored", signal.ssi_signo);
                Ok(None)
            }
        }
    }
}
