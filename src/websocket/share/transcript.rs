//! Running: the last frames that a shared backend's clients were sent, or are still to be sent.
//!
//! All clients read the same bytes, each from its own position: what a client has not taken yet
//! costs nothing for each further client. Positions count from the first byte that was ever said.

use std::collections::VecDeque;

use crate::system::budget::{Budget, Share};

/// A message of this many bytes is kept for newcomers even if `replay` is less.
const KEPT: usize = 68 << 10;

/// A buffer of this many bytes is never given back.
const SMALL: usize = 4 << 10;

/// Whole frames, as bytes.
pub(super) struct Transcript<'a> {
    bytes: VecDeque<u8>,
    /// The position of the first byte: a frame begins there.
    start: u64,
    memory: Share<'a>,
    /// Bytes for newcomers.
    replay: usize,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(replay: usize, budget: &'a Budget) -> Self {
        Self {
            bytes: VecDeque::new(),
            start: 0,
            memory: Share::new(budget),
            replay,
        }
    }

    /// The position behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Whether newcomers get some of what was said.
    pub(super) fn keeps(&self) -> bool {
        self.replay > 0
    }

    /// Adds frames. Returns false, and forgets everything, if the server's memory does not suffice.
    pub(super) fn append(&mut self, pieces: &[&[u8]]) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let needed = self.bytes.len() + length;
        if needed > self.bytes.capacity() {
            let ample = needed.max(2 * self.bytes.capacity());
            let has_grown = [ample, needed].into_iter().any(|capacity| {
                let may = self.memory.resize(capacity);
                if may {
                    self.bytes.reserve_exact(capacity - self.bytes.len());
                }
                may
            });
            if !has_grown {
                self.skip(length);
                return false;
            }
        }
        for piece in pieces {
            self.bytes.extend(*piece);
        }
        true
    }

    /// Forgets everything, and moves on by as many bytes as have been said and are not kept.
    pub(super) fn skip(&mut self, length: usize) {
        self.start = self.end() + length as u64;
        self.bytes = VecDeque::new();
        self.memory.clear();
    }

    /// The bytes from a position up to another one.
    pub(super) fn between(&self, from: u64, to: u64) -> [&[u8]; 2] {
        let at = |position: u64| (position.saturating_sub(self.start)) as usize;
        let (from, to) = (at(from), at(to));
        let (one, other) = self.bytes.as_slices();
        let split = one.len();
        [
            &one[from.min(split)..to.min(split)],
            &other[from.saturating_sub(split)..to.saturating_sub(split)],
        ]
    }

    /// Where the frame that begins at a position ends, and the length of its payload (RFC 6455,
    /// section 5.2; frames to clients have no masking key).
    pub(super) fn frame_at(&self, position: u64) -> (u64, u64) {
        let at = (position - self.start) as usize;
        let byte = |index: usize| self.bytes.get(at + index).copied().unwrap_or(0);
        let number = |bytes: usize| (2..2 + bytes).fold(0, |sum, i| sum << 8 | u64::from(byte(i)));
        let (header, payload) = match byte(1) {
            126 => (4, number(2)),
            127 => (10, number(8)),
            short => (2, u64::from(short)),
        };
        (position + header + payload, payload)
    }

    /// Where a newcomer begins to read: the first frame of those that fit `replay`.
    pub(super) fn beginning(&self) -> u64 {
        let mut position = self.start;
        while self.is_beyond(position) {
            position = self.frame_at(position).0;
        }
        position
    }

    /// Whether the frame at a position is not for newcomers.
    fn is_beyond(&self, position: u64) -> bool {
        let left = (self.end() - position) as usize;
        let is_last = || self.frame_at(position).0 == self.end();
        left > self.replay && !(self.replay > 0 && left <= KEPT && is_last())
    }

    /// Forgets what is neither for newcomers nor needed by a client that is at `least`, the
    /// beginning of a frame.
    pub(super) fn trim(&mut self, least: u64) {
        let mut kept = self.start;
        while kept < least && self.is_beyond(kept) {
            kept = self.frame_at(kept).0;
        }
        self.bytes.drain(..(kept - self.start) as usize);
        self.start = kept;
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity > SMALL && capacity / 4 > length {
            self.bytes.shrink_to((2 * length).max(SMALL));
            // It takes less: that always succeeds.
            let _ = self.memory.resize(self.bytes.capacity());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static AMPLE: Budget = Budget::new(usize::MAX);

    /// An unmasked text frame.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match length {
            0..=125 => frame.push(length as u8),
            _ => frame.extend([&[126], &(length as u16).to_be_bytes()[..]].concat()),
        }
        frame.resize(frame.len() + length, b'x');
        frame
    }

    #[test]
    fn newcomers_get_whole_frames_that_fit_and_never_less_than_the_last_one() {
        let mut transcript = Transcript::new(20, &AMPLE);
        for _ in 0..4 {
            assert!(transcript.append(&[&frame(6)]));
            transcript.trim(transcript.end());
        }
        assert_eq!(transcript.end(), 32);
        assert_eq!(transcript.beginning(), 16, "two frames of eight bytes");
        assert!(transcript.append(&[&frame(300)]));
        transcript.trim(transcript.end());
        assert_eq!(transcript.beginning(), 32, "longer than 20, but the last");
        assert_eq!(transcript.frame_at(32), (32 + 304, 300));
        assert!(transcript.append(&[&frame(KEPT.min(60_000))]));
        assert!(transcript.append(&[&frame(1)]));
        transcript.trim(transcript.end());
        assert_eq!(transcript.end() - transcript.beginning(), 3);
    }

    #[test]
    fn what_a_slow_client_needs_stays_and_a_newcomer_does_not_get_it() {
        let mut transcript = Transcript::new(0, &AMPLE);
        for _ in 0..3 {
            assert!(transcript.append(&[&frame(3)]));
        }
        transcript.trim(5);
        assert_eq!(
            transcript.between(5, 15).concat(),
            [frame(3), frame(3)].concat()
        );
        assert_eq!(transcript.between(6, 8).concat(), &frame(3)[1..3]);
        assert_eq!(transcript.beginning(), 15);
        transcript.trim(15);
        assert_eq!(transcript.between(15, 15).concat(), []);
    }

    #[test]
    fn without_memory_everything_is_forgotten_and_positions_go_on() {
        let budget = Budget::new(10);
        let mut transcript = Transcript::new(100, &budget);
        assert!(transcript.append(&[&frame(4)]));
        assert!(!transcript.append(&[&frame(4)]));
        assert_eq!((transcript.beginning(), transcript.end()), (12, 12));
        assert!(transcript.append(&[&frame(8)]), "the memory is given back");
    }
}
