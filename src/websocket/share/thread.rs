//! Running: the thread of a shared backend, which reads it and writes to all its clients.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connecting::connect;
use super::crowd::{Crowd, descriptor};
use super::{Line, Share, spawn};
use crate::backend::{Backend, Input};
use crate::frame::CloseCode;
use crate::server::clients::Clients;
use crate::system::reason::reason;
use crate::websocket::framing::{Forward, ToClient};
use crate::websocket::pump::{CLOSE_WAIT, LAST_WORDS, TURNED_AWAY};

/// Longest time for which a backend that can wait is not read, because no client takes anything.
const STALL: Duration = Duration::from_secs(5);

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

/// How a connection to the backend is over.
type Ending = (CloseCode, &'static str);

/// Serves the share's clients by one connection after the other, while it is kept.
fn serve(share: &Arc<Share>, mut backend: Option<Arc<Backend>>, clients: &Arc<Clients>) {
    let sharing = &share.key.config.sharing;
    let crowd = Crowd::new(
        &share.key.name,
        share.key.mode,
        sharing.replay,
        clients.budget(),
    );
    loop {
        let Some(line) = backend.take().or_else(|| reconnect(share)) else {
            break;
        };
        let mut run = Run {
            share,
            crowd: &crowd,
            backend: &line,
            begun: Instant::now(),
            moved: Instant::now(),
            written: Instant::now(),
        };
        let ending = run.serve(clients);
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

/// Connects a backend that is kept, however long that takes; `None` if it is not kept any more.
fn reconnect(share: &Share) -> Option<Arc<Backend>> {
    let mut pause = PAUSES.0;
    loop {
        if !share.is_kept() {
            return None;
        }
        let go_on = || share.is_kept();
        match connect(&share.key, &share.key.target, &go_on) {
            Ok(backend) => {
                let backend = Arc::new(backend);
                share.inbox.open(Arc::clone(&backend));
                share.state().line = Line::Open;
                info!("{}: connected, and kept", share.key.name);
                return Some(backend);
            }
            Err(error) if pause == PAUSES.0 => warn!(
                "{}: cannot be connected: {}; it is tried again, since it is to be kept",
                share.key.name,
                reason(&error)
            ),
            Err(_) => {}
        }
        share.state().line = Line::Away;
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

/// Lets those take part who have come. Returns whether there were any.
fn admit(share: &Share, crowd: &Crowd<'_>) -> bool {
    let newcomers = std::mem::take(&mut share.state().newcomers);
    let is_any = !newcomers.is_empty();
    newcomers.into_iter().for_each(|member| crowd.admit(member));
    is_any
}

/// Waits until the clients of a connection that is over have left.
fn see_off(share: &Share, crowd: &Crowd<'_>, (code, reason): Ending) {
    loop {
        if admit(share, crowd) {
            crowd.end(code, reason);
        }
        let next = crowd.sweep();
        if share.state().seats == 0 && crowd.is_empty() {
            return;
        }
        wait(
            share,
            crowd,
            None,
            next.map(|next| next.saturating_duration_since(Instant::now())),
        );
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

/// What has become ready.
#[derive(Default)]
struct Ready {
    can_read: bool,
    can_write: bool,
    /// A client has taken something.
    has_moved: bool,
}

/// Waits for the backend, for clients whose sockets were full, and for a wake, and goes on with
/// such clients.
fn wait(
    share: &Share,
    crowd: &Crowd<'_>,
    backend: Option<(&Backend, bool)>,
    limit: Option<Duration>,
) -> Ready {
    let full = crowd.full();
    let mut fds = vec![PollFd::new(share.wake.as_fd(), PollFlags::POLLIN)];
    for (_, member) in &full {
        fds.push(PollFd::new(descriptor(member), PollFlags::POLLOUT));
    }
    let clients = 1..fds.len();
    let writes = backend.filter(|_| share.inbox.is_waiting()).map(|(it, _)| {
        fds.push(PollFd::new(it.sink(), PollFlags::POLLOUT));
        fds.len() - 1
    });
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
    let mut has_moved = false;
    for ((index, _), at) in full.iter().zip(clients) {
        has_moved |= is_ready(at) && crowd.resume(*index);
    }
    Ready {
        can_read: (reads..fds.len()).any(is_ready),
        can_write: writes.is_some_and(is_ready),
        has_moved,
    }
}

fn timeout(limit: Option<Duration>) -> PollTimeout {
    // A millisecond more, so that the time is over afterwards.
    let limit = limit.map(|limit| limit + Duration::from_millis(1));
    limit.map_or(PollTimeout::NONE, |limit| {
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)
    })
}

/// One connection to the backend.
struct Run<'a, 'b> {
    share: &'a Arc<Share>,
    crowd: &'a Crowd<'b>,
    backend: &'a Backend,
    begun: Instant,
    /// When a client has last taken something, or kept up.
    moved: Instant,
    /// When the backend has last taken something that waited for it.
    written: Instant,
}

impl Run<'_, '_> {
    /// Serves until the backend ends, or until it is not needed any more: then there is no ending.
    fn serve(&mut self, clients: &Clients) -> Option<Ending> {
        let config = &self.share.key.config;
        let is_packet = self.backend.is_packet();
        let mut out = ToClient::new(self.crowd, is_packet, config, None, clients.budget(), 0);
        loop {
            let sweep = self.crowd.sweep();
            let idle = match self.idle() {
                Ok(idle) => idle,
                Err(ending) => return ending,
            };
            let may_read = self.may_read();
            let stall = (!may_read).then(|| self.moved + STALL);
            let next = [sweep, idle, stall].into_iter().flatten().min();
            let limit = next.map(|next| next.saturating_duration_since(Instant::now()));
            let ready = wait(
                self.share,
                self.crowd,
                Some((self.backend, may_read)),
                limit,
            );
            // Before the backend is read: what it says after a client's 101 is for that client.
            admit(self.share, self.crowd);
            if ready.has_moved {
                self.moved = Instant::now();
            }
            if ready.can_write {
                match self.share.inbox.flush() {
                    Ok(true) => self.written = Instant::now(),
                    Ok(false) => {}
                    // Reading it finds out why.
                    Err(_) => self.share.inbox.close(),
                }
            }
            if ready.can_read
                && let Some(ending) = self.read(&mut out)
            {
                return Some(ending);
            }
        }
    }

    /// When the last client will have been away for long enough; `None` if there is a client.
    ///
    /// # Errors
    /// How the connection is over, if it is.
    fn idle(&self) -> Result<Option<Instant>, Option<Ending>> {
        let (line, seats, since) = {
            let state = self.share.state();
            (state.line, state.seats, state.idle)
        };
        if line == Line::Over {
            return Err(Some((CloseCode::Away, "the settings have changed")));
        }
        if seats > 0 || self.share.is_kept() {
            return Ok(None);
        }
        let mut end = since + self.share.key.config.sharing.linger;
        if self.share.inbox.is_waiting() {
            // What clients said before they left reaches a backend that reads.
            end = end.max(since.max(self.written) + CLOSE_WAIT);
        }
        match end <= Instant::now() && self.share.end_if_idle() {
            true => Err(None),
            false => Ok(Some(end)),
        }
    }

    /// Whether the backend is read. One that can wait waits while every client is behind; but no
    /// client that takes nothing keeps it waiting for long.
    fn may_read(&mut self) -> bool {
        // What it says first is for the client that is just coming.
        if self.crowd.is_empty() && self.share.state().seats > 0 {
            self.moved = Instant::now();
            return false;
        }
        if !self.backend.is_socket() || self.crowd.keeps_up() {
            self.moved = Instant::now();
            return true;
        }
        self.moved.elapsed() >= STALL
    }

    /// Reads once, or all of what one write of the backend has left. Returns how it has ended, if
    /// it has.
    fn read(&self, out: &mut ToClient<'_>) -> Option<Ending> {
        loop {
            let forwarded = match self.backend.read_ready(out.space()) {
                Ok(Some(Input::Bytes(count))) => out.forward(count),
                Ok(None) if out.is_filling() => out.forward(0),
                Ok(None) => return None,
                Ok(Some(Input::End)) => {
                    return Some(match out.end() {
                        Ok(()) => self.ended(),
                        Err(forward) => self.unforwarded(&forward),
                    });
                }
                Err(error) if Backend::is_gone(&error) => {
                    let _ = out.end();
                    return Some((CloseCode::Away, "the device is gone"));
                }
                Err(error) => {
                    info!("{}: {}", self.share.key.name, reason(&error));
                    let _ = out.end();
                    return Some((CloseCode::Error, "the backend has failed"));
                }
            };
            if let Err(forward) = forwarded {
                return Some(self.unforwarded(&forward));
            }
            if !out.is_filling() {
                return None;
            }
        }
    }

    /// The backend has ended its stream.
    fn ended(&self) -> Ending {
        let is_new = self.begun.elapsed() < TURNED_AWAY && self.crowd.said() == 0;
        match () {
            () if !self.backend.is_socket() => (CloseCode::Away, "the device is gone"),
            () if self.backend.has_failed() => (CloseCode::Error, "the program has failed"),
            () if is_new && !self.backend.is_program() => (CloseCode::Again, ""),
            () => (CloseCode::Normal, ""),
        }
    }

    fn unforwarded(&self, forward: &Forward) -> Ending {
        let (code, why) = match forward {
            Forward::Send(_) | Forward::Cut => (CloseCode::Error, "the backend ended in a message"),
            Forward::BadText => (CloseCode::Invalid, "what the backend says is not UTF-8"),
            Forward::TooBig => (CloseCode::Size, "a message is longer than 'maxmessage'"),
            Forward::NoMemory => (CloseCode::Again, "'maxmemory' does not suffice"),
            Forward::BadOpcode(_) => (CloseCode::Error, "a bad opcode byte of framing 'length'"),
        };
        warn!("{}: {why}; all its clients are closed", self.share.key.name);
        (code, why)
    }
}
