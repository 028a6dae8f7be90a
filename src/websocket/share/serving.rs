//! Running: one connection of a share to its backend, from its begin to its end.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::crowd::Crowd;
use super::passed::{self, Taken};
use super::tap::Tap;
use super::waiting::{admit, wait};
use super::{Line, Share, retire};
use crate::backend::{Backend, Input};
use crate::config::Share as Mode;
use crate::frame::CloseCode;
use crate::server::clients::Clients;
use crate::system::reason::reason;
use crate::websocket::framing::{Forward, ToClient};
use crate::websocket::pump::{CLOSE_WAIT, TURNED_AWAY};

/// Longest time for which a backend that can wait is not read, because no client takes anything.
const STALL: Duration = Duration::from_secs(5);

/// What a framing adds to a message at the most, in bytes.
const PREFIXES: usize = 8;

/// How a connection to the backend is over.
pub(super) type Ending = (CloseCode, &'static str);

/// One connection to the backend.
pub(super) struct Run<'a, 'b> {
    share: &'a Arc<Share>,
    crowd: &'a Crowd<'b>,
    backend: Arc<Backend>,
    clients: &'a Clients,
    /// Processes before this one whose clients share it.
    taps: Vec<Tap<'a>>,
    begun: Instant,
    /// When a client has last taken something, or kept up.
    moved: Instant,
    /// When the backend has last taken something that waited for it.
    written: Instant,
}

impl<'a, 'b> Run<'a, 'b> {
    pub(super) fn new(
        share: &'a Arc<Share>,
        crowd: &'a Crowd<'b>,
        backend: Arc<Backend>,
        clients: &'a Clients,
    ) -> Self {
        Self {
            share,
            crowd,
            backend,
            clients,
            taps: Vec::new(),
            begun: Instant::now(),
            moved: Instant::now(),
            written: Instant::now(),
        }
    }

    /// Serves until the backend ends, or until it is not needed any more: then there is no ending.
    /// `taken` is what has come with it from another process. Returns the backend too.
    pub(super) fn serve(mut self, taken: Option<Taken>) -> (Option<Ending>, Arc<Backend>) {
        let ending = self.run(taken);
        (ending, self.backend)
    }

    fn run(&mut self, taken: Option<Taken>) -> Option<Ending> {
        let config = &self.share.key.config;
        let (is_packet, budget) = (self.backend.is_packet(), self.clients.budget());
        let mut out = ToClient::new(self.crowd, is_packet, config, None, budget, 0);
        if let Some(taken) = taken {
            let others = taken.others.into_iter();
            self.taps = others.map(|socket| Tap::new(socket, budget)).collect();
            self.crowd.recall(&taken.said);
            if let Err(forward) = out.begin_with(&taken.begun) {
                return Some(self.unforwarded(&forward));
            }
        }
        loop {
            self.leave(&out);
            let sweep = self.crowd.sweep();
            let idle = match self.idle() {
                Ok(idle) => idle,
                Err(ending) => return ending,
            };
            let may_read = self.may_read();
            let stall = (!may_read).then(|| self.moved + STALL);
            let next = [sweep, idle, stall].into_iter().flatten().min();
            let limit = next.map(|next| next.saturating_duration_since(Instant::now()));
            let backend = Some((&*self.backend, may_read));
            let ready = wait(self.share, self.crowd, backend, &self.taps, limit);
            // Before the backend is read: what it says after a client's 101 is for that client.
            if admit(self.share, self.crowd) && self.share.key.mode == Mode::Newest {
                self.keep_taps(|_| false);
            }
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
            self.hear(ready.can_hear);
            if ready.can_read
                && let Some(ending) = self.read(&mut out)
            {
                return Some(ending);
            }
        }
    }

    /// Lets the line go over to another process, if that is asked for.
    fn leave(&mut self, out: &ToClient<'_>) {
        let Some(heir) = self.share.state().heir.clone() else {
            return;
        };
        // What is half there is so for a moment only.
        if out.is_filling() || !self.taps.iter().all(Tap::is_empty) {
            return;
        }
        let (begun, said) = (out.begun(), self.crowd.for_newcomers());
        let (share, backend) = (self.share, &self.backend);
        match passed::give(share, heir.as_fd(), backend, (&begun, &said), &self.taps) {
            Ok(Some(next)) => {
                self.taps.clear();
                self.backend = next;
            }
            Ok(None) => retire(share, "the new process does not take the line"),
            Err(error) => {
                info!("{}: stays here: {}", share.key.name, reason(&error));
                retire(share, "the line cannot go over to the new process");
            }
        }
        self.share.state().heir = None;
    }

    /// Delivers what processes before this one say.
    fn hear(&mut self, can_hear: bool) {
        let (inbox, most) = (
            &self.share.inbox,
            self.share.key.config.max_message + PREFIXES,
        );
        if can_hear {
            self.keep_taps(|tap| tap.hear(inbox, most));
        } else if !inbox.is_waiting() && !self.taps.iter().all(Tap::is_empty) {
            self.keep_taps(|tap| tap.deliver(inbox, most));
        }
    }

    /// Lets those go for which `keeps` says no.
    fn keep_taps(&mut self, keeps: impl FnMut(&mut Tap<'_>) -> bool) {
        let before = self.taps.len();
        self.taps.retain_mut(keeps);
        if self.taps.len() < before {
            let mut state = self.share.state();
            state.others = self.taps.len();
            state.idle = Instant::now();
        }
    }

    /// When the last client will have been away for long enough; `None` if there is a client.
    ///
    /// # Errors
    /// How the connection is over, if it is.
    fn idle(&self) -> Result<Option<Instant>, Option<Ending>> {
        let (line, memberships, since, why) = {
            let state = self.share.state();
            (state.line, state.memberships, state.idle, state.why)
        };
        if line == Line::Over {
            return Err(Some((CloseCode::Away, why)));
        }
        // A client whose place was freed a moment ago still has to be let go.
        let is_needed = memberships > 0 || !self.crowd.is_empty() || !self.taps.is_empty();
        if is_needed || self.share.is_kept() {
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
        if self.crowd.is_empty() && self.share.state().memberships > 0 {
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
    fn read(&mut self, out: &mut ToClient<'_>) -> Option<Ending> {
        loop {
            let forwarded = match self.backend.read_ready(out.space()) {
                Ok(Some(Input::Bytes(count))) => {
                    let bytes = &out.space()[..count];
                    self.keep_taps(|tap| tap.tell(bytes));
                    out.forward(count)
                }
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
            () if self.backend.is_elsewhere() => (CloseCode::Away, "another client has the line"),
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
