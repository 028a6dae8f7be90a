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

/// What a descriptor is waited for to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// To be readable, or ended.
    Input,
    /// To take bytes, or to be ended.
    Space,
    /// To be ended by the other side.
    End,
}

/// Stands for the set of those that are to take bytes.
const SPACE: u64 = u64::MAX;

/// A set of descriptors, each with an index by which it is told. One can be in it twice: for its
/// space, and for its input or its end.
pub(crate) struct Epoll {
    input: epoll::Epoll,
    /// Is in `input` itself.
    space: epoll::Epoll,
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// As epoll_create1(2) and epoll_ctl(2).
    pub(crate) fn new() -> io::Result<Self> {
        let new = || epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let (input, space) = (new()?, new()?);
        input.add(&space.0, EpollEvent::new(EpollFlags::EPOLLIN, SPACE))?;
        Ok(Self { input, space })
    }

    /// Adds a descriptor. One that does what is awaited is ready at once.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    pub(crate) fn add(
        &self,
        descriptor: Descriptor<'_>,
        index: usize,
        awaited: Awaited,
    ) -> io::Result<()> {
        let (set, flags) = match awaited {
            Awaited::Input => (&self.input, EpollFlags::EPOLLIN),
            Awaited::Space => (&self.space, EpollFlags::EPOLLOUT),
            Awaited::End => (&self.input, EpollFlags::EPOLLRDHUP),
        };
        Ok(set.add(descriptor, EpollEvent::new(flags, index as u64))?)
    }

    /// Takes a descriptor out, which is in the set.
    pub(crate) fn delete(&self, descriptor: Descriptor<'_>, awaited: Awaited) {
        let _ = match awaited {
            Awaited::Input | Awaited::End => self.input.delete(descriptor),
            Awaited::Space => self.space.delete(descriptor),
        };
    }

    /// Waits for `limit` at most until descriptors are ready. Returns how many indices have been
    /// written to `ready`.
    ///
    /// # Errors
    /// As epoll_wait(2), but for EINTR.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut [usize; EVENTS]) -> io::Result<usize> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let timeout = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX);
        let mut count = wait(&self.input, &mut events, timeout)?;
        let found = events[..count]
            .iter()
            .position(|event| event.data() == SPACE);
        if let Some(place) = found {
            count -= 1;
            events.swap(place, count);
            count += wait(&self.space, &mut events[count..], EpollTimeout::ZERO)?;
        }
        for (index, event) in ready.iter_mut().zip(&events[..count]) {
            // It was an index when it was added.
            *index = event.data() as usize;
        }
        Ok(count)
    }
}

fn wait(set: &epoll::Epoll, events: &mut [EpollEvent], timeout: EpollTimeout) -> io::Result<usize> {
    match set.wait(events, timeout) {
        Err(Errno::EINTR) => Ok(0),
        count => Ok(count?),
    }
}
