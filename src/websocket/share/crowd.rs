//! Running: the way from a shared backend to all its clients.
//!
//! One thread writes to every client, and waits for none. Where a client does not take a frame, it
//! keeps its position in the transcript and gets the rest when its socket has space again. A client
//! that is too far behind loses its place: it gets the rest of its frame, and a Close.

use std::cell::{RefCell, RefMut};
use std::sync::Arc;
use std::time::Instant;

use log::{info, trace};
use nix::sys::epoll::Epoll;

use super::follower::{End, Follower};
use super::member::Member;
use super::transcript::Transcript;
use crate::client::frames::{Offered, SendError};
use crate::config::Share;
use crate::frame::{self, CloseCode, Header, OpCode, Summary};
use crate::system::budget::Budget;
use crate::system::unread::unread;
use crate::websocket::framing::Frames;
use crate::websocket::pump::{CLOSE_WAIT, SLOW_WAIT};

/// A client may be this many bytes behind when the backend goes on to speak.
const BEHIND: u64 = 256 << 10;

/// Longest rest of a frame that is sent to a client that loses its place, in bytes.
const REST: u64 = 64 << 10;

/// The clients of a shared backend.
pub(super) struct Crowd<'a>(RefCell<State<'a>>);

struct State<'a> {
    /// The service, as in the log.
    name: &'a str,
    share: Share,
    full: &'a Epoll,
    followers: Vec<Follower>,
    transcript: Transcript<'a>,
    /// Payload of the frames that have been begun.
    payload: u64,
    /// Payload bytes said so far.
    said: u64,
}

impl<'a> Crowd<'a> {
    /// `full` watches sockets that are full.
    pub(super) fn new(
        (name, share): (&'a str, Share),
        full: &'a Epoll,
        replay: usize,
        budget: &'a Budget,
    ) -> Self {
        Self(RefCell::new(State {
            name,
            share,
            full,
            followers: Vec::new(),
            transcript: Transcript::new(replay, budget),
            payload: 0,
            said: 0,
        }))
    }

    fn state(&self) -> RefMut<'_, State<'a>> {
        self.0.borrow_mut()
    }

    /// Whether there is no client.
    pub(super) fn is_empty(&self) -> bool {
        self.state().followers.is_empty()
    }

    /// Payload bytes that the backend has said.
    pub(super) fn said(&self) -> u64 {
        self.state().said
    }

    /// The frames that newcomers get.
    pub(super) fn for_newcomers(&self) -> Vec<u8> {
        let transcript = &self.state().transcript;
        let (from, to) = (transcript.beginning(), transcript.end());
        transcript.between(from, to).concat()
    }

    /// Keeps frames for newcomers that another process has sent.
    pub(super) fn recall(&self, frames: &[u8]) {
        let mut state = self.state();
        if state.transcript.keeps() {
            // Without memory for them, newcomers get none.
            let _ = state.transcript.append(&[frames]);
            state.trim();
        }
    }

    /// Lets a client take part: it gets what newcomers get, and then what is said, all after its
    /// 101.
    pub(super) fn admit(&self, member: Arc<Member>) {
        self.state().admit(member);
    }

    /// Closes every client with this code, after it has taken what was said.
    pub(super) fn end(&self, code: CloseCode, reason: &'static str) {
        let mut state = self.state();
        for index in 0..state.followers.len() {
            state.end(index, code, reason, true);
        }
    }

    /// Whether the backend may go on to speak: the client that is furthest is not far behind.
    pub(super) fn keeps_up(&self) -> bool {
        let state = self.state();
        let end = state.transcript.end();
        let mut served = state
            .followers
            .iter()
            .filter(|follower| follower.is_served());
        let far = |follower: &Follower| end - follower.next > BEHIND / 2;
        served.clone().next().is_none() || !served.all(far)
    }

    /// Has the kernel watch the sockets that are full, and no others.
    pub(super) fn watch(&self) {
        self.state().watch();
    }

    /// Goes on with a client whose socket has space, by its number. Returns whether it has taken
    /// something.
    pub(super) fn resume(&self, number: u64) -> bool {
        let mut state = self.state();
        let found = state
            .followers
            .iter()
            .position(|follower| follower.number() == number);
        found.is_some_and(|index| state.resume(index))
    }

    /// Lets go of clients that leave, and cuts those that should have left. Returns when to call it
    /// again.
    pub(super) fn sweep(&self) -> Option<Instant> {
        self.state().sweep()
    }
}

impl Frames for Crowd<'_> {
    fn header(&self, opcode: OpCode, length: usize) -> Header {
        let mut state = self.state();
        trace!(
            "{}: all get {}",
            state.name,
            Summary(opcode, true, length as u64)
        );
        state.payload += length as u64;
        frame::header(opcode, true, length)
    }

    fn send(&self, pieces: &[&[u8]], _: usize) -> Result<Offered, SendError> {
        self.state().say(pieces);
        Ok(Offered {
            taken: pieces.iter().map(|piece| piece.len()).sum(),
            is_full: false,
        })
    }
}

impl State<'_> {
    fn admit(&mut self, member: Arc<Member>) {
        if self.share == Share::Newest {
            for index in 0..self.followers.len() {
                self.followers[index].member.mute();
                self.end(index, CloseCode::Away, "taken over", false);
            }
        }
        let position = self.transcript.beginning();
        self.followers.push(Follower::new(member, position));
    }

    /// Sends frames to all clients.
    fn say(&mut self, pieces: &[&[u8]]) {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let payload = std::mem::take(&mut self.payload);
        self.said += payload;
        let before = self.transcript.end();
        let mut is_needed = false;
        for follower in &mut self.followers {
            if !follower.is_served() && follower.end.as_ref().is_none_or(|end| !end.is_patient) {
                is_needed |= follower.is_within_frame();
                continue;
            }
            // One that is behind gets this after what came before it.
            if follower.next == before && !follower.is_full && !follower.is_opening {
                follower.take(before, length, payload, pieces);
            }
            is_needed |= follower.next < before + length as u64;
        }
        let is_kept = match is_needed || self.transcript.keeps() {
            true => self.transcript.append(pieces),
            false => {
                self.transcript.skip(length);
                true
            }
        };
        if is_needed {
            self.leave_behind(before, is_kept);
        }
        self.trim();
    }

    /// Ends the clients that were too far behind before the last frames were said, which began at
    /// `before`, or all that are behind if these could not be kept.
    fn leave_behind(&mut self, before: u64, is_kept: bool) {
        for index in 0..self.followers.len() {
            let follower = &self.followers[index];
            let behind = before.saturating_sub(follower.next);
            let reads = follower.reads();
            if follower.is_mute || !(reads || follower.is_within_frame()) {
                continue;
            }
            if !is_kept && follower.next < self.transcript.end() {
                info!(
                    "{} {}: closed with 1013, since 'maxmemory' does not suffice for what it has \
                     not taken",
                    follower.member.client(),
                    self.name
                );
                // What is left of its frame is gone.
                follower.member.client().cut();
                self.followers[index].is_mute = true;
            } else if is_kept && reads {
                self.advance(index);
                self.judge(index, behind);
            }
        }
    }

    /// Ends a client that is too far behind.
    fn judge(&mut self, index: usize, behind: u64) {
        let follower = &self.followers[index];
        // One whose thread is about to have sent the 101 has had no chance yet.
        if behind > BEHIND && follower.end.is_none() && !follower.is_opening {
            info!(
                "{} {}: closed with 1013, since it is {behind} bytes behind",
                follower.member.client(),
                self.name
            );
            self.end(index, CloseCode::Again, "too slow", false);
        }
    }

    /// Notes which frame a client is in.
    fn advance(&mut self, index: usize) {
        let follower = &mut self.followers[index];
        while follower.frame < follower.next {
            let (end, payload) = self.transcript.frame_at(follower.frame);
            if end > follower.next {
                return;
            }
            follower.frame = end;
            follower.count += payload;
        }
    }

    /// Gives a client's place up.
    fn end(&mut self, index: usize, code: CloseCode, reason: &'static str, is_patient: bool) {
        let end = self.transcript.end();
        let follower = &mut self.followers[index];
        if follower.end.is_some() || follower.is_mute {
            return;
        }
        let now = Instant::now();
        follower.end = Some(End {
            code,
            reason,
            is_patient: is_patient && follower.next < end,
            by: now + CLOSE_WAIT,
            last: now + SLOW_WAIT,
            unread: unread(follower.member.client()),
        });
        if follower.end.as_ref().is_some_and(|end| !end.is_patient) {
            self.leave_frame(index);
            self.followers[index].close();
        }
    }

    /// Has a client read the transcript no longer. It keeps what is left of the frame it is in.
    fn leave_frame(&mut self, index: usize) {
        let follower = &mut self.followers[index];
        if follower.next == follower.frame || follower.is_mute {
            return;
        }
        let (end, _) = self.transcript.frame_at(follower.frame);
        if end - follower.next > REST {
            follower.member.client().cut();
            follower.is_mute = true;
            return;
        }
        follower.rest = self.transcript.between(follower.next, end).concat();
        follower.frame = follower.next;
    }

    fn resume(&mut self, index: usize) -> bool {
        let end = self.transcript.end();
        let follower = &mut self.followers[index];
        if follower.is_mute || follower.is_opening {
            return false;
        }
        let before = (follower.next, follower.rest.len());
        let reads_on =
            follower.is_served() || follower.end.as_ref().is_some_and(|it| it.is_patient);
        if !follower.rest.is_empty() || !reads_on {
            follower.send_rest();
        } else {
            // Owed frames go out before the next frame begins.
            let until = match follower.member.writer.is_owing() && follower.next != follower.frame {
                true => self.transcript.frame_at(follower.frame).0,
                false => end,
            };
            let pieces = self.transcript.between(follower.next, until);
            follower.offer(&pieces);
            self.advance(index);
            let follower = &mut self.followers[index];
            follower.settle(end);
            if follower.next == end && reads_on && follower.end.is_some() {
                follower.close();
            }
        }
        let follower = &self.followers[index];
        let has_moved = before != (follower.next, follower.rest.len());
        if has_moved {
            self.followers[index].wait_on();
        }
        self.trim();
        has_moved
    }

    fn sweep(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for index in 0..self.followers.len() {
            let follower = &mut self.followers[index];
            if follower.is_opening && follower.member.writer.is_open() {
                follower.is_opening = false;
                self.resume(index);
            }
            let follower = &self.followers[index];
            if follower.member.is_leaving() && follower.rest.is_empty() {
                self.leave_frame(index);
            }
            let follower = &mut self.followers[index];
            if follower.is_due(now) {
                follower.member.client().cut();
                follower.is_mute = true;
                follower.end = None;
            }
        }
        let full = self.full;
        self.followers.retain_mut(|follower| {
            let is_over = follower.is_over();
            if is_over {
                follower.watch(full, false);
            }
            !is_over
        });
        self.trim();
        let ends = self
            .followers
            .iter()
            .filter_map(|follower| follower.end.as_ref());
        ends.map(|end| end.by).min()
    }

    fn watch(&mut self) {
        for follower in &mut self.followers {
            let is_waited_for = follower.is_full && !follower.is_mute && !follower.is_opening;
            follower.watch(self.full, is_waited_for);
        }
    }

    /// Forgets what no client needs.
    fn trim(&mut self) {
        let reads = |follower: &&Follower| {
            !follower.is_mute && follower.rest.is_empty() && follower.reads()
        };
        let needs = |follower: &&Follower| reads(follower) || follower.is_within_frame();
        let frames = self
            .followers
            .iter()
            .filter(needs)
            .map(|follower| follower.frame);
        let least = frames.min().unwrap_or(self.transcript.end());
        self.transcript.trim(least);
    }
}
