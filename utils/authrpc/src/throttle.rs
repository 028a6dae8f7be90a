//! Who guesses, waits: each wrong password doubles the wait before the next
//! check, for the same user (whoever asks) and on the same connection
//! (whichever user). Checks of one user take turns, or who opens many
//! connections would wait on all of them at once. A right password waits too,
//! or guessers would hang up whenever an answer is late.

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

/// Longest time that all turns of a user before the own may take; whoever
/// comes then is told so at once. A page waits for an answer a little longer.
const MAX_AHEAD: Duration = Duration::from_secs(8);

static TURNS: LazyLock<Mutex<Vec<Turns>>> =
    LazyLock::new(|| Mutex::new(vec![Turns::default(); COUNTERS]));
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    /// Checks since the last right password, those that wait included.
    count: u32,
    /// When the last of them has its turn.
    last: Option<Instant>,
}

impl Turns {
    /// The count, and how long from `now` the last turn is off.
    fn current(self, now: Instant) -> (u32, Duration) {
        match self.last {
            Some(last) if now < last + FORGET => (self.count, last.saturating_duration_since(now)),
            Some(_) | None => (0, Duration::ZERO),
        }
    }

    /// How long the turn that is now taken is off.
    fn take(&mut self, throttle: &Throttle, now: Instant) -> Result<Duration, Error> {
        let (count, ahead) = self.current(now);
        if ahead > MAX_AHEAD {
            return Err(Error::failure("try again later"));
        }
        let pause = ahead + throttle.length(count);
        *self = Turns {
            count: count.saturating_add(1),
            last: Some(now + pause),
        };
        Ok(pause.max(throttle.length(throttle.failures)))
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
    /// The connection has had enough tries, or too many others have their turn
    /// before; it costs no more time.
    pub(crate) fn wait(&self, user: &str) -> Result<(), Error> {
        if self.failures >= MAX_FAILURES {
            return Err(Error::failure("too many failures: connect again"));
        }
        let pause = with_turns(user, |turns| turns.take(self, Instant::now()))?;
        std::thread::sleep(pause);
        Ok(())
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The password was right. The connection's count stays: whoever has one
    /// password could clear it to guess another.
    pub(crate) fn passed(&self, user: &str) {
        with_turns(user, |turns| *turns = Turns::default());
    }

    fn length(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            count => self.delay * (1 << (count - 1).min(MAX_DOUBLINGS)),
        }
    }
}

fn with_turns<T>(user: &str, act: impl FnOnce(&mut Turns) -> T) -> T {
    let mut all = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    // The remainder is less than COUNTERS.
    let index = (HASHER.hash_one(user) % COUNTERS as u64) as usize;
    act(&mut all[index])
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
        assert_eq!(Throttle::new(delay).wait("throttled"), Ok(()));
        let start = Instant::now();
        assert_eq!(Throttle::new(delay).wait("throttled"), Ok(()));
        assert!(start.elapsed() >= delay);
    }

    // Not by their names, whose counters other tests share.
    #[test]
    fn connections_that_guess_at_the_same_time_take_turns() {
        let throttle = Throttle::new(Duration::from_millis(100));
        let mut turns = Turns::default();
        let now = Instant::now();
        let pauses = [(); 5].map(|()| turns.take(&throttle, now).map(|pause| pause.as_millis()));
        assert_eq!(pauses, [0, 100, 300, 700, 1500].map(Ok));
    }

    #[test]
    fn who_would_wait_for_too_many_others_is_told_so() {
        let throttle = Throttle::new(Duration::from_secs(3));
        let mut turns = Turns::default();
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut take = |at| turns.take(&throttle, start + seconds(at));
        assert_eq!(take(0), Ok(seconds(0)));
        assert_eq!(take(0), Ok(seconds(3)));
        assert_eq!(take(0), Ok(seconds(9)));
        assert_eq!(take(0), Err(Error::failure("try again later")));
        assert_eq!(take(1), Ok(seconds(8 + 12)));
        assert_eq!(take(20), Ok(seconds(1 + 24)), "the owner's turn");
        assert_eq!(take(500), Ok(seconds(0)), "all is forgotten");
    }

    #[test]
    fn the_failures_of_a_connection_keep_nobody_elses_turn_waiting() {
        let mut guesser = Throttle::new(Duration::from_secs(1));
        guesser.failures = 5;
        let other = Throttle::new(Duration::from_secs(1));
        let mut turns = Turns::default();
        let now = Instant::now();
        assert_eq!(turns.take(&guesser, now), Ok(Duration::from_secs(16)));
        assert_eq!(turns.take(&other, now), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn a_connection_that_only_guesses_is_not_listened_to_any_more() {
        let mut throttle = Throttle::new(Duration::ZERO);
        for _ in 0..MAX_FAILURES {
            assert_eq!(throttle.wait("guessed"), Ok(()));
            throttle.failed();
            throttle.passed("own");
        }
        assert!(throttle.wait("guessed").is_err());
        assert!(throttle.wait("own").is_err());
        assert_eq!(Throttle::new(Duration::ZERO).wait("guessed"), Ok(()));
    }
}
