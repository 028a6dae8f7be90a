//! Ground: waits for many descriptors at once, by epoll(7).
//!
//! `server::parking` uses this and nothing else of epoll. The model in `tests/model` has a set of
//! its own in its place.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Most descriptors that one wait returns.
pub(crate) const EVENTS: usize = 64;

/// What is waited for.
pub(crate) type Descriptor<'a> = BorrowedFd<'a>;

/// A set of descriptors, each with an index by which it is told.
pub(crate) struct Epoll(epoll::Epoll);

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// As epoll_create1(2).
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Adds a descriptor. One that can be read already is ready at once.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(crate) fn add(&self, descriptor: Descriptor<'_>, index: usize) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        Ok(self.0.add(descriptor, event)?)
    }

    /// Takes a descriptor out, which is in the set.
    pub(crate) fn delete(&self, descriptor: Descriptor<'_>) {
        let _ = self.0.delete(descriptor);
    }

    /// Waits for `limit` at most until descriptors can be read or have ended. Returns how many
    /// indices have been written to `ready`.
    ///
    /// # Errors
    /// As epoll_wait(2), but for EINTR.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut [usize; EVENTS]) -> io::Result<usize> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX);
        let count = match self.0.wait(&mut events, timeout) {
            Err(Errno::EINTR) => 0,
            count => count?,
        };
        for (index, event) in ready.iter_mut().zip(&events[..count]) {
            // It was an index when it was added.
            *index = event.data() as usize;
        }
        Ok(count)
    }
}
