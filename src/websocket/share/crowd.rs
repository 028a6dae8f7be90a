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

use super::member::Member;
use super::place::{End, Place};
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
    places: Vec<Place>,
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
            places: Vec::new(),
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
        self.state().places.is_empty()
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
        for index in 0..state.places.len() {
            state.end(index, code, reason, true);
        }
    }

    /// Whether the backend may go on to speak: the client that is furthest is not far behind.
    pub(super) fn keeps_up(&self) -> bool {
        let state = self.state();
        let end = state.transcript.end();
        let mut served = state.places.iter().filter(|place| place.is_served());
        let far = |place: &Place| end - place.next > BEHIND / 2;
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
            .places
            .iter()
            .position(|place| place.number() == number);
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
            for index in 0..self.places.len() {
                self.places[index].member.mute();
                self.end(index, CloseCode::Away, "taken over", false);
            }
        }
        let position = self.transcript.beginning();
        self.places.push(Place::new(member, position));
    }

    /// Sends frames to all clients.
    fn say(&mut self, pieces: &[&[u8]]) {
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let payload = std::mem::take(&mut self.payload);
        self.said += payload;
        let before = self.transcript.end();
        let mut is_needed = false;
        for place in &mut self.places {
            if !place.is_served() && place.end.as_ref().is_none_or(|end| !end.is_patient) {
                is_needed |= place.is_within_frame();
                continue;
            }
            // One that is behind gets this after what came before it.
            if place.next == before && !place.is_full && !place.is_opening {
                place.take(before, length, payload, pieces);
            }
            is_needed |= place.next < before + length as u64;
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
        for index in 0..self.places.len() {
            let place = &self.places[index];
            let behind = before.saturating_sub(place.next);
            let reads = place.reads();
            if place.is_mute || !(reads || place.is_within_frame()) {
                continue;
            }
            if !is_kept && place.next < self.transcript.end() {
                info!(
                    "{} {}: closed with 1013, since 'maxmemory' does not suffice for what it has \
                     not taken",
                    place.member.client(),
                    self.name
                );
                // What is left of its frame is gone.
                place.member.client().cut();
                self.places[index].is_mute = true;
            } else if is_kept && reads {
                self.advance(index);
                self.judge(index, behind);
            }
        }
    }

    /// Ends a client that is too far behind.
    fn judge(&mut self, index: usize, behind: u64) {
        let place = &self.places[index];
        // One whose thread is about to have sent the 101 has had no chance yet.
        if behind > BEHIND && place.end.is_none() && !place.is_opening {
            info!(
                "{} {}: closed with 1013, since it is {behind} bytes behind",
                place.member.client(),
                self.name
            );
            self.end(index, CloseCode::Again, "too slow", false);
        }
    }

    /// Notes which frame a client is in.
    fn advance(&mut self, index: usize) {
        let place = &mut self.places[index];
        while place.frame < place.next {
            let (end, payload) = self.transcript.frame_at(place.frame);
            if end > place.next {
                return;
            }
            place.frame = end;
            place.count += payload;
        }
    }

    /// Gives a client's place up.
    fn end(&mut self, index: usize, code: CloseCode, reason: &'static str, is_patient: bool) {
        let end = self.transcript.end();
        let place = &mut self.places[index];
        if place.end.is_some() || place.is_mute {
            return;
        }
        let now = Instant::now();
        place.end = Some(End {
            code,
            reason,
            is_patient: is_patient && place.next < end,
            by: now + CLOSE_WAIT,
            last: now + SLOW_WAIT,
            unread: unread(place.member.client()),
        });
        if place.end.as_ref().is_some_and(|end| !end.is_patient) {
            self.leave_frame(index);
            self.places[index].close();
        }
    }

    /// Has a client read the transcript no longer. It keeps what is left of the frame it is in.
    fn leave_frame(&mut self, index: usize) {
        let place = &mut self.places[index];
        if place.next == place.frame || place.is_mute {
            return;
        }
        let (end, _) = self.transcript.frame_at(place.frame);
        if end - place.next > REST {
            place.member.client().cut();
            place.is_mute = true;
            return;
        }
        place.rest = self.transcript.between(place.next, end).concat();
        place.frame = place.next;
    }

    fn resume(&mut self, index: usize) -> bool {
        let end = self.transcript.end();
        let place = &mut self.places[index];
        if place.is_mute || place.is_opening {
            return false;
        }
        let before = (place.next, place.rest.len());
        let reads_on = place.is_served() || place.end.as_ref().is_some_and(|it| it.is_patient);
        if !place.rest.is_empty() || !reads_on {
            place.send_rest();
        } else {
            // Owed frames go out before the next frame begins.
            let until = match place.member.writer.is_owing() && place.next != place.frame {
                true => self.transcript.frame_at(place.frame).0,
                false => end,
            };
            let pieces = self.transcript.between(place.next, until);
            place.offer(&pieces);
            self.advance(index);
            let place = &mut self.places[index];
            place.settle(end);
            if place.next == end && reads_on && place.end.is_some() {
                place.close();
            }
        }
        let place = &self.places[index];
        let has_moved = before != (place.next, place.rest.len());
        if has_moved {
            self.places[index].wait_on();
        }
        self.trim();
        has_moved
    }

    fn sweep(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            if place.is_opening && place.member.writer.is_open() {
                place.is_opening = false;
                self.resume(index);
            }
            let place = &self.places[index];
            if place.member.is_leaving() && place.rest.is_empty() {
                self.leave_frame(index);
            }
            let place = &mut self.places[index];
            if place.is_due(now) {
                place.member.client().cut();
                place.is_mute = true;
                place.end = None;
            }
        }
        let full = self.full;
        self.places.retain_mut(|place| {
            let is_over = place.is_over();
            if is_over {
                place.watch(full, false);
            }
            !is_over
        });
        self.trim();
        let ends = self.places.iter().filter_map(|place| place.end.as_ref());
        ends.map(|end| end.by).min()
    }

    fn watch(&mut self) {
        for place in &mut self.places {
            let is_waited_for = place.is_full && !place.is_mute && !place.is_opening;
            place.watch(self.full, is_waited_for);
        }
    }

    /// Forgets what no client needs.
    fn trim(&mut self) {
        let reads = |place: &&Place| !place.is_mute && place.rest.is_empty() && place.reads();
        let needs = |place: &&Place| reads(place) || place.is_within_frame();
        let frames = self.places.iter().filter(needs).map(|place| place.frame);
        let least = frames.min().unwrap_or(self.transcript.end());
        self.transcript.trim(least);
    }
}
