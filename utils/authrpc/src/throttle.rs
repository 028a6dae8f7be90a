//! Wrong passwords slow down the address that they come from, and nobody else.
//!
//! Checks of an address that has failed take turns, each later than the one before, or an attacker
//! would wait on many connections at once. A right password waits too, or guessers would hang up
//! whenever an answer is late. Where the address is not known (a gateway that does not tell it),
//! those who try the same user take turns instead: guessing stays slow, but keeps that user waiting
//! too.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::{Error, is_wanted};

/// Addresses, and users, remembered at most: the one that failed longest ago goes first.
const REMEMBERED: usize = 1024;
/// After this long without a wrong password the count starts anew.
const FORGET: Duration = Duration::from_secs(300);
/// Doublings at most: sixteen times the first wait.
const MAX_DOUBLINGS: u32 = 4;
/// Longest time that all turns before the own may take; a check that would wait longer is refused
/// at once. A page waits for an answer a little longer.
const MAX_AHEAD: Duration = Duration::from_secs(8);
/// Wrong passwords after which a connection is not listened to any more.
const MAX_FAILURES: u32 = 10;
/// Time between two looks at whether a check that waits is still wanted.
const LOOK: Duration = Duration::from_millis(100);

static TABLES: LazyLock<Mutex<Tables>> = LazyLock::new(Mutex::default);

/// Whether passwords of the same source were wrong before; where none is known, for the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None that is known.
    Clean,
    /// Some: others go before.
    Suspect,
}

/// What is known of an address or of a user.
#[derive(Debug, Clone, Copy)]
struct Turns {
    /// Wrong passwords.
    failures: u32,
    /// Checks that wait or run.
    pending: u32,
    /// When the last password was wrong, or the last check that waits has its turn.
    last: Option<Instant>,
}

impl Turns {
    const NONE: Turns = Turns {
        failures: 0,
        pending: 0,
        last: None,
    };

    /// The failures, and how long from `now` the last turn is off.
    fn current(self, now: Instant) -> (u32, Duration) {
        match self.last {
            Some(last) if now < last + FORGET => {
                (self.failures, last.saturating_duration_since(now))
            }
            Some(_) | None => (0, Duration::ZERO),
        }
    }

    /// How long the turn that is now taken is off. Without failures it is not: a browser asks
    /// several times at once.
    fn take(&mut self, throttle: &Throttle, now: Instant) -> Result<(Duration, Standing), Error> {
        let (failures, ahead) = self.current(now);
        if ahead > MAX_AHEAD {
            return Err(Error::failure("try again later"));
        }
        let pause = ahead + throttle.length(failures);
        if failures > 0 {
            self.last = Some(now + pause);
        }
        let clean = failures == 0 && self.pending == 0 && throttle.failures == 0;
        self.pending += 1;
        let standing = if clean {
            Standing::Clean
        } else {
            Standing::Suspect
        };
        Ok((pause.max(throttle.length(throttle.failures)), standing))
    }

    fn fail(&mut self, now: Instant) {
        self.failures = self.current(now).0.saturating_add(1);
        // Turns that others have taken stay where they are.
        self.last = self.last.max(Some(now));
    }
}

/// The turns of all addresses and users that have failed.
#[derive(Debug, Default)]
struct Tables {
    by_address: Table<IpAddr>,
    by_name: Table<u64>,
    hasher: RandomState,
}

impl Tables {
    fn address(&mut self, source: IpAddr, now: Instant) -> &mut Turns {
        self.by_address.turns(source, now)
    }

    /// By hash, since clients choose how long a name is.
    fn name(&mut self, user: &str, now: Instant) -> &mut Turns {
        let hash = self.hasher.hash_one(user);
        self.by_name.turns(hash, now)
    }

    /// Those that count for a check.
    fn of(&mut self, source: Option<IpAddr>, user: &str, now: Instant) -> &mut Turns {
        match source {
            Some(source) => self.address(source, now),
            None => self.name(user, now),
        }
    }
}

#[derive(Debug)]
struct Table<K>(HashMap<K, Turns>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn turns(&mut self, key: K, now: Instant) -> &mut Turns {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0
                .retain(|_, turns| turns.pending > 0 || turns.current(now).0 > 0);
            let oldest = self.0.iter().min_by_key(|(_, turns)| turns.last);
            let oldest = oldest.map(|(oldest, _)| *oldest);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= REMEMBERED) {
                self.0.remove(&oldest);
            }
        }
        self.0.entry(key).or_insert(Turns::NONE)
    }
}

/// The waits of one connection.
#[derive(Debug)]
pub(crate) struct Throttle {
    delay: Duration,
    source: Option<IpAddr>,
    failures: u32,
}

impl Throttle {
    /// `delay` is the wait after a first wrong password, `address` the client's if it is known.
    pub(crate) fn new(delay: Duration, address: Option<IpAddr>) -> Throttle {
        Throttle {
            delay,
            source: address.map(network),
            failures: 0,
        }
    }

    /// Waits as long as the source deserves, or else the user.
    ///
    /// # Errors
    /// The connection has had enough tries, or too many others have their turn before; it costs no
    /// more time.
    pub(crate) fn wait(&self, user: &str) -> Result<Turn, Error> {
        if self.failures >= MAX_FAILURES {
            return Err(Error::failure("too many failures: connect again"));
        }
        let (pause, standing) = self.turn(&mut lock(), user, Instant::now())?;
        let turn = Turn {
            standing,
            source: self.source,
            user: user.to_string(),
        };
        pause_for(pause)?;
        Ok(turn)
    }

    fn turn(
        &self,
        tables: &mut Tables,
        user: &str,
        now: Instant,
    ) -> Result<(Duration, Standing), Error> {
        tables.of(self.source, user, now).take(self, now)
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self, user: &str) {
        self.note_failure(&mut lock(), user, Instant::now());
    }

    fn note_failure(&mut self, tables: &mut Tables, user: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        tables.of(self.source, user, now).fail(now);
    }

    /// The password was right. What the source and the connection did before stays: whoever has one
    /// password could clear it to guess another.
    pub(crate) fn passed(&self, user: &str) {
        self.note_success(&mut lock(), user, Instant::now());
    }

    fn note_success(&self, tables: &mut Tables, user: &str, now: Instant) {
        if self.source.is_none() {
            tables.name(user, now).failures = 0;
        }
    }

    fn length(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            count => self.delay * (1 << (count - 1).min(MAX_DOUBLINGS)),
        }
    }
}

/// The turn of one check; dropping it ends the check.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Whether others go before.
    pub(crate) standing: Standing,
    source: Option<IpAddr>,
    user: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (mut tables, now) = (lock(), Instant::now());
        let turns = tables.of(self.source, &self.user, now);
        turns.pending = turns.pending.saturating_sub(1);
    }
}

/// What counts as one source: an IPv4 address; of IPv6 the 64 bits that a household has (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Waits, as long as somebody wants the answer.
fn pause_for(pause: Duration) -> Result<(), Error> {
    let end = Instant::now() + pause;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if !is_wanted() {
            return Err(Error::failure("the client has left"));
        }
        std::thread::sleep(left.min(LOOK));
    }
}

fn lock() -> MutexGuard<'static, Tables> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
