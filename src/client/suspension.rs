//! Running: a client that gets no frames for a while, since another process may serve it.

use std::sync::atomic::Ordering;

use super::frames::{FrameWriter, Phase, lock};

impl FrameWriter {
    /// Sends nothing any more, since another process may do so, until [`FrameWriter::resume`].
    /// Returns false, and changes nothing, if a Close was sent or something is owed.
    pub(crate) fn suspend(&self) -> bool {
        let mut phase = lock(&self.phase);
        if *phase != Phase::Open || self.is_owing() {
            return false;
        }
        *phase = Phase::Closed;
        self.is_open.store(false, Ordering::Release);
        true
    }

    /// Sends frames again, and what has become owed meanwhile.
    pub(crate) fn resume(&self) {
        *lock(&self.phase) = Phase::Open;
        self.is_open.store(true, Ordering::Release);
        self.settle();
    }
}
