//! Running: how the thread of a shared backend waits.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{EpollEvent, EpollTimeout};

use super::Share;
use super::crowd::Crowd;
use super::tap::Tap;
use crate::backend::Backend;

/// What has become ready.
#[derive(Default)]
pub(super) struct Ready {
    pub(super) can_read: bool,
    pub(super) can_write: bool,
    /// A process before this one says something, or is gone.
    pub(super) can_hear: bool,
    /// A client has taken something.
    pub(super) has_moved: bool,
}

/// Waits for the backend, for clients whose sockets were full, for processes before this one, and
/// for a wake, and goes on with such clients.
pub(super) fn wait(
    share: &Share,
    crowd: &Crowd<'_>,
    backend: Option<(&Backend, bool)>,
    taps: &[Tap<'_>],
    limit: Option<Duration>,
) -> Ready {
    crowd.watch();
    let mut fds = vec![
        PollFd::new(share.wake.as_fd(), PollFlags::POLLIN),
        PollFd::new(share.full.0.as_fd(), PollFlags::POLLIN),
    ];
    let is_waiting = share.inbox.is_waiting();
    let writes = backend.filter(|_| is_waiting).map(|(it, _)| {
        fds.push(PollFd::new(it.sink(), PollFlags::POLLOUT));
        fds.len() - 1
    });
    let hears = fds.len();
    // While something waits for the backend, nothing more is taken from them.
    let heard = taps.iter().filter(|_| !is_waiting);
    fds.extend(heard.map(|tap| PollFd::new(tap.as_fd(), PollFlags::POLLIN)));
    let reads = fds.len();
    if let Some((backend, true)) = backend {
        fds.extend(
            backend
                .sources()
                .map(|(fd, events)| PollFd::new(fd, events)),
        );
    }
    if poll(&mut fds, timeout(limit)).is_err() {
        return Ready::default();
    }
    let is_ready = |index: usize| fds[index].any() == Some(true);
    if is_ready(0) {
        let _ = share.wake.read();
    }
    let has_moved = is_ready(1) && resume(share, crowd);
    Ready {
        can_read: (reads..fds.len()).any(is_ready),
        can_write: writes.is_some_and(is_ready),
        can_hear: (hears..reads).any(is_ready),
        has_moved,
    }
}

/// Goes on with clients whose sockets have space. Returns whether one has taken something.
fn resume(share: &Share, crowd: &Crowd<'_>) -> bool {
    let mut events = [EpollEvent::empty(); 32];
    let count = share
        .full
        .wait(&mut events, EpollTimeout::ZERO)
        .unwrap_or(0);
    let ready = events[..count].iter();
    ready.filter(|event| crowd.resume(event.data())).count() > 0
}

/// Lets those take part who have come. Returns whether there were any.
pub(super) fn admit(share: &Share, crowd: &Crowd<'_>) -> bool {
    let newcomers = std::mem::take(&mut share.state().newcomers);
    let is_any = !newcomers.is_empty();
    newcomers.into_iter().for_each(|member| crowd.admit(member));
    is_any
}

/// A limit for poll(2).
pub(super) fn timeout(limit: Option<Duration>) -> PollTimeout {
    // A millisecond more, so that the time is over afterwards.
    let limit = limit.map(|limit| limit + Duration::from_millis(1));
    limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
    })
}
