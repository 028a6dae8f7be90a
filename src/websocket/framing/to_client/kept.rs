//! Running, backend to client: frames that the client does not take in time.

use crate::client::frames::SendError;
use crate::system::budget::{Budget, Share};
use crate::websocket::framing::Frames;

/// What the client has not taken of frames that were sent to it.
pub(super) struct Kept<'a> {
    bytes: Vec<u8>,
    /// How many of them it has taken.
    taken: usize,
    memory: Share<'a>,
    /// Frames may be kept, so that their thread can leave.
    may_keep: bool,
    /// The client has taken less than all, or its TLS session holds what its socket has not taken.
    is_stuck: bool,
}

impl<'a> Kept<'a> {
    /// Nothing, and nothing will be kept.
    pub(super) fn new(budget: &'a Budget) -> Self {
        Self {
            bytes: Vec::new(),
            taken: 0,
            memory: Share::new(budget),
            may_keep: false,
            is_stuck: false,
        }
    }

    /// Keeps from now on what is not taken in time.
    pub(super) fn keep_frames(&mut self) {
        self.may_keep = true;
    }

    /// Whether something waits to be sent.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Sends whole frames. Keeps what the client does not take in time, and all that is sent after
    /// that; waits for the client if there is no memory for it.
    pub(super) fn send(&mut self, writer: &dyn Frames, pieces: &[&[u8]]) -> Result<(), SendError> {
        let mut taken = 0;
        loop {
            if !self.is_stuck {
                let offered = writer.send(pieces, taken)?;
                if !offered.is_full {
                    return Ok(());
                }
                taken = offered.taken;
            }
            if self.keep(pieces, taken) {
                return Ok(());
            }
            if self.is_stuck {
                self.go_on(writer)?;
            }
        }
    }

    /// Sends what is kept, as far as the client takes it in time. Returns whether it has taken
    /// anything.
    pub(super) fn go_on(&mut self, writer: &dyn Frames) -> Result<bool, SendError> {
        let offered = writer.send(&[&self.bytes], self.taken)?;
        let has_moved = offered.taken > self.taken || !offered.is_full;
        self.taken = offered.taken;
        if !offered.is_full {
            self.bytes = Vec::new();
            self.taken = 0;
            self.memory.clear();
            self.is_stuck = false;
        }
        Ok(has_moved)
    }

    /// Keeps pieces without their first `taken` bytes, if that may be and there is memory for them.
    fn keep(&mut self, pieces: &[&[u8]], mut taken: usize) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let needed = self.bytes.len() + length - taken;
        if !self.may_keep || !self.memory.resize(needed) {
            return false;
        }
        self.bytes.reserve_exact(length - taken);
        for piece in pieces {
            let skipped = taken.min(piece.len());
            self.bytes.extend_from_slice(&piece[skipped..]);
            taken -= skipped;
        }
        self.is_stuck = true;
        true
    }

    /// What is kept, without its memory being given back.
    pub(super) fn leave(&mut self) -> (Vec<u8>, usize) {
        let taken = std::mem::take(&mut self.taken);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..taken);
        (bytes, self.memory.leave())
    }

    /// Goes on with what another has left.
    pub(super) fn take_over(&mut self, (bytes, memory): (Vec<u8>, usize)) {
        self.bytes = bytes;
        self.memory.take_over(memory);
        self.is_stuck = true;
    }
}
