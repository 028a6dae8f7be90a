//! Before the 101: remembers which addresses must wait before another password, and which users
//! have shown a right one a moment ago.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::credentials::Credentials;

/// How long a right answer is remembered: a page of many files costs one check.
const MEMORY: Duration = Duration::from_secs(60);
/// Most right answers remembered; beyond it the check is made again.
const MAX_REMEMBERED: usize = 256;
/// Tries of an address that fail before it has to wait: people mistype.
const FREE_FAILURES: u32 = 3;
/// Longest wait of an address.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long an address is a suspect after its last failure: authrpc has the same time.
const SUSPICION: Duration = Duration::from_secs(300);
/// Most addresses with failures that are kept; beyond it the one that has waited longest is
/// forgotten.
const MAX_ADDRESSES: usize = 1024;

/// What is known of the tries so far.
#[derive(Default)]
pub(super) struct Guard {
    state: Mutex<State>,
    /// A key that nobody else has.
    key: RandomState,
}

#[derive(Default)]
struct State {
    // Lists: they are short, and trees and hashes are kilobytes of code.
    remembered: Vec<Remembered>,
    failures: Vec<Failures>,
}

/// A right password.
struct Remembered {
    digest: [u8; 32],
    since: Instant,
    groups: Vec<String>,
}

/// The wrong passwords of an address.
struct Failures {
    network: IpAddr,
    count: u32,
    /// When the wait after the last one ends, or has ended.
    until: Instant,
}

impl Remembered {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < MEMORY
    }
}

impl Failures {
    /// Whether the address has failed within [`SUSPICION`].
    fn is_suspect(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) < SUSPICION
    }
}

impl State {
    fn failures(&self, source: Option<IpAddr>) -> Option<&Failures> {
        let network = network(source?);
        self.failures.iter().find(|known| known.network == network)
    }
}

impl Guard {
    /// The groups of the user if the credentials were right less than a minute before `now`.
    pub(super) fn recall(&self, credentials: &Credentials, now: Instant) -> Option<Vec<String>> {
        let digest = self.digest(credentials);
        let state = self.state();
        let known = state.remembered.iter().find(|own| own.digest == digest)?;
        known.is_fresh(now).then(|| known.groups.clone())
    }

    /// Remembers right credentials, and the groups of their user. The address need not wait any
    /// more.
    pub(super) fn remember(
        &self,
        credentials: &Credentials,
        groups: &[String],
        source: Option<IpAddr>,
        now: Instant,
    ) {
        let digest = self.digest(credentials);
        let mut state = self.state();
        let network = source.map(network);
        if let Some(known) = (state.failures.iter_mut()).find(|own| Some(own.network) == network) {
            known.count = 0;
        }
        let remembered = &mut state.remembered;
        remembered.retain(|own| own.digest != digest);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|own| own.is_fresh(now));
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.push(Remembered {
                digest,
                since: now,
                groups: groups.to_owned(),
            });
        }
    }

    /// Lets an address try.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn admit(&self, source: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let state = self.state();
        let wait = state
            .failures(source)
            .map(|known| known.until.saturating_duration_since(now));
        match wait {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Whether an address has failed in the last minutes, right ones since then or not: programs
    /// that check for us let it wait.
    pub(super) fn is_suspect(&self, source: Option<IpAddr>, now: Instant) -> bool {
        let state = self.state();
        let failures = state.failures(source);
        failures.is_some_and(|known| known.is_suspect(now))
    }

    /// Lets an address wait longer after each failure: 1, 2, 4 and up to 60 seconds. Five minutes
    /// without one begin anew.
    pub(super) fn note_failure(&self, source: Option<IpAddr>, now: Instant) {
        let Some(network) = source.map(network) else {
            return;
        };
        let mut state = self.state();
        let failures = &mut state.failures;
        let known = failures.iter().position(|known| known.network == network);
        let known = known.unwrap_or_else(|| {
            if failures.len() >= MAX_ADDRESSES {
                let numbered = failures.iter().enumerate();
                let oldest = numbered.min_by_key(|(_, known)| known.until);
                let oldest = oldest.map_or(0, |(at, _)| at);
                failures.swap_remove(oldest);
            }
            failures.push(Failures {
                network,
                count: 0,
                until: now,
            });
            failures.len() - 1
        });
        let known = &mut failures[known];
        if !known.is_suspect(now) {
            known.count = 0;
        }
        known.count = known.count.saturating_add(1);
        known.until = now;
        if let Some(beyond) = known.count.checked_sub(FREE_FAILURES) {
            let seconds = 1 << beyond.min(6);
            known.until = now + Duration::from_secs(seconds).min(MAX_WAIT);
        }
    }

    /// A digest of user and password: it tells whether they are the same, and hides what they are.
    fn digest(&self, credentials: &Credentials) -> [u8; 32] {
        let mut digest = Sha256::new();
        for half in [0, 1] {
            digest.update(self.key.hash_one(half).to_be_bytes());
        }
        // A user has no colon.
        for part in [&*credentials.user, ":", &*credentials.password] {
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses that one client has: of IPv6 a /64.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn an_address_that_fails_waits_and_another_one_does_not() {
        let (guard, now) = (Guard::default(), Instant::now());
        for _ in 0..FREE_FAILURES {
            assert!(guard.admit(ip("192.0.2.1"), now).is_ok());
            guard.note_failure(ip("192.0.2.1"), now);
        }
        let second = Duration::from_secs(1);
        assert_eq!(guard.admit(ip("192.0.2.1"), now), Err(second));
        assert!(guard.admit(ip("192.0.2.1"), now + second).is_ok());
        assert!(guard.admit(ip("192.0.2.2"), now).is_ok());
        guard.note_failure(ip("192.0.2.1"), now);
        assert_eq!(guard.admit(ip("192.0.2.1"), now), Err(2 * second));
        for _ in 0..40 {
            guard.note_failure(ip("192.0.2.1"), now);
        }
        let mapped = ip("::ffff:192.0.2.1");
        assert_eq!(guard.admit(mapped, now), Err(MAX_WAIT));
    }

    #[test]
    fn a_right_password_and_five_minutes_begin_anew() {
        let (guard, start) = (Guard::default(), Instant::now());
        let own = ip("192.0.2.1");
        let fail = |now| {
            for _ in 0..FREE_FAILURES {
                assert!(guard.admit(own, now).is_ok(), "{:?}", now - start);
                guard.note_failure(own, now);
            }
            guard.admit(own, now).expect_err("it has to wait")
        };
        let now = start + fail(start);
        guard.remember(&credentials("a", "b"), &[], own, now);
        let now = now + fail(now);
        let later = now + SUSPICION;
        assert!(guard.is_suspect(own, later - Duration::from_millis(1)));
        assert!(!guard.is_suspect(own, later) && !guard.is_suspect(ip("192.0.2.2"), start));
        fail(later);
    }

    #[test]
    fn the_addresses_of_one_network_wait_together() {
        let (guard, now) = (Guard::default(), Instant::now());
        for host in 0..9 {
            guard.note_failure(ip(&format!("2001:db8::{host}")), now);
        }
        assert!(guard.admit(ip("2001:db8::ffff"), now).is_err());
        assert!(guard.admit(ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn many_addresses_cost_bounded_memory() {
        let (guard, now) = (Guard::default(), Instant::now());
        for number in 0..3 * MAX_ADDRESSES as u32 {
            guard.note_failure(Some(IpAddr::V4(number.into())), now);
        }
        assert_eq!(guard.state().failures.len(), MAX_ADDRESSES);
    }

    #[test]
    fn right_credentials_are_remembered_for_a_minute_and_others_are_not() {
        let (guard, now) = (Guard::default(), Instant::now());
        let groups = ["staff".to_owned()];
        guard.remember(&credentials("a", "b"), &groups, None, now);
        let recall = |user: &str, password: &str, after: Duration| {
            guard.recall(&credentials(user, password), now + after)
        };
        let soon = Duration::ZERO;
        assert_eq!(recall("a", "b", soon).as_deref(), Some(&groups[..]));
        assert_eq!(recall("a", "c", soon), None);
        assert_eq!(recall("b", "b", soon), None);
        let before = MEMORY - Duration::from_millis(1);
        assert!(recall("a", "b", before).is_some());
        assert_eq!(recall("a", "b", MEMORY), None);
        let other = Guard::default();
        assert_eq!(other.recall(&credentials("a", "b"), now), None);
        for number in 0..2 * MAX_REMEMBERED {
            guard.remember(&credentials("a", &number.to_string()), &[], None, now);
        }
        assert_eq!(guard.state().remembered.len(), MAX_REMEMBERED);
    }
}
