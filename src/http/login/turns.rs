//! How many logins another program checks at a time: a limit for each address, and one for all.

use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::guard::network;

/// Most checks at a time. Half of them may be of addresses that have failed a moment ago.
const MAX_CHECKS: usize = 32;

/// The checks under way.
pub(super) struct Turns {
    /// Most checks of one address at a time.
    each: usize,
    running: Mutex<Running>,
    changed: Condvar,
}

#[derive(Default)]
struct Running {
    /// An entry for each check, `None` for a client without an address.
    networks: Vec<Option<IpAddr>>,
    suspects: usize,
}

/// The right to check; dropping it lets another check begin.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    network: Option<IpAddr>,
    is_suspect: bool,
}

impl Turns {
    /// Of one address `each` checks at a time; clients without an address are not told apart.
    pub(super) fn new(each: usize) -> Self {
        Self {
            each,
            running: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits for a turn, until `deadline`; `None` if it does not come. A suspect, whose address has
    /// failed a moment ago, leaves half of the turns to others.
    pub(super) fn take(
        &self,
        source: Option<IpAddr>,
        is_suspect: bool,
        deadline: Instant,
    ) -> Option<Turn<'_>> {
        let network = source.map(network);
        let mut running = self.running();
        while !running.has_room(network, self.each, is_suspect) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(running, left);
            running = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        running.networks.push(network);
        running.suspects += usize::from(is_suspect);
        Some(Turn {
            turns: self,
            network,
            is_suspect,
        })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn has_room(&self, network: Option<IpAddr>, each: usize, is_suspect: bool) -> bool {
        let own = |&&other: &&Option<IpAddr>| other == network;
        let is_alone = network.is_none() || self.networks.iter().filter(own).count() < each;
        let has_room = !is_suspect || self.suspects < MAX_CHECKS / 2;
        is_alone && has_room && self.networks.len() < MAX_CHECKS
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut running = self.turns.running();
        let own = running
            .networks
            .iter()
            .position(|&other| other == self.network);
        if let Some(own) = own {
            running.networks.swap_remove(own);
        }
        running.suspects -= usize::from(self.is_suspect);
        drop(running);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    #[test]
    fn an_address_has_its_turns_and_all_have_theirs() {
        let turns = Turns::new(2);
        let now = Instant::now();
        let own: Vec<_> = (0..2).map(|_| turns.take(ip(1), false, now)).collect();
        assert!(own.iter().all(Option::is_some));
        assert!(turns.take(ip(1), false, now).is_none());
        let others: Vec<_> = (2..40)
            .filter_map(|number| turns.take(ip(number), false, now))
            .collect();
        assert_eq!(others.len(), MAX_CHECKS - 2);
        drop(others);
        drop(own);
        assert!(turns.take(ip(1), false, now).is_some());
        assert!(turns.running().networks.is_empty());
    }

    #[test]
    fn those_who_have_failed_leave_half_of_the_turns() {
        let turns = Turns::new(1);
        let now = Instant::now();
        let suspects: Vec<_> = (0..40)
            .filter_map(|number| turns.take(ip(number), true, now))
            .collect();
        assert_eq!(suspects.len(), MAX_CHECKS / 2);
        assert!(turns.take(ip(100), false, now).is_some());
        assert!(turns.take(None, false, now).is_some());
    }

    #[test]
    fn a_turn_that_ends_wakes_the_next() {
        let turns = Turns::new(1);
        let deadline = Instant::now() + Duration::from_secs(60);
        let first = turns.take(ip(1), false, deadline);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.take(ip(1), false, deadline).is_some());
            drop(first);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
