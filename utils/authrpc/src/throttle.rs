//! Who guesses, waits: each wrong password doubles the wait before the next
//! check, for the same user (whoever asks) and on the same connection
//! (whichever user). A right password waits too, or guessers would hang up
//! whenever an answer is late.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::Error;

/// Users share this many counters, by hash: the names come from clients, and
/// a table of names would have to forget some.
const COUNTERS: usize = 256;
/// After this long without a wrong password the count starts anew.
const FORGET: Duration = Duration::from_secs(300);
/// Doublings at most: sixteen times the first wait.
const MAX_DOUBLINGS: u32 = 4;

static FAILURES: LazyLock<Mutex<Vec<Failures>>> =
    LazyLock::new(|| Mutex::new(vec![Failures::default(); COUNTERS]));
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Option<Instant>,
}

impl Failures {
    fn current(self) -> u32 {
        match self.last {
            Some(last) if last.elapsed() < FORGET => self.count,
            Some(_) | None => 0,
        }
    }
}

/// Wrong passwords after which a connection is not listened to any more.
const MAX_FAILURES: u32 = 10;

/// The waits of one connection.
#[derive(Debug)]
pub(crate) struct Throttle {
    delay: Duration,
    failures: u32,
}

impl Throttle {
    /// `delay` is the wait after a first wrong password.
    pub(crate) fn new(delay: Duration) -> Throttle {
        Throttle { delay, failures: 0 }
    }

    /// Waits as long as the user and the connection deserve.
    ///
    /// # Errors
    /// The connection has had enough tries; it costs no more time.
    pub(crate) fn wait(&self, user: &str) -> Result<(), Error> {
        if self.failures >= MAX_FAILURES {
            return Err(Error::failure("too many failures: connect again"));
        }
        let failures = with_counter(user, |failures| failures.current());
        std::thread::sleep(self.length(failures.max(self.failures)));
        Ok(())
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self, user: &str) {
        self.failures = self.failures.saturating_add(1);
        with_counter(user, |failures| {
            let count = failures.current().saturating_add(1);
            *failures = Failures {
                count,
                last: Some(Instant::now()),
            };
        });
    }

    /// The password was right. The connection's count stays: whoever has one
    /// password could clear it to guess another.
    pub(crate) fn passed(&self, user: &str) {
        with_counter(user, |failures| *failures = Failures::default());
    }

    fn length(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            count => self.delay * (1 << (count - 1).min(MAX_DOUBLINGS)),
        }
    }
}

fn with_counter<T>(user: &str, act: impl FnOnce(&mut Failures) -> T) -> T {
    let mut counters = FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    // The remainder is less than COUNTERS.
    let index = (HASHER.hash_one(user) % COUNTERS as u64) as usize;
    act(&mut counters[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_limit() {
        let throttle = Throttle::new(Duration::from_millis(250));
        let waits: Vec<u128> = (0..8)
            .map(|failures| throttle.length(failures).as_millis())
            .collect();
        assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn another_connection_waits_for_the_same_user_too() {
        let delay = Duration::from_millis(30);
        Throttle::new(delay).failed("throttled");
        let start = Instant::now();
        let waited = Throttle::new(delay).wait("throttled");
        assert_eq!(waited, Ok(()));
        assert!(start.elapsed() >= delay);
        Throttle::new(delay).passed("throttled");
        assert_eq!(with_counter("throttled", |failures| failures.current()), 0);
    }

    #[test]
    fn a_connection_that_only_guesses_is_not_listened_to_any_more() {
        let mut throttle = Throttle::new(Duration::ZERO);
        for _ in 0..MAX_FAILURES {
            assert_eq!(throttle.wait("guessed"), Ok(()));
            throttle.failed("guessed");
            throttle.passed("own");
        }
        assert!(throttle.wait("guessed").is_err());
        assert!(throttle.wait("own").is_err());
        assert_eq!(Throttle::new(Duration::ZERO).wait("guessed"), Ok(()));
    }
}
