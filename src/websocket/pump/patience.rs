//! Running: whether a direction's thread waits for more, or leaves.

use std::time::Duration;

use crate::server::readers::looks;
use crate::server::workers::Place;

/// Reads of a thread that is served in turn, before it lets another have its turn.
const TURN: u32 = 64;

/// A thread's right to wait, and how long it has had its turn.
pub(crate) struct Patience<'a> {
    place: &'a mut Place,
    /// Looks for which a read may wait, and the direction then does without a thread; 0 if it
    /// cannot.
    looks: u32,
    /// The thread may wait in a read.
    lingers: bool,
    /// The descriptor is known to be readable.
    is_ready: bool,
    reads: u32,
}

impl<'a> Patience<'a> {
    /// The patience of a thread in this place. A direction that can do without a thread does so
    /// when it has been silent for `park`. `is_ready` says that there is something to read.
    pub(crate) fn new(place: &'a mut Place, park: Option<Duration>, is_ready: bool) -> Self {
        Self {
            place,
            looks: looks(park),
            lingers: false,
            is_ready,
            reads: 0,
        }
    }

    /// Whether to read, which may wait; otherwise the thread leaves. A direction that is not
    /// `is_empty` cannot be left: its thread waits, without a place that others could have.
    pub(crate) fn may_read(
        &mut self,
        is_empty: impl FnOnce() -> bool,
        is_readable: impl FnOnce() -> bool,
    ) -> bool {
        self.place.begin_read(self.looks);
        if self.looks == 0 || self.lingers {
            return true;
        }
        self.lingers = self.place.linger();
        if self.lingers || std::mem::take(&mut self.is_ready) {
            return true;
        }
        self.reads += 1;
        let has_had_turn = self.reads >= TURN && self.place.is_wanted();
        if !has_had_turn && is_readable() {
            return true;
        }
        if is_empty() {
            return false;
        }
        self.place.give_up();
        true
    }

    /// The read is over: a write that waits from now on is not ended for a silence, since each call
    /// out of it would begin its limit anew.
    pub(crate) fn has_read(&mut self) {
        self.place.end_read();
    }

    /// Whether the thread leaves after a silence. Otherwise it reads again.
    pub(crate) fn is_over(&mut self, is_empty: impl FnOnce() -> bool) -> bool {
        self.looks > 0 && is_empty()
    }

    /// The direction is over: its thread waits for the other one, whatever others wait for.
    pub(crate) fn end(&mut self) {
        self.place.end_read();
        self.place.give_up();
    }
}
