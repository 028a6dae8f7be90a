//! Running: frames that are sent as far as the client takes them in time.

use std::time::{Duration, Instant};

use super::frames::{FrameWriter, Offered, Phase, SHORT_WAIT, SendError, lock};
use crate::system::sync::atomic::{Ordering, fence};

impl FrameWriter {
    /// Sends pieces that together are whole frames, after owed frames; `taken` bytes of them were
    /// sent before. Waits while the socket is full, as long as writes wait. As long as it is full
    /// after that, nothing else goes to the client, and this is to be called again when it takes
    /// bytes: with what is left, or with nothing for what is owed.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn send(&self, pieces: &[&[u8]], taken: usize) -> Result<Offered, SendError> {
        let mut phase = lock(&self.phase);
        let gives_up = self.is_short.load(Ordering::Acquire) && self.last_limit().is_none();
        let was_split = self.is_split();
        let mut result = if gives_up && !was_split && self.owes_in_vain() {
            // The owed frames stay owed, and go out behind these.
            Ok(Offered {
                taken,
                is_full: true,
            })
        } else {
            self.send_in_turn(&mut phase, pieces, taken, gives_up)
        };
        if let Ok(offered) = &mut result {
            self.is_split.store(offered.is_full, Ordering::Relaxed);
            if gives_up && was_split && !offered.is_full {
                // A thread that owed a frame meanwhile stored it before it looked at `is_split`.
                fence(Ordering::SeqCst);
                offered.is_full = self.owes_in_vain();
                self.is_split.store(offered.is_full, Ordering::Relaxed);
            }
        }
        drop(phase);
        let has_taken = (result.as_ref()).is_ok_and(|offered| offered.taken > taken);
        self.has_taken.store(has_taken, Ordering::Relaxed);
        self.settle();
        result
    }

    /// Whether something is owed, and the socket does not take it for a short time.
    fn owes_in_vain(&self) -> bool {
        self.is_owing() && !self.client.wait_writable(SHORT_WAIT)
    }

    fn send_in_turn(
        &self,
        phase: &mut Phase,
        pieces: &[&[u8]],
        taken: usize,
        gives_up: bool,
    ) -> Result<Offered, SendError> {
        self.pay(phase, true)?;
        match *phase {
            Phase::Opening | Phase::Closed => Err(SendError::Closed),
            Phase::Open => self.write(pieces, taken, gives_up),
        }
    }

    /// Writes pieces, of which `taken` bytes were written before, for the holder of the lock of
    /// `phase`. When writes have waited as long as they do, it returns if it `gives_up`. Otherwise
    /// it fails then; if they wait for a short time only, at the last limit.
    pub(super) fn write(
        &self,
        pieces: &[&[u8]],
        mut taken: usize,
        gives_up: bool,
    ) -> Result<Offered, SendError> {
        let mut stuck = None;
        loop {
            let is_short = self.is_short.load(Ordering::Acquire);
            let offered = self.client.write_of(pieces, taken);
            let offered = offered.map_err(|_| SendError::Gone)?;
            if !offered.is_full || gives_up {
                return Ok(offered);
            }
            if offered.taken > taken {
                (taken, stuck) = (offered.taken, None);
                continue;
            }
            let limit = self.last_limit();
            let stuck = *stuck.get_or_insert_with(Instant::now);
            if !is_short || limit.is_some_and(|limit| stuck.elapsed() >= limit) {
                return Err(SendError::Gone);
            }
        }
    }

    /// Has writes fail from now on when the socket has taken nothing for so long.
    pub(crate) fn set_last_limit(&self, limit: Duration) {
        // The end of a TLS session is written by others, who need the limit as well.
        if self.is_short.load(Ordering::Acquire) && !self.client.is_tls() {
            let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
            return self.last_limit.store(millis, Ordering::Release);
        }
        let _ = self.client.set_write_timeout(Some(limit));
        self.is_short.store(false, Ordering::Release);
    }

    fn last_limit(&self) -> Option<Duration> {
        match self.last_limit.load(Ordering::Acquire) {
            0 => None,
            millis => Some(Duration::from_millis(millis.into())),
        }
    }
}
