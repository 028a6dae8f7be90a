//! Whether an answer is still wanted: by a client that is there, within the time of its batch.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// Time between two looks at a client. Plugins may ask at every step of a query, and what was asked
/// just before a client left is done where it takes no longer.
const LOOK: Duration = Duration::from_millis(100);

/// Watches the client whose message is being answered.
pub struct Watch<'a> {
    client: &'a dyn Connection,
    /// When the client was last seen.
    seen: Cell<Instant>,
    left: Cell<bool>,
    end: Option<Instant>,
}

impl<'a> Watch<'a> {
    /// Watches `client`, who was there at the time `seen`.
    pub fn since(client: &'a dyn Connection, seen: Instant) -> Watch<'a> {
        Watch {
            client,
            seen: Cell::new(seen),
            left: Cell::new(false),
            end: None,
        }
    }

    /// The same watch for an answer that has this much time from now on.
    #[must_use]
    pub fn within(&self, time: Duration) -> Watch<'a> {
        Watch {
            client: self.client,
            seen: self.seen.clone(),
            left: self.left.clone(),
            end: Some(Instant::now() + time),
        }
    }

    /// Whether the answer may be worked for.
    pub fn is_wanted(&self) -> bool {
        !self.is_late() && !self.has_left()
    }

    /// Whether the time of the answer is over.
    pub fn is_late(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether the client has left.
    pub fn has_left(&self) -> bool {
        if self.left.get() {
            return true;
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.seen.get()) < LOOK {
            return false;
        }
        self.seen.set(now);
        self.left.set(self.client.has_left());
        self.left.get()
    }
}
