//! Before the 101: decides whose login is checked next. Each address has a limit, all together have
//! one, and addresses that have sent wrong passwords come behind all others.

use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::guard::network;

/// The checks under way, and those that wait.
pub(super) struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The right to check; dropping it lets another check begin.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// At most `all` checks at a time, of one address `each`; clients without an address are not
    /// told apart. Addresses that have failed a moment ago leave half of the turns to others.
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self {
            queue: Mutex::new(Queue::new(all, each)),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn, until `deadline`; `None` if it does not come. A suspect's address has
    /// failed a moment ago.
    pub(super) fn take(
        &self,
        source: Option<IpAddr>,
        is_suspect: bool,
        deadline: Instant,
    ) -> Option<Turn<'_>> {
        let mut queue = self.queue();
        let number = queue.enter(source.map(network), is_suspect);
        while queue.next() != Some(number) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.leave(queue, number);
                return None;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.begin(number);
        // There may be room for more than this one.
        self.changed.notify_all();
        Some(Turn {
            turns: self,
            number,
        })
    }

    fn leave(&self, mut queue: MutexGuard<'_, Queue>, number: u64) {
        queue.leave(number);
        drop(queue);
        self.changed.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }
}

impl Turn<'_> {
    /// The check has failed: who waits at the same address comes behind others from now on.
    pub(super) fn fail(&self) {
        self.turns.queue().suspect(self.number);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.leave(self.turns.queue(), self.number);
    }
}

/// The checks, at most `all` of which run, and `each` of one address.
struct Queue {
    all: usize,
    each: usize,
    running: Vec<Place>,
    /// The checks that wait, in the order of their turns.
    waiting: Vec<Place>,
    /// The number of the last one that came.
    number: u64,
}

struct Place {
    number: u64,
    /// `None` for a client without an address.
    network: Option<IpAddr>,
    is_suspect: bool,
}

impl Queue {
    fn new(all: usize, each: usize) -> Self {
        Self {
            all,
            each,
            running: Vec::new(),
            waiting: Vec::new(),
            number: 0,
        }
    }

    /// Lets a check wait; its number.
    fn enter(&mut self, network: Option<IpAddr>, is_suspect: bool) -> u64 {
        self.number += 1;
        self.waiting.push(Place {
            number: self.number,
            network,
            is_suspect,
        });
        self.number
    }

    /// The check that may begin: the first of those that have not failed, or else of the suspects.
    fn next(&self) -> Option<u64> {
        if self.running.len() >= self.all {
            return None;
        }
        let able = self.waiting.iter().filter(|place| self.has_room(place));
        let next = able.min_by_key(|place| place.is_suspect);
        next.map(|place| place.number)
    }

    fn has_room(&self, place: &Place) -> bool {
        let is_own = |other: &&Place| other.network == place.network;
        let own = || self.running.iter().filter(is_own).count();
        let suspects = || self.running.iter().filter(|other| other.is_suspect).count();
        (place.network.is_none() || own() < self.each)
            && (!place.is_suspect || suspects() < self.all.div_ceil(2))
    }

    fn begin(&mut self, number: u64) {
        if let Some(at) = position(&self.waiting, number) {
            self.running.push(self.waiting.remove(at));
        }
    }

    /// Moves the checks that wait for the address of this one behind those of addresses that have
    /// not failed.
    fn suspect(&mut self, number: u64) {
        let at = position(&self.running, number);
        let Some(network) = at.and_then(|at| self.running[at].network) else {
            return;
        };
        let own = self.waiting.iter_mut();
        own.filter(|place| place.network == Some(network))
            .for_each(|place| place.is_suspect = true);
    }

    /// Forgets a check. If it was running, those of the same address come behind all others that
    /// wait: so the turns go round the addresses, however many checks each of them asks for.
    fn leave(&mut self, number: u64) {
        self.waiting.retain(|place| place.number != number);
        if let Some(at) = position(&self.running, number) {
            let left = self.running.swap_remove(at);
            let waiting = self.waiting.drain(..);
            let (own, mut others): (Vec<_>, Vec<_>) =
                waiting.partition(|place| place.network == left.network);
            others.extend(own);
            self.waiting = others;
        }
    }
}

fn position(places: &[Place], number: u64) -> Option<usize> {
    places.iter().position(|place| place.number == number)
}

#[cfg(test)]
mod tests;
