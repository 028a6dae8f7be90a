//! Ground: a queue by which a thread passes its result to one that waits for it.
//!
//! std's channel does the same, but adds 37 KB to a program for MIPS.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue, first in, first out, shared by all who send and take. It has no bound: use it for
/// answers that are waited for, not for what a client can cause.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sent: Mutex<VecDeque<T>>,
    more: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            sent: Mutex::default(),
            more: Condvar::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds an element.
    pub(crate) fn send(&self, what: T) {
        self.sent().push_back(what);
        self.more.notify_one();
    }

    /// Takes the next element; `None` if none comes within `limit`.
    pub(crate) fn take_within(&self, limit: Duration) -> Option<T> {
        let empty = |sent: &mut VecDeque<T>| sent.is_empty();
        let waited = self.more.wait_timeout_while(self.sent(), limit, empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    fn sent(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_is_sent_is_taken_in_order_and_waited_for() {
        let queue = Queue::default();
        thread::scope(|scope| {
            scope.spawn(|| [1, 2].map(|number| queue.send(number)));
            for number in [1, 2] {
                assert_eq!(queue.take_within(Duration::from_secs(60)), Some(number));
            }
        });
        assert_eq!(queue.take_within(Duration::from_millis(1)), None);
    }
}
