//! Running: how one copy thread waits for the end of the other's direction.

use std::time::{Duration, Instant};

use crate::system::condition::Condition;
use crate::system::sync::atomic::{AtomicU32, Ordering};
use crate::system::sync::{Mutex, PoisonError};

/// Opens once the direction of a thread is over.
#[derive(Default)]
pub(crate) struct Latch {
    over: Mutex<bool>,
    changed: Condition,
    /// Grows while the direction moves; wraps (MIPS has no 64-bit atomics).
    moves: AtomicU32,
}

impl Latch {
    /// Notes that the direction has moved. Only the direction's own thread may call this: it loads
    /// and stores, which costs less than an atomic addition.
    pub(crate) fn moved(&self) {
        let moves = self.moves.load(Ordering::Relaxed);
        self.moves.store(moves.wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether it has moved, as far as this thread knows.
    pub(crate) fn has_moved(&self) -> bool {
        self.moves.load(Ordering::Relaxed) != 0
    }

    /// Notes that the direction is over, and wakes the threads that wait for it.
    pub(crate) fn open(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether the direction is over.
    pub(crate) fn is_open(&self) -> bool {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the direction is over. Returns false when it has not moved for `pause`, or has
    /// not ended after `most`.
    pub(crate) fn wait(&self, pause: Duration, most: Option<Duration>) -> bool {
        let start = Instant::now();
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let before = self.moves.load(Ordering::Relaxed);
            over = self.changed.wait_while(over, pause, |over| !*over);
            if *over {
                return true;
            }
            let stuck = self.moves.load(Ordering::Relaxed) == before;
            if stuck || most.is_some_and(|most| start.elapsed() >= most) {
                return false;
            }
        }
    }
}
