//! Opening and running: a client's place in a share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Share;

/// A client's place; dropping it frees it.
pub(crate) struct Seat {
    share: Arc<Share>,
    is_free: AtomicBool,
}

impl Seat {
    pub(super) fn new(share: &Arc<Share>) -> Self {
        Self {
            share: Arc::clone(share),
            is_free: AtomicBool::new(false),
        }
    }

    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Frees the place: the client is served no longer.
    pub(super) fn free(&self) {
        if self.is_free.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.share.state();
        state.seats -= 1;
        state.idle = Instant::now();
        drop(state);
        self.share.wake();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.free();
    }
}
