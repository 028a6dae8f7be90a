//! Wrong passwords slow down the address that they come from, and for a moment
//! the user that they are for; nobody else.
//!
//! Checks of one address take turns, each later than the one before, or an
//! attacker would wait on many connections at once. A right password waits too,
//! or guessers would hang up whenever an answer is late. Where the address is
//! not known (a gateway that does not tell it), those who try the same user
//! take turns instead: guessing stays slow, but keeps that user waiting too.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::{Error, is_wanted};

/// Addresses, and users, remembered at most: the one that failed longest ago
/// goes first.
const REMEMBERED: usize = 1024;
/// After this long without a wrong password the count starts anew.
const FORGET: Duration = Duration::from_secs(300);
/// Doublings at most: sixteen times the first wait.
const MAX_DOUBLINGS: u32 = 4;
/// Longest time that all turns before the own may take; a check that would wait
/// longer is refused at once. A page waits for an answer a little longer.
const MAX_AHEAD: Duration = Duration::from_secs(8);
/// Longest wait of an address that has not failed, for a user whose password
/// others guess.
const MAX_NAME_WAIT: Duration = Duration::from_millis(500);
/// Wrong passwords after which a connection is not listened to any more.
const MAX_FAILURES: u32 = 10;
/// Time between two looks at whether a check that waits is still wanted.
const LOOK: Duration = Duration::from_millis(100);

static TABLES: LazyLock<Mutex<Tables>> = LazyLock::new(Mutex::default);

/// Whether passwords of the same source, or for the same user, were wrong before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None that is known.
    Clean,
    /// Some: others go before.
    Suspect,
}

#[derive(Debug, Clone, Copy)]
struct Turns {
    /// Wrong passwords, those that wait for their check included.
    count: u32,
    /// When the last check has its turn.
    last: Option<Instant>,
}

impl Turns {
    const NONE: Turns = Turns {
        count: 0,
        last: None,
    };

    /// The count, and how long from `now` the last turn is off.
    fn current(self, now: Instant) -> (u32, Duration) {
        match self.last {
            Some(last) if now < last + FORGET => (self.count, last.saturating_duration_since(now)),
            Some(_) | None => (0, Duration::ZERO),
        }
    }

    /// How long the turn that is now taken is off.
    fn take(&mut self, throttle: &Throttle, now: Instant) -> Result<(Duration, Standing), Error> {
        let (count, ahead) = self.current(now);
        if ahead > MAX_AHEAD {
            return Err(Error::failure("try again later"));
        }
        let pause = ahead + throttle.length(count);
        *self = Turns {
            count: count.saturating_add(1),
            last: Some(now + pause),
        };
        let failed = count > 0 || throttle.failures > 0;
        let standing = if failed {
            Standing::Suspect
        } else {
            Standing::Clean
        };
        Ok((pause.max(throttle.length(throttle.failures)), standing))
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
            self.0.retain(|_, turns| turns.current(now).0 > 0);
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
    /// `delay` is the wait after a first wrong password, `address` the client's
    /// if it is known.
    pub(crate) fn new(delay: Duration, address: Option<IpAddr>) -> Throttle {
        Throttle {
            delay,
            source: address.map(network),
            failures: 0,
        }
    }

    /// Waits as long as the source and the user deserve.
    ///
    /// # Errors
    /// The connection has had enough tries, or too many others have their turn
    /// before; it costs no more time.
    pub(crate) fn wait(&self, user: &str) -> Result<Standing, Error> {
        if self.failures >= MAX_FAILURES {
            return Err(Error::failure("too many failures: connect again"));
        }
        let (pause, standing) = self.turn(&mut lock(), user, Instant::now())?;
        pause_for(pause)?;
        Ok(standing)
    }

    fn turn(
        &self,
        tables: &mut Tables,
        user: &str,
        now: Instant,
    ) -> Result<(Duration, Standing), Error> {
        let Some(source) = self.source else {
            return tables.name(user, now).take(self, now);
        };
        let (pause, standing) = tables.address(source, now).take(self, now)?;
        let (guesses, _) = tables.name(user, now).current(now);
        let moment = self.length(guesses).min(MAX_NAME_WAIT);
        Ok((pause.max(moment), standing))
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self, user: &str) {
        self.note_failure(&mut lock(), user, Instant::now());
    }

    fn note_failure(&mut self, tables: &mut Tables, user: &str, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.source.is_some() {
            let turns = tables.name(user, now);
            *turns = Turns {
                count: turns.current(now).0.saturating_add(1),
                last: Some(now),
            };
        }
    }

    /// The password was right. What the source and the connection did before
    /// stays: whoever has one password could clear it to guess another.
    pub(crate) fn passed(&self, user: &str) {
        self.note_success(&mut lock(), user, Instant::now());
    }

    fn note_success(&self, tables: &mut Tables, user: &str, now: Instant) {
        if let Some(source) = self.source {
            let turns = tables.address(source, now);
            turns.count = turns.count.saturating_sub(1);
        }
        *tables.name(user, now) = Turns::NONE;
    }

    fn length(&self, failures: u32) -> Duration {
        match failures {
            0 => Duration::ZERO,
            count => self.delay * (1 << (count - 1).min(MAX_DOUBLINGS)),
        }
    }
}

/// What counts as one source: an IPv4 address; of IPv6 the 64 bits that a
/// household has (RFC 6177).
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
