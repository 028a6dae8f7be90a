//! Running: a line goes over to the next process of an upgrade.
//!
//! The line itself goes over, with its lock, so that nothing it says is lost and no modem is reset.
//! With it go what waits for it, what newcomers are to get, and a message that has begun. The
//! clients stay: for them the old process has a socket to the new one instead of the line ([`Tap`]).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::info;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::tap::Tap;
use super::{Line, Share, retire, shares};
use crate::backend::Backend;
use crate::config::Target;
use crate::system::threads;
use crate::websocket::pump::offer;

/// First line of a packet, after which come the place of the line, its name, and how many of the
/// bytes are of a message that has begun, and wait for the line.
pub(super) const FORMAT: &str = "line 1";

/// Longest wait until a line has gone over, and for its place in the new process.
pub(super) const WAIT: Duration = Duration::from_secs(10);

/// Pause between two looks whether it has.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// How long after its start a process may get lines from the one before it: that one is on trial
/// for five seconds.
const AWAITED: Duration = Duration::from_secs(20);

/// Until when lines may come.
static AWAITED_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// A line that has come from the process before, and what belongs to it.
pub(super) struct Taken {
    pub(super) backend: Arc<Backend>,
    /// The sockets to processes whose clients share it.
    pub(super) others: Vec<OwnedFd>,
    /// A message that has begun.
    pub(super) begun: Vec<u8>,
    /// Frames for newcomers.
    pub(super) said: Vec<u8>,
}

/// Notes that lines may come from the process before: whoever asks for one meanwhile waits.
pub(crate) fn await_lines() {
    *awaited() = Some(Instant::now() + AWAITED);
}

/// Whether a line that could not be had for this reason may still come from another process.
pub(super) fn may_come(error: &io::Error) -> bool {
    let is_awaited = || awaited().is_some_and(|until| Instant::now() < until);
    error.kind() == io::ErrorKind::ResourceBusy && is_awaited()
}

fn awaited() -> MutexGuard<'static, Option<Instant>> {
    AWAITED_UNTIL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has all lines go over to the process at the other end of `to`. One that it does not take is let
/// go: its clients are closed. Other backends stay for as long as their clients.
pub(crate) fn leave(to: BorrowedFd<'_>) {
    let all = shares().clone();
    for share in all {
        if place(&share.key.target).is_some() && !gives(&share, to) {
            retire(&share, "another process has the line");
        }
        share.hold(false);
    }
}

/// Has the thread of a share pass its line on. Returns false if it is not done in time.
fn gives(share: &Share, to: BorrowedFd<'_>) -> bool {
    let Ok(heir) = to.try_clone_to_owned() else {
        return false;
    };
    {
        let mut state = share.state();
        if state.line != Line::Open {
            return false;
        }
        state.heir = Some(Arc::new(heir));
    }
    share.wake();
    let deadline = Instant::now() + WAIT;
    loop {
        let mut state = share.state();
        if state.heir.is_none() || state.line == Line::Over {
            return true;
        }
        if Instant::now() >= deadline {
            state.heir = None;
            return false;
        }
        drop(state);
        threads::sleep(LOOK);
    }
}

/// Passes a line on, by the share's thread. `begun` and `said` go with it, and the sockets to
/// processes that have a part in it already. Returns what stands for the line from now on; `None`
/// if the other process does not take it.
///
/// # Errors
/// As memfd_create(2), socketpair(2) and sendmsg(2).
pub(super) fn give(
    share: &Share,
    to: BorrowedFd<'_>,
    line: &Backend,
    (begun, said): (&[u8], &[u8]),
    others: &[Tap<'_>],
) -> io::Result<Option<Arc<Backend>>> {
    let Some(place) = place(&share.key.target) else {
        return Ok(None);
    };
    let (before, after) = Tap::pair()?;
    let next = Arc::new(Backend::elsewhere(before, share.key.ping)?);
    let has_gone = share.inbox.pass(&next, |waiting| {
        let mut bytes = File::from(memfd_create(c"line", MFdFlags::MFD_CLOEXEC)?);
        for piece in [begun, waiting, said] {
            bytes.write_all(piece)?;
        }
        let (name, begun, waiting) = (&share.key.name, begun.len(), waiting.len());
        let text = format!("{FORMAT}\n{place}\n{name}\n{begun}\n{waiting}\n");
        let mut descriptors = vec![bytes.as_fd()];
        descriptors.extend(line.descriptors());
        descriptors.push(after.as_fd());
        descriptors.extend(others.iter().map(AsFd::as_fd));
        offer(to, text.as_bytes(), &descriptors)
    })?;
    if has_gone {
        line.leave();
        info!("{}: the new process has the line", share.key.name);
    }
    Ok(has_gone.then_some(next))
}

/// What distinguishes a line or a pipe from others; `None` for what is neither.
pub(super) fn place(target: &Target) -> Option<String> {
    match target {
        Target::Tty(path, _) => Some(format!("tty {}", path.to_str()?)),
        Target::Fifo(path) => Some(format!("fifo {}", path.to_str()?)),
        Target::Fifos {
            source,
            destination,
        } => {
            let destination = match destination {
                Some(path) => path.to_str()?,
                None => "",
            };
            Some(format!("fifos {} {destination}", source.to_str()?))
        }
        _ => None,
    }
}
