//! Opening and running: a client that takes part in a share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Share;

/// A client that takes part; dropping this ends that.
pub(crate) struct Membership {
    share: Arc<Share>,
    is_free: AtomicBool,
}

impl Membership {
    pub(super) fn new(share: &Arc<Share>) -> Self {
        Self {
            share: Arc::clone(share),
            is_free: AtomicBool::new(false),
        }
    }

    pub(super) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Ends it: the client is served no longer.
    pub(super) fn free(&self) {
        if self.is_free.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.share.state();
        state.memberships -= 1;
        state.idle = Instant::now();
        drop(state);
        self.share.wake();
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.free();
    }
}
