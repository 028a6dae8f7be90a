//! Running: what is written and not taken in time, by a client or by a backend.

use std::collections::VecDeque;

use super::SMALL_BUFFER;
use crate::client::frames::Offered;
use crate::system::budget::{Budget, Share};

/// What takes bytes, or does not.
pub(super) trait Sink {
    /// Why it never will.
    type Error;

    /// Writes pieces, of which `taken` bytes were written before. Returns when all is written, or
    /// when nothing has been taken for a while.
    ///
    /// # Errors
    /// As the trait says it.
    fn write(&self, pieces: &[&[u8]], taken: usize) -> Result<Offered, Self::Error>;
}

/// What the other side has not taken of what was written to it.
pub(super) struct Kept<'a> {
    bytes: Vec<u8>,
    /// How many of them it has taken.
    taken: usize,
    /// Each write is a packet: where those end that wait.
    ends: Option<VecDeque<usize>>,
    memory: Share<'a>,
    /// Bytes may be kept, so that their thread can leave.
    may_keep: bool,
    /// The other side has taken less than all, or its TLS session holds what its socket has not
    /// taken.
    is_stuck: bool,
}

/// What is kept, while no thread has it; it counts towards `maxmemory`.
pub(super) struct KeptLeft {
    bytes: Vec<u8>,
    ends: Option<VecDeque<usize>>,
    memory: usize,
}

impl<'a> Kept<'a> {
    /// Nothing, and nothing will be kept. With `are_packets` each write is a packet.
    pub(super) fn new(budget: &'a Budget, are_packets: bool) -> Self {
        Self {
            bytes: Vec::new(),
            taken: 0,
            ends: are_packets.then(VecDeque::new),
            memory: Share::new(budget),
            may_keep: false,
            is_stuck: false,
        }
    }

    /// Keeps from now on what is not taken in time.
    pub(super) fn keep(&mut self) {
        self.may_keep = true;
    }

    /// Whether something waits to be taken.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Writes pieces. Keeps what is not taken in time, and all that is written after that; waits if
    /// there is no memory for it.
    pub(super) fn send<S: Sink + ?Sized>(
        &mut self,
        sink: &S,
        pieces: &[&[u8]],
    ) -> Result<(), S::Error> {
        let mut taken = 0;
        loop {
            if !self.is_stuck {
                let offered = sink.write(pieces, taken)?;
                if !offered.is_full {
                    return Ok(());
                }
                taken = offered.taken;
            }
            if self.add(pieces, taken) {
                return Ok(());
            }
            if self.is_stuck {
                self.go_on(sink)?;
            }
        }
    }

    /// Writes what is kept, as far as it is taken in time. Returns whether anything was.
    pub(super) fn go_on<S: Sink + ?Sized>(&mut self, sink: &S) -> Result<bool, S::Error> {
        let mut has_moved = false;
        while self.is_stuck {
            let next = self.ends.as_ref().and_then(|ends| ends.front().copied());
            let end = next.unwrap_or(self.bytes.len());
            let offered = sink.write(&[&self.bytes[self.taken..end]], 0)?;
            has_moved |= offered.taken > 0 || !offered.is_full;
            self.taken += offered.taken;
            if offered.is_full {
                break;
            }
            if let Some(ends) = &mut self.ends {
                ends.pop_front();
            }
            if self.ends.as_ref().is_none_or(VecDeque::is_empty) {
                self.clear();
            }
        }
        Ok(has_moved)
    }

    /// Drops what is kept.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.taken = 0;
        if let Some(ends) = &mut self.ends {
            *ends = VecDeque::new();
        }
        self.memory.clear();
        self.is_stuck = false;
    }

    /// Keeps pieces without their first `taken` bytes, if that may be and there is memory for them.
    fn add(&mut self, pieces: &[&[u8]], mut taken: usize) -> bool {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let bounds = self.ends.as_ref().map_or(0, |ends| ends.len() + 1);
        let needed = self.bytes.len() + length - taken + bounds * size_of::<usize>();
        if !self.may_keep || !self.memory.resize(needed) {
            return false;
        }
        if self.bytes.capacity() - self.bytes.len() < length - taken {
            self.bytes.reserve_exact((length - taken).max(SMALL_BUFFER));
        }
        for piece in pieces {
            let skipped = taken.min(piece.len());
            self.bytes.extend_from_slice(&piece[skipped..]);
            taken -= skipped;
        }
        if let Some(ends) = &mut self.ends {
            ends.push_back(self.bytes.len());
        }
        self.is_stuck = true;
        true
    }

    /// What is kept, without its memory being given back.
    pub(super) fn leave(&mut self) -> KeptLeft {
        let taken = std::mem::take(&mut self.taken);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..taken);
        let mut ends = self.ends.take();
        for end in ends.iter_mut().flatten() {
            *end -= taken;
        }
        KeptLeft {
            bytes,
            ends,
            memory: self.memory.leave(),
        }
    }

    /// Goes on with what another has left.
    pub(super) fn take_over(&mut self, left: KeptLeft) {
        self.bytes = left.bytes;
        self.ends = left.ends;
        self.memory.take_over(left.memory);
        self.is_stuck = true;
    }
}
