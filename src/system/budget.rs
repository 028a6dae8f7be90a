//! Ground: memory that many clients share, within a limit.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit in bytes, and how much of it is taken. Only what is large or kept for long counts.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    taken: AtomicUsize,
}

impl Budget {
    /// Returns a budget of this many bytes.
    #[cfg(test)]
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit: AtomicUsize::new(limit),
            taken: AtomicUsize::new(0),
        }
    }

    /// Sets the limit. What is taken beyond a smaller one stays taken until it is given back.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns how many bytes are taken, and the limit.
    #[cfg(feature = "state")]
    pub(crate) fn figures(&self) -> (usize, usize) {
        let order = Ordering::Relaxed;
        (self.taken.load(order), self.limit.load(order))
    }

    /// Takes this many bytes; returns false if the budget does not suffice.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= limit);
        let order = Ordering::Relaxed;
        self.taken.fetch_update(order, order, more).is_ok()
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one holder has of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl<'a> Share<'a> {
    /// Returns a share of nothing.
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Leaves what it has taken, which [`Share::take_over`] must be told.
    pub(crate) fn leave(&mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }

    /// Has what another share has left.
    pub(crate) fn take_over(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.budget.give_back(self.bytes);
        self.bytes = 0;
    }

    /// Makes the share this many bytes. Returns false, and leaves it as it was, if the budget does
    /// not suffice.
    #[must_use]
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes && !self.budget.take(bytes - self.bytes) {
            return false;
        }
        self.budget.give_back(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_stay_within_the_budget_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (Share::new(&budget), Share::new(&budget));
        assert!(one.resize(60) && two.resize(40));
        assert!(!two.resize(41), "it is used up");
        assert!(one.resize(50) && two.resize(50));
        drop(one);
        assert!(two.resize(100) && !two.resize(101));
        budget.set_limit(10);
        assert!(two.resize(20), "a share may always shrink");
        assert!(!two.resize(21));
    }
}
