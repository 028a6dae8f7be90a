//! Running: how fast one client is heard. Its messages go into the bounded outboxes of all others:
//! unpaced, the fastest speaker would have everybody else dropped.

use std::time::{Duration, Instant};

/// What a client may say at once, in bytes: half of what may wait for a reader.
const BURST: u64 = 512 * 1024;

/// What it may say from then on, in bytes a second.
const RATE: u64 = 512 * 1024;

/// The pace of one client.
#[derive(Default)]
pub(crate) struct Pace {
    /// When all it has said so far would have been said at [`RATE`].
    said: Option<Instant>,
}

impl Pace {
    /// How long a message of this cost, in bytes, is to wait if it came `now`.
    pub(crate) fn pause(&mut self, cost: usize, now: Instant) -> Duration {
        let before = self.said.map_or(now, |said| said.max(now));
        let said = before + at_rate(cost as u64);
        self.said = Some(said);
        (said - now).saturating_sub(at_rate(BURST))
    }
}

/// How long so many bytes take.
fn at_rate(bytes: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_a_client_is_heard_at_its_rate() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let quarter = BURST as usize / 4;
        let pauses = [(); 6].map(|()| pace.pause(quarter, start));
        let late = at_rate(BURST / 4);
        assert_eq!(pauses[..4], [Duration::ZERO; 4]);
        assert_eq!(pauses[4..], [late, 2 * late]);
        assert_eq!(pace.pause(quarter, start + 2 * late), late);
    }

    #[test]
    fn a_client_that_was_silent_for_long_may_say_one_burst_and_no_more() {
        let mut pace = Pace::default();
        let start = Instant::now();
        pace.pause(BURST as usize, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!(pace.pause(BURST as usize, later), Duration::ZERO);
        assert_eq!(pace.pause(RATE as usize, later), Duration::from_secs(1));
    }
}
