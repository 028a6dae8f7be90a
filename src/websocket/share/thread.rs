//! Running: the thread of a shared backend, which reads it and writes to all its clients.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, poll};

use super::connecting::connect;
use super::crowd::Crowd;
use super::passed::{self, Taken};
use super::serving::{Ending, Run};
use super::waiting::{admit, timeout, wait};
use super::{Line, Share, spawn};
use crate::backend::{Backend, Input};
use crate::server::clients::Clients;
use crate::system::reason::reason;
use crate::websocket::pump::{CLOSE_WAIT, LAST_WORDS};

/// First and longest pause between two tries to reach a backend that is kept; each pause is twice
/// the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Starts the thread of a share. Without a backend it connects one.
///
/// # Errors
/// If the thread cannot be created.
pub(super) fn start(
    share: &Arc<Share>,
    backend: Option<Arc<Backend>>,
    clients: Arc<Clients>,
) -> io::Result<()> {
    let share = Arc::clone(share);
    spawn(move || serve(&share, backend, &clients))
}

/// Serves the share's clients by one connection after the other, while it is kept.
fn serve(share: &Arc<Share>, mut backend: Option<Arc<Backend>>, clients: &Arc<Clients>) {
    let sharing = &share.key.config.sharing;
    let what = (&*share.key.name, share.key.mode);
    let crowd = Crowd::new(what, &share.full, sharing.replay, clients.budget());
    loop {
        let connected = backend.take().map(|line| (line, None));
        let Some((line, taken)) = connected.or_else(|| reconnect(share)) else {
            break;
        };
        let (ending, line) = Run::new(share, &crowd, line, clients).serve(taken);
        share.inbox.close();
        let Some(ending) = ending else {
            // A socket does not keep the next client from a connection of its own.
            if line.is_socket() {
                share.give_up();
                release(&line);
            }
            break;
        };
        drop(line);
        let is_over = !share.miss();
        crowd.end(ending.0, ending.1);
        see_off(share, &crowd, ending);
        if is_over {
            break;
        }
    }
    share.give_up();
}

/// Connects a backend that is kept, however long that takes, or takes the one that has come from
/// another process, with what belongs to it; `None` if it is not kept any more.
fn reconnect(share: &Share) -> Option<(Arc<Backend>, Option<Taken>)> {
    let mut pause = PAUSES.0;
    loop {
        if let Some(taken) = share.state().taken.take() {
            return Some((Arc::clone(&taken.backend), Some(taken)));
        }
        if !share.is_kept() {
            return None;
        }
        let go_on = || share.is_kept();
        let mut line = Line::Away;
        match connect(&share.key, &share.key.target, &go_on) {
            Ok(backend) => {
                let backend = Arc::new(backend);
                share.inbox.open(Arc::clone(&backend));
                share.state().line = Line::Open;
                info!("{}: connected, and kept", share.key.name);
                return Some((backend, None));
            }
            // Clients wait for it meanwhile.
            Err(error) if passed::may_come(&error) => {
                (pause, line) = (PAUSES.0 / 2, Line::Opening);
            }
            Err(error) if pause == PAUSES.0 => warn!(
                "{}: cannot be connected: {}; it is tried again, since it is to be kept",
                share.key.name,
                reason(&error)
            ),
            Err(_) => {}
        }
        if !share.misses(line) {
            continue;
        }
        pause_for(share, pause);
        pause = (2 * pause).min(PAUSES.1);
    }
}

/// Waits for a while, or until the thread is woken.
fn pause_for(share: &Share, pause: Duration) {
    let mut fds = [PollFd::new(share.wake.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, timeout(Some(pause)));
    let _ = share.wake.read();
}

/// Waits until the clients of a connection that is over have left.
fn see_off(share: &Share, crowd: &Crowd<'_>, (code, reason): Ending) {
    loop {
        if admit(share, crowd) {
            crowd.end(code, reason);
        }
        let next = crowd.sweep();
        if share.state().memberships == 0 && crowd.is_empty() {
            return;
        }
        let limit = next.map(|next| next.saturating_duration_since(Instant::now()));
        wait(share, crowd, None, &[], limit);
    }
}

/// Ends a backend that no client needs any more. A byte stream gets the end, and the time to read
/// what it was sent: closing a TCP socket with bytes unread destroys them (RFC 1122, section
/// 4.2.2.13).
fn release(backend: &Backend) {
    if !backend.is_socket() {
        return;
    }
    backend.end();
    let deadline = Instant::now() + CLOSE_WAIT;
    let mut quiet = Instant::now();
    while Instant::now() < deadline && quiet.elapsed() < LAST_WORDS {
        let mut fds: Vec<_> = (backend.sources())
            .map(|(fd, events)| PollFd::new(fd, events))
            .collect();
        if poll(&mut fds, timeout(Some(LAST_WORDS))) == Ok(0) {
            if backend.unread() == 0 {
                return;
            }
            continue;
        }
        match backend.read_ready(&mut [0; 2048]) {
            Ok(Some(Input::Bytes(_))) => quiet = Instant::now(),
            Ok(None) => {}
            Ok(Some(Input::End)) | Err(_) => return,
        }
    }
}
