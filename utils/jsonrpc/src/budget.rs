//! The memory that all clients of the process share: for messages that have not ended, for calls
//! (parameters, trees, rows) and for answers that wait to be read. It is asked for before anything
//! is built, so that what is too much is refused and never takes the memory of the machine.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::heap;

/// What all clients may take together unless `-M` says otherwise, in bytes.
pub const BUDGET: usize = 16 * 1024 * 1024;

/// Once so much was taken, in bytes, and all of it is back, the heap is trimmed.
const LARGE: usize = 2 * 1024 * 1024;

/// What each share has for nothing, in bytes: however much others take, short messages are
/// answered. A client has three shares.
const FREE: usize = 16 * 1024;

/// The memory for the clients of a process, in bytes.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: AtomicUsize,
    /// The most that was taken since all was back.
    most: AtomicUsize,
}

impl Budget {
    /// A budget of this many bytes.
    pub const fn new(limit: usize) -> Budget {
        Budget {
            limit,
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let with = |taken: usize| taken.checked_add(bytes).filter(|all| *all <= self.limit);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, with);
        if let Ok(before) = taken {
            self.most.fetch_max(before + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        let before = self.taken.fetch_sub(bytes, Ordering::Relaxed);
        if bytes > 0 && before == bytes && self.most.swap(0, Ordering::Relaxed) >= LARGE {
            heap::trim();
        }
    }
}

/// A part of a budget; dropping it gives the part back.
#[derive(Debug)]
pub struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl<'a> Share<'a> {
    /// A share without anything in it.
    pub fn new(budget: &'a Budget) -> Share<'a> {
        Share { budget, bytes: 0 }
    }

    /// How much the share has, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a part of the share counts.
    pub fn is_counted(&self) -> bool {
        counted(self.bytes) > 0
    }

    /// Changes the share to `bytes`; false, and no change, where that is more than is left. Less is
    /// always possible.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        let (now, then) = (counted(self.bytes), counted(bytes));
        if then > now {
            if !self.budget.take(then - now) {
                return false;
            }
        } else {
            self.budget.give_back(now - then);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.give_back(counted(self.bytes));
    }
}

/// What of a share counts.
fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(FREE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_no_more_than_the_budget_together() {
        let budget = Budget::new(100_000);
        let mut one = Share::new(&budget);
        let mut other = Share::new(&budget);
        assert!(one.resize(FREE + 60_000));
        assert!(!other.resize(FREE + 60_000));
        assert_eq!(other.bytes(), 0);
        assert!(other.resize(FREE + 40_000));
        assert!(!one.resize(FREE + 60_001));
        assert!(one.resize(10));
        assert!(other.resize(FREE + 100_000));
        drop((one, other));
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_short_message_has_room_whatever_others_take() {
        let budget = Budget::new(0);
        let mut share = Share::new(&budget);
        assert!(share.resize(FREE));
        assert!(!share.resize(FREE + 1));
        assert!(!share.resize(usize::MAX));
    }
}
