//! Running: whether a direction's thread waits for more, or leaves.

use crate::server::workers::Place;

/// Reads of a thread that is served in turn, before it lets another have its turn.
const TURN: u32 = 64;

/// A thread's right to wait, and how long it has had its turn.
pub(crate) struct Patience<'a> {
    place: &'a mut Place,
    /// The direction can do without a thread.
    parks: bool,
    /// The thread may wait in a read.
    lingers: bool,
    /// The descriptor is known to be readable.
    is_ready: bool,
    reads: u32,
}

impl<'a> Patience<'a> {
    /// The patience of a thread in this place. `is_ready` says that there is something to read.
    pub(crate) fn new(place: &'a mut Place, parks: bool, is_ready: bool) -> Self {
        Self {
            place,
            parks,
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
        if !self.parks || self.lingers {
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

    /// Whether the thread leaves after a silence.
    pub(crate) fn is_over(&mut self, is_empty: impl FnOnce() -> bool) -> bool {
        self.parks && is_empty()
    }

    /// The direction is over: its thread waits for the other one, whatever others wait for.
    pub(crate) fn end(&mut self) {
        self.place.give_up();
    }
}
