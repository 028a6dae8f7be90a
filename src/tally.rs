//! Ground: what is counted since the start: who came, why clients were refused, how they ended.
//!
//! A connection counts its own bytes, without a lock and in 32 bits: a small processor has no
//! atomic numbers of 64. They are added to the [`Totals`] once, at its end; a look at the totals
//! adds those of the connections that are open.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the classes of a connection's length, in seconds; a last class has no bound.
pub(crate) const LENGTHS: [u32; 7] = [1, 10, 60, 600, 3600, 21_600, 86_400];

/// First close codes that programs may give a meaning of their own (RFC 6455, section 7.4.2). Of
/// each thousand all count as one: clients can choose them.
const OWN_CODES: u16 = 3000;

/// Bytes that one thread counts and others read, up to 2^48.
///
/// The lower 32 bits and those from the 16th on are kept apart. Both overlap, so that a reader that
/// sees an old and a new half still knows which number is meant.
#[derive(Debug, Default)]
pub(crate) struct Count {
    low: AtomicU32,
    high: AtomicU32,
}

impl Count {
    /// Sets the count. One thread only may do so.
    pub(crate) fn set(&self, count: u64) {
        self.low.store(count as u32, Ordering::Relaxed);
        self.high.store((count >> 16) as u32, Ordering::Relaxed);
    }

    /// Returns the count, or one that it had a moment ago.
    pub(crate) fn get(&self) -> u64 {
        let near = u64::from(self.high.load(Ordering::Relaxed)) << 16;
        let low = self.low.load(Ordering::Relaxed);
        let difference = low.wrapping_sub(near as u32).cast_signed();
        near.saturating_add_signed(difference.into())
    }
}

/// The bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes given to the backend.
    pub(crate) to_backend: Count,
    /// Payload bytes sent to the client.
    pub(crate) to_client: Count,
    /// Threads that copy them now.
    threads: AtomicU32,
    /// They are part of the totals.
    is_counted: AtomicBool,
}

impl Traffic {
    /// Does work that copies, and counts its thread meanwhile.
    pub(crate) fn copying<R>(&self, work: impl FnOnce() -> R) -> R {
        self.threads.fetch_add(1, Ordering::Relaxed);
        let result = work();
        self.threads.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// How many threads copy now; none if both sides are silent.
    #[cfg(feature = "state")]
    pub(crate) fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Bytes to the backend and to the client that the totals do not have yet.
    pub(crate) fn uncounted(&self) -> (u64, u64) {
        match self.is_counted.load(Ordering::Relaxed) {
            true => (0, 0),
            false => (self.to_backend.get(), self.to_client.get()),
        }
    }
}

/// What was counted since the start.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    /// Clients that were accepted.
    pub(crate) connections: u64,
    /// Refusals by cause.
    pub(crate) refusals: Vec<(&'static str, u64)>,
    /// WebSockets that have ended, by close code; 1006 had none.
    pub(crate) closes: Vec<(u16, u64)>,
    /// WebSockets that were handed over to their backends.
    pub(crate) handed_over: u64,
    /// Bytes given to backends.
    pub(crate) to_backend: u64,
    /// Payload bytes sent to clients.
    pub(crate) to_client: u64,
    /// Configurations that were taken over by a reload.
    pub(crate) reloads: u64,
    /// WebSockets that have ended, by the class of their length.
    pub(crate) lengths: [u64; LENGTHS.len() + 1],
    /// How long all of them have lasted together, in seconds.
    pub(crate) seconds: u64,
}

static TOTALS: Mutex<Totals> = Mutex::new(Totals {
    connections: 0,
    refusals: Vec::new(),
    closes: Vec::new(),
    handed_over: 0,
    to_backend: 0,
    to_client: 0,
    reloads: 0,
    lengths: [0; LENGTHS.len() + 1],
    seconds: 0,
});

/// Lets `look` see the totals. No connection is added to them meanwhile, so that none is counted
/// twice or left out.
pub(crate) fn with<R>(look: impl FnOnce(&mut Totals) -> R) -> R {
    look(&mut TOTALS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Counts a client that was accepted.
pub(crate) fn accepted() {
    with(|totals| totals.connections += 1);
}

/// Counts a refusal.
pub(crate) fn refused(cause: &'static str) {
    with(|totals| add(&mut totals.refusals, cause));
}

/// Counts a reload.
pub(crate) fn reloaded() {
    with(|totals| totals.reloads += 1);
}

/// Counts a WebSocket that was handed over.
pub(crate) fn handed_over() {
    with(|totals| totals.handed_over += 1);
}

/// Counts a WebSocket that has ended.
pub(crate) fn ended(code: u16, length: Duration, traffic: &Traffic) {
    let code = match code {
        OWN_CODES.. => code / 1000 * 1000,
        code => code,
    };
    with(|totals| {
        add(&mut totals.closes, code);
        let (to_backend, to_client) = traffic.uncounted();
        traffic.is_counted.store(true, Ordering::Relaxed);
        totals.to_backend += to_backend;
        totals.to_client += to_client;
        let seconds = length.as_secs();
        totals.seconds += seconds;
        let class = LENGTHS
            .iter()
            .position(|&bound| length <= Duration::from_secs(bound.into()));
        totals.lengths[class.unwrap_or(LENGTHS.len())] += 1;
    });
}

fn add<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_exact_at_and_beyond_32_bits() {
        let count = Count::default();
        for number in [
            0,
            1,
            65_535,
            65_536,
            u32::MAX.into(),
            1 << 32,
            (1 << 48) - 1,
        ] {
            count.set(number);
            assert_eq!(count.get(), number);
        }
    }

    #[test]
    fn an_old_and_a_new_half_give_one_of_both_counts() {
        for (old, new) in [(10, 70_000), (65_530, 65_540), (0xFFFF_FFF0, 0x1_0000_0010)] {
            let count = Count::default();
            count.set(old);
            count.low.store(new as u32, Ordering::Relaxed);
            assert_eq!(count.get(), new);
            count.set(new);
            count.low.store(old as u32, Ordering::Relaxed);
            assert_eq!(count.get(), old);
        }
    }

    #[test]
    fn a_connection_is_counted_once_and_by_its_length_and_code() {
        let traffic = Traffic::default();
        traffic.to_backend.set(5);
        traffic.to_client.set(7);
        assert_eq!(traffic.uncounted(), (5, 7));
        let before = with(|totals| totals.clone());
        ended(4321, Duration::from_millis(10_001), &traffic);
        assert_eq!(traffic.uncounted(), (0, 0));
        let after = with(|totals| totals.clone());
        // Other tests may count at the same time.
        assert!(after.to_backend >= before.to_backend + 5);
        assert!(after.to_client >= before.to_client + 7);
        assert!(after.lengths[2] > before.lengths[2], "more than 10 s");
        assert!(after.closes.iter().any(|(code, _)| *code == 4000));
    }
}
