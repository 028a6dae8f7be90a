//! The requests of this process that write, one after the other.
//!
//! SQLite lets whoever asks at the right moment write next: two clients that write all the time
//! would keep all others out. Here they take turns, in the order in which they come. The process
//! has one file, so one queue is enough.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::{Error, is_wanted};

use crate::limits;

/// Time between two looks at whether a request that waits is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The numbers of those who wait; the first of them writes.
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: VecDeque::new(),
    next: 0,
});
static MOVED: Condvar = Condvar::new();

struct Queue {
    waiting: VecDeque<usize>,
    /// The number of the next to come.
    next: usize,
}

/// The right to write; dropping it lets the next one write.
pub(crate) struct Turn(usize);

impl Turn {
    /// Waits for all that came before.
    ///
    /// # Errors
    /// They take too long, or the answer is no longer wanted.
    pub(crate) fn wait() -> Result<Turn, Error> {
        let end = Instant::now() + limits::QUEUE_TIME;
        let mut queue = lock();
        let turn = Turn(queue.next);
        queue.next = queue.next.wrapping_add(1);
        queue.waiting.push_back(turn.0);
        while queue.waiting.front() != Some(&turn.0) {
            queue = MOVED
                .wait_timeout(queue, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if Instant::now() >= end || !is_wanted() {
                // Dropping the turn takes the lock.
                drop(queue);
                return Err(Error::failure("others write to the file: ask again"));
            }
        }
        drop(queue);
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock().waiting.retain(|waiting| *waiting != self.0);
        MOVED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
