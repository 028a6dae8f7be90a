//! Opening and running: one connection to a backend for many clients (`share`).
//!
//! A [`Share`] has one thread, which reads the backend and writes to all clients (`crowd`); what
//! clients say goes to the backend one whole message after the other (`inbox`). It begins with the
//! first client, which connects the backend, and ends after the last one; with `keep` it is there
//! without clients too. Shares belong to the process, not to a server: a serial line is one line,
//! however many servers and names lead to it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use log::info;
use nix::sys::epoll::{Epoll, EpollCreateFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config::{LinkConfig, Share as Mode, Target, WebsocketConfig};
use crate::server::clients::Clients;
use crate::system::threads;
use connecting::connect;
use inbox::Inbox;
use key::{key_in_docroot, key_of};
use member::Member;
use opening::Opening;
use passed::Taken;

mod adopting;
mod connecting;
mod crowd;
mod follower;
mod inbox;
mod key;
mod member;
mod membership;
mod opening;
mod passed;
mod serving;
mod tap;
mod thread;
mod transcript;
mod waiting;

pub(crate) use adopting::adopt;
pub(crate) use key::{Key, kept, key};
pub(crate) use member::run;
pub(crate) use membership::Membership;
pub(crate) use passed::{await_lines, leave};

/// The shares of the process.
static SHARES: Mutex<Vec<Arc<Share>>> = Mutex::new(Vec::new());

fn shares() -> MutexGuard<'static, Vec<Arc<Share>>> {
    SHARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A backend that many clients share.
pub(crate) struct Share {
    key: Key,
    state: Mutex<State>,
    inbox: Inbox,
    /// Wakes the thread.
    wake: EventFd,
    /// Watches the sockets of clients that are full.
    full: Epoll,
    /// The backend is held without clients too.
    is_kept: AtomicBool,
}

struct State {
    line: Line,
    /// Clients that are served, or about to be.
    memberships: usize,
    /// Since when there is none.
    idle: Instant,
    /// Clients that the thread does not know yet.
    newcomers: Vec<Arc<Member>>,
    /// Why its clients are closed, if it is over.
    why: &'static str,
    /// Where the process is that a line is to go over to (`passed`).
    heir: Option<Arc<OwnedFd>>,
    /// A line that has come from another process.
    taken: Option<Taken>,
    /// Processes before this one whose clients share the line.
    others: usize,
}

/// The state of the connection to the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It is being made.
    Opening,
    Open,
    /// It could not be made, and is tried again.
    Away,
    /// It is over, and so is the share when its clients have left.
    Over,
}

/// How many clients share a service now, that of a link or one beneath docroot; `None` if each has
/// a backend of its own.
pub(crate) fn clients_of(
    websocket: &WebsocketConfig,
    name: &str,
    target: &Target,
    link: Option<&LinkConfig>,
) -> Option<usize> {
    let key = match link {
        Some(link) => key_of(websocket, name, target, &link.service)?,
        None => key_in_docroot(websocket, name, target)?,
    };
    let shares = shares();
    let found = shares.iter().find(|share| share.key.is_same(&key));
    Some(found.map_or(0, |share| share.state().memberships))
}

/// Gives a client its place; the first one connects the backend, at `target`.
///
/// # Errors
/// As [`connect`]; `WouldBlock` while another client connects it, or it may come from another process, `ConnectionRefused` while it is
/// away, `ResourceBusy` if another client has it alone.
pub(crate) fn take_seat(
    key: Key,
    target: &Target,
    clients: &Arc<Clients>,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Membership> {
    match enter(&key, clients)? {
        Entry::Membership(membership) => Ok(membership),
        Entry::First(opening) => {
            let backend =
                connect(&key, target, go_on).map_err(|error| match passed::may_come(&error) {
                    true => io::ErrorKind::WouldBlock.into(),
                    false => error,
                })?;
            opening.open(backend, Arc::clone(clients))
        }
        Entry::Wait => Err(io::ErrorKind::WouldBlock.into()),
        Entry::Away => Err(io::ErrorKind::ConnectionRefused.into()),
        Entry::Busy => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another client has it; share = \"newest\" lets a new client take over, \"all\" \
             serves both",
        )),
    }
}

/// How a client finds a share.
enum Entry {
    /// It has a place.
    Membership(Membership),
    /// It is the first, and connects the backend.
    First(Opening),
    /// Another client connects the backend.
    Wait,
    /// The backend is away.
    Away,
    /// Another client has it (`share = "first"`).
    Busy,
}

/// Finds or begins a share. `clients` are those whose memory it takes.
///
/// # Errors
/// As eventfd(2) and epoll_create1(2).
fn enter(key: &Key, clients: &Arc<Clients>) -> io::Result<Entry> {
    let mut shares = shares();
    if let Some(share) = shares.iter().find(|share| share.key.is_same(key)) {
        if share.key.is_like(key) {
            return Ok(Share::membership(share));
        }
        // It is there until it has left the backend.
        retire(share, "the settings have changed");
        return Ok(Entry::Wait);
    }
    let share = Share::begin(key.clone(), clients)?;
    shares.push(Arc::clone(&share));
    Ok(Entry::First(Opening::of(share)))
}

/// Holds the backends of these keys from now on (`keep`), and those no longer that are not among
/// them.
pub(crate) fn keep(wanted: Vec<(Key, Arc<Clients>)>) {
    let mut shares = shares();
    for share in shares.iter() {
        let is_kept =
            (wanted.iter()).any(|(key, _)| share.key.is_same(key) && key.is_like(&share.key));
        share.hold(is_kept);
    }
    for (key, clients) in wanted {
        match shares.iter().find(|share| share.key.is_same(&key)) {
            Some(share) if share.key.is_like(&key) => continue,
            Some(share) => retire(share, "the settings have changed"),
            None => {}
        }
        let name = key.name.clone();
        let begun = Share::begin(key, &clients).and_then(|share| {
            share.is_kept.store(true, Ordering::Release);
            thread::start(&share, None, clients)?;
            Ok(share)
        });
        match begun {
            Ok(share) => shares.push(share),
            Err(error) => log::error!("{name}: cannot be kept: {error}"),
        }
    }
}

/// Ends a share for this reason: its clients come again.
fn retire(share: &Share, why: &'static str) {
    let mut state = share.state();
    if state.line == Line::Over {
        return;
    }
    info!("{}: {why}; its clients are closed", share.key.name);
    state.why = why;
    share.is_kept.store(false, Ordering::Release);
    state.line = Line::Over;
    drop(state);
    share.wake();
}

impl Share {
    fn begin(key: Key, clients: &Arc<Clients>) -> io::Result<Arc<Self>> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Arc::new(Self {
            key,
            state: Mutex::new(State {
                line: Line::Opening,
                memberships: 0,
                idle: Instant::now(),
                newcomers: Vec::new(),
                why: "",
                heir: None,
                taken: None,
                others: 0,
            }),
            inbox: Inbox::new(Arc::clone(clients)),
            wake: EventFd::from_value_and_flags(0, flags)?,
            full: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            is_kept: AtomicBool::new(false),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Has the thread look at what has changed.
    fn wake(&self) {
        // It fails only if the thread has not looked for 2^64 - 1 wakes.
        let _ = self.wake.write(1);
    }

    /// Holds the backend without clients too, or no longer.
    fn hold(&self, is_kept: bool) {
        self.is_kept.store(is_kept, Ordering::Release);
        self.wake();
    }

    fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Acquire)
    }

    /// A place for a client, if there is one.
    fn membership(share: &Arc<Self>) -> Entry {
        let mut state = share.state();
        match state.line {
            Line::Opening | Line::Over => Entry::Wait,
            Line::Away => Entry::Away,
            Line::Open if share.key.mode == Mode::First && state.memberships + state.others > 0 => {
                Entry::Busy
            }
            Line::Open => {
                state.memberships += 1;
                Entry::Membership(Membership::new(share))
            }
        }
    }

    /// Goes on with a line that has come from another process, and what waits for it.
    fn go_on(&self, taken: Taken, waiting: Vec<u8>) -> io::Result<()> {
        self.inbox.go_on(Arc::clone(&taken.backend), waiting)?;
        let mut state = self.state();
        state.others = taken.others.len();
        state.line = Line::Open;
        state.taken = Some(taken);
        Ok(())
    }

    /// Notes that a backend that is kept is not there; false if it has just come from another
    /// process.
    fn misses(&self, line: Line) -> bool {
        let mut state = self.state();
        if state.taken.is_none() {
            state.line = line;
        }
        state.taken.is_none()
    }

    /// Has the thread serve a client.
    fn join(&self, member: Arc<Member>) {
        self.state().newcomers.push(member);
        self.wake();
    }

    /// Ends the share if it has no clients: whoever comes now waits until the backend is free.
    /// Returns false if one has come.
    fn end_if_idle(&self) -> bool {
        let mut state = self.state();
        if state.memberships > 0 {
            return false;
        }
        state.line = Line::Over;
        true
    }

    /// Notes that the backend is gone. Returns whether it is to be connected again; if not, the next
    /// client begins anew.
    fn miss(self: &Arc<Self>) -> bool {
        let is_over = !self.is_kept() || self.state().line == Line::Over;
        match is_over {
            true => self.give_up(),
            false => self.state().line = Line::Away,
        }
        !is_over
    }

    /// Lets the next client begin anew: this connection is over.
    fn give_up(self: &Arc<Self>) {
        shares().retain(|share| !Arc::ptr_eq(share, self));
        self.state().line = Line::Over;
    }
}

/// Starts the thread of a share.
fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    threads::spawn("share", work)
}
