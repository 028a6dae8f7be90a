//! The memory of all answers that wait to be read: a client that asks for long
//! ones and does not read them must not take the memory of the machine.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What all answers of the process may take together, in bytes.
const BUDGET: usize = 16 * 1024 * 1024;

/// An answer up to this length needs no share, or the others would keep short
/// answers waiting: each client has but one.
const FREE: usize = 32 * 1024;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The share of one answer, given back with it.
#[derive(Debug)]
pub(crate) struct Share(usize);

impl Share {
    /// A share for an answer of this length, if it is left.
    pub(crate) fn take(length: usize) -> Option<Share> {
        if length <= FREE {
            return Some(Share(0));
        }
        let with = |taken: usize| taken.checked_add(length).filter(|all| *all <= BUDGET);
        TAKEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, with)
            .ok()?;
        Some(Share(length))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}
