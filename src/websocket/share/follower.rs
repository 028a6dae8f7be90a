//! Running: one client of a shared backend, as the share's thread sees it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::member::Member;
use crate::client::frames::SendError;
use crate::frame::CloseCode;
use crate::system::unread::unread;
use crate::websocket::pump::CLOSE_WAIT;

/// A client of the share, and how far it has read the transcript.
pub(super) struct Follower {
    pub(super) member: Arc<Member>,
    /// Its position in the transcript, and that of the frame it is in.
    pub(super) next: u64,
    pub(super) frame: u64,
    /// Its 101 has not gone out yet.
    pub(super) is_opening: bool,
    /// Its socket takes no more now.
    pub(super) is_full: bool,
    /// The kernel watches whether it does again.
    is_watched: bool,
    /// It is gone, or has been sent a Close: nothing more is written.
    pub(super) is_mute: bool,
    /// Payload bytes sent.
    pub(super) count: u64,
    pub(super) end: Option<End>,
    /// What is left of its frame, when it reads the transcript no longer.
    pub(super) rest: Vec<u8>,
}

/// Why and how a client's place is given up.
pub(super) struct End {
    pub(super) code: CloseCode,
    pub(super) reason: &'static str,
    /// It first gets all that was said.
    pub(super) is_patient: bool,
    /// When it is cut; moves while it takes something, but not beyond `last`.
    pub(super) by: Instant,
    pub(super) last: Instant,
    /// What the client had not acknowledged when `by` was set.
    pub(super) unread: u32,
}

impl Follower {
    /// A client that begins to read at this position, when its 101 has gone out.
    pub(super) fn new(member: Arc<Member>, position: u64) -> Self {
        Self {
            member,
            next: position,
            frame: position,
            is_opening: true,
            is_full: false,
            is_watched: false,
            is_mute: false,
            count: 0,
            end: None,
            rest: Vec::new(),
        }
    }

    /// The client's number.
    pub(super) fn number(&self) -> u64 {
        self.member.client().number() as u64
    }

    /// Has `full` watch its socket, or no longer.
    pub(super) fn watch(&mut self, full: &Epoll, is_wanted: bool) {
        if is_wanted == self.is_watched {
            return;
        }
        let socket = self.member.client().as_fd();
        let changed = match is_wanted {
            true => full.add(socket, EpollEvent::new(EpollFlags::EPOLLOUT, self.number())),
            false => full.delete(socket),
        };
        self.is_watched = is_wanted && changed.is_ok();
        if is_wanted && !self.is_watched {
            // The kernel has no memory for it: it would never get the rest.
            self.lose(SendError::Gone);
        }
    }

    /// Whether what is said is for it.
    pub(super) fn is_served(&self) -> bool {
        !self.is_mute && self.end.is_none() && !self.member.is_leaving()
    }

    /// Whether it still reads the transcript.
    pub(super) fn reads(&self) -> bool {
        self.is_served() || self.end.as_ref().is_some_and(|end| end.is_patient)
    }

    /// Whether it has been sent a part of a frame, and the rest of it is in the transcript only. One
    /// that is leaving gets that rest too.
    pub(super) fn is_within_frame(&self) -> bool {
        !self.is_mute && self.rest.is_empty() && self.next != self.frame
    }

    /// Whether nothing more is to be done for it.
    pub(super) fn is_over(&self) -> bool {
        let is_over = match self.member.is_leaving() {
            true => self.is_mute || self.rest.is_empty() && !self.is_full_of_records(),
            // One that has been sent a Close is cut if it does not leave.
            false => self.is_mute && self.end.is_none(),
        };
        if is_over {
            self.member.let_go();
        }
        is_over
    }

    /// Takes frames that begin where it is, at `start`.
    pub(super) fn take(&mut self, start: u64, length: usize, payload: u64, pieces: &[&[u8]]) {
        self.offer(pieces);
        if self.next == start + length as u64 {
            self.frame = self.next;
            self.count += payload;
            self.note();
        }
    }

    pub(super) fn offer(&mut self, pieces: &[&[u8]]) {
        match self.member.writer.offer(pieces) {
            Ok(offered) => {
                self.next += offered.taken as u64;
                self.is_full = offered.is_full;
            }
            Err(error) => self.lose(error),
        }
    }

    /// After an offer: owed frames may go out between two frames.
    pub(super) fn settle(&mut self, end: u64) {
        if self.next == self.frame && !self.is_full_of_records() {
            self.member.writer.is_whole();
        }
        self.is_full |= self.next < end;
        self.note();
    }

    /// Whether the client has TLS and bytes of it are still to be sent.
    pub(super) fn is_full_of_records(&self) -> bool {
        self.is_full && self.member.client().is_tls()
    }

    pub(super) fn send_rest(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        match self.member.writer.offer(&[&rest]) {
            Ok(offered) => {
                self.rest = rest[offered.taken..].to_vec();
                self.is_full = offered.is_full;
            }
            Err(error) => self.lose(error),
        }
    }

    /// Nothing more can be written. The client's own thread finds out why.
    pub(super) fn lose(&mut self, error: SendError) {
        self.is_mute = true;
        if matches!(error, SendError::Gone) {
            self.member.client().cut();
        }
    }

    /// Whether it is to be cut: it has taken nothing for too long, not even what the kernel holds for
    /// it.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let Some(end) = self.end.as_ref().filter(|end| end.by <= now) else {
            return false;
        };
        let takes = unread(self.member.client()) < end.unread && now < end.last;
        if takes {
            self.wait_on();
        }
        !takes
    }

    /// Gives it time again, since it has taken something.
    pub(super) fn wait_on(&mut self) {
        if let Some(end) = &mut self.end {
            end.by = (Instant::now() + CLOSE_WAIT).min(end.last);
            end.unread = unread(self.member.client());
        }
    }

    /// Owes the client its Close.
    pub(super) fn close(&mut self) {
        if let Some(end) = &mut self.end {
            end.is_patient = false;
            let (code, reason) = (end.code, end.reason);
            self.member.writer.owe_close_for(Some(code), reason);
            // It goes out as soon as the socket has space for it.
            self.is_full |= self.member.writer.close_sent().is_none();
        }
    }

    pub(super) fn note(&self) {
        self.member.client().traffic().to_client.set(self.count);
    }
}
