//! Running: what one client has yet to read. Bounded, so that a client that never reads costs no
//! more than that.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that may wait for one client.
const CAPACITY: usize = 1024 * 1024;

/// What a message costs beside its bytes, so that empty ones are bounded too.
pub(crate) const MESSAGE_COST: usize = 64;

/// A message, shared by the outboxes of all its readers.
pub(crate) type Message = Arc<[u8]>;

/// The messages that wait for one client, in the order they were said.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    cost: usize,
    closed: bool,
    written: bool,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It waits for its reader.
    Waits,
    /// It did not fit. The outbox is closed now, and what waited is gone.
    Overflows,
    /// The reader is about to leave.
    Closed,
}

impl Outbox {
    /// Puts a message at the end. Never blocks.
    pub(crate) fn put(&self, message: &Message) -> Put {
        let mut state = self.lock();
        if state.closed {
            return Put::Closed;
        }
        state.cost += cost(message);
        let result = if state.cost > CAPACITY {
            state.waiting.clear();
            state.closed = true;
            Put::Overflows
        } else {
            state.waiting.push_back(Arc::clone(message));
            Put::Waits
        };
        self.changed.notify_all();
        result
    }

    /// Takes the first message, waiting for one; `None` when the outbox is closed and empty.
    pub(crate) fn take(&self) -> Option<Message> {
        let mut state = self.lock();
        loop {
            if let Some(message) = state.waiting.pop_front() {
                state.cost -= cost(&message);
                return Some(message);
            }
            if state.closed {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets nothing more in.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Says that nobody will take any more.
    pub(crate) fn set_written(&self) {
        self.lock().written = true;
        self.changed.notify_all();
    }

    /// Waits until nobody takes any more; false if that is not so within `time`.
    pub(crate) fn wait_until_written(&self, time: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| !state.written);
        waited.unwrap_or_else(PoisonError::into_inner).0.written
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(message: &Message) -> usize {
    message.len() + MESSAGE_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Message {
        vec![b'x'; length].into()
    }

    #[test]
    fn messages_come_out_in_order_and_then_the_end() {
        let outbox = Outbox::default();
        for text in ["one", "two"] {
            assert_eq!(outbox.put(&text.as_bytes().into()), Put::Waits);
        }
        outbox.close();
        assert_eq!(outbox.put(&message(1)), Put::Closed);
        assert_eq!(outbox.take().as_deref(), Some(b"one".as_slice()));
        assert_eq!(outbox.take().as_deref(), Some(b"two".as_slice()));
        assert_eq!(outbox.take(), None);
    }

    #[test]
    fn a_message_too_many_closes_the_outbox_and_frees_it() {
        let outbox = Outbox::default();
        let quarter = message(CAPACITY / 4 - MESSAGE_COST);
        for _ in 0..4 {
            assert_eq!(outbox.put(&quarter), Put::Waits);
        }
        assert_eq!(outbox.put(&message(0)), Put::Overflows);
        assert_eq!(outbox.take(), None);
        assert_eq!(Arc::strong_count(&quarter), 1);
    }

    #[test]
    fn empty_messages_are_bounded_too() {
        let outbox = Outbox::default();
        let puts = (0..)
            .take_while(|_| outbox.put(&message(0)) == Put::Waits)
            .count();
        assert_eq!(puts, CAPACITY / MESSAGE_COST);
    }

    #[test]
    fn a_message_taken_lets_another_in() {
        let outbox = Outbox::default();
        for _ in 0..10 {
            assert_eq!(outbox.put(&message(CAPACITY - MESSAGE_COST)), Put::Waits);
            assert!(outbox.take().is_some());
        }
    }
}
