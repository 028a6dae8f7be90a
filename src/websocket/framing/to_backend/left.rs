//! Running, client to backend: a thread that leaves because the backend does not read, and another
//! that goes on.

use super::{Delivery, ToBackend};
use crate::websocket::framing::kept::KeptLeft;
use crate::websocket::framing::{PREFIX, SMALL_BUFFER};

/// What the backend has not taken, and the message that has begun. It counts towards `maxmemory`
/// until [`ToBackend::go_on`] has it.
pub(crate) struct Undelivered {
    kept: KeptLeft,
    held: Vec<u8>,
    memory: usize,
    whole: usize,
    streaming: bool,
    prefix: Option<[u8; PREFIX]>,
    text: bool,
    holding: bool,
}

impl ToBackend<'_> {
    /// Keeps from now on what the backend does not take in time, and goes on where another one has
    /// left.
    pub(crate) fn go_on(&mut self, left: Option<Undelivered>) {
        self.kept.keep();
        let Some(left) = left else {
            return;
        };
        self.kept.take_over(left.kept);
        self.count += self.kept.len() as u64;
        self.held = left.held.len();
        self.buffer = left.held;
        self.buffer.resize(self.held.max(SMALL_BUFFER), 0);
        self.memory.take_over(left.memory);
        self.whole = left.whole;
        self.streaming = left.streaming;
        self.prefix = left.prefix;
        self.text = left.text;
        self.holding = left.holding;
    }

    /// Whether bytes wait for the backend to take them.
    pub(crate) fn is_stuck(&self) -> bool {
        self.kept.is_stuck()
    }

    /// Writes bytes that wait, as far as the backend takes them in time.
    ///
    /// # Errors
    /// As [`Delivery`].
    pub(crate) fn send_kept(&mut self) -> Result<(), Delivery> {
        self.kept
            .go_on(self.backend)
            .map(drop)
            .map_err(Delivery::of)
    }

    /// What another one needs to go on, while bytes wait for the backend.
    pub(crate) fn leave(mut self) -> Undelivered {
        let mut held = std::mem::take(&mut self.buffer);
        held.truncate(self.held);
        held.shrink_to_fit();
        // A smaller share than before is always there.
        let _ = self.memory.resize(self.held.saturating_sub(SMALL_BUFFER));
        Undelivered {
            kept: self.kept.leave(),
            held,
            memory: self.memory.leave(),
            whole: self.whole,
            streaming: self.streaming,
            prefix: self.prefix,
            text: self.text,
            holding: self.holding,
        }
    }
}
