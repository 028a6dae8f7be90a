//! Ground: a condition that threads wait for, whose notification costs nothing if nobody waits. That
//! of std's `Condvar` is a system call in any case.

use std::time::Duration;

use super::sync::atomic::{AtomicU32, Ordering};
use super::sync::{Condvar, MutexGuard, PoisonError};

/// A condition on what one lock guards. Whoever changes that notifies after it has had the lock.
#[derive(Default)]
pub(crate) struct Condition {
    changed: Condvar,
    /// Threads that wait; changed only under the lock. One that is not counted yet when a notification
    /// looks finds the change, since it has the lock later.
    waiting: AtomicU32,
}

impl Condition {
    /// Waits as long as `is_unmet` returns true, for `limit` at most.
    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        is_unmet: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waited = self.changed.wait_timeout_while(guard, limit, is_unmet);
        let guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        guard
    }

    /// Wakes all who wait, so that they look again.
    pub(crate) fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }

    /// Wakes one of those who wait.
    pub(crate) fn notify_one(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_one();
        }
    }
}
