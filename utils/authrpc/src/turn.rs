//! Lets one run of argon2 go on at a time: a router has neither the memory nor the processor for
//! many.
//!
//! Clients that have not failed go first, each in the order in which they came. Those that have
//! failed leave the processor to others for half of the time.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::{Error, is_wanted};

use crate::throttle::Standing;

/// Longest wait of those who have failed.
const MAX_WAIT: Duration = Duration::from_secs(8);

/// Time between two looks at whether a run that waits is still wanted.
const LOOK: Duration = Duration::from_millis(100);

static STATE: Mutex<State> = Mutex::new(State {
    running: false,
    waiting: VecDeque::new(),
    last: 0,
    rest: None,
});
static CHANGED: Condvar = Condvar::new();

struct State {
    running: bool,
    /// Those who wait, in the order in which they came.
    waiting: VecDeque<(u64, Standing)>,
    /// The number of the last one that came.
    last: u64,
    /// Until when nobody runs who has failed.
    rest: Option<Instant>,
}

impl State {
    fn enter(&mut self, standing: Standing) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, standing));
        self.last
    }

    fn leave(&mut self, number: u64) {
        self.waiting.retain(|(own, _)| *own != number);
    }

    /// Whose run is next: the first of those who have not failed, or else of the others, unless
    /// those rest.
    fn next(&self) -> Option<u64> {
        let mut waiting = self.waiting.iter().filter(|_| !self.running);
        let suspect = waiting.clone().find(|_| self.rest().is_zero());
        let clean = waiting.find(|(_, standing)| *standing == Standing::Clean);
        clean.or(suspect).map(|(number, _)| *number)
    }

    /// How long nobody runs who has failed.
    fn rest(&self) -> Duration {
        self.rest.map_or(Duration::ZERO, |rest| {
            rest.saturating_duration_since(Instant::now())
        })
    }

    /// How long to wait for a change.
    fn look(&self) -> Duration {
        match self.rest() {
            Duration::ZERO => LOOK,
            rest => rest.min(LOOK),
        }
    }
}

/// The right to run; dropping it lets the next one run.
pub(crate) struct Run {
    standing: Standing,
    begin: Instant,
}

impl Run {
    /// Waits until nobody runs who goes before.
    ///
    /// # Errors
    /// Somebody who has failed would wait too long; or nobody wants the answer.
    pub(crate) fn wait(standing: Standing) -> Result<Run, Error> {
        let end = Instant::now() + MAX_WAIT;
        let mut state = lock();
        let number = state.enter(standing);
        let mut refused = None;
        while state.next() != Some(number) && refused.is_none() {
            let look = state.look();
            state = CHANGED
                .wait_timeout(state, look)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if !is_wanted() {
                refused = Some("the client has left");
            } else if standing == Standing::Suspect && Instant::now() >= end {
                refused = Some("try again later");
            }
        }
        state.leave(number);
        if let Some(why) = refused {
            CHANGED.notify_all();
            return Err(Error::failure(why));
        }
        state.running = true;
        Ok(Run {
            standing,
            begin: Instant::now(),
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut state = lock();
        state.running = false;
        if self.standing == Standing::Suspect {
            let now = Instant::now();
            state.rest = Some(now + now.duration_since(self.begin));
        }
        CHANGED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_have_not_failed_go_first_in_the_order_in_which_they_came() {
        use Standing::{Clean, Suspect};
        let mut state = State {
            running: true,
            waiting: VecDeque::new(),
            last: 0,
            rest: None,
        };
        let came = [Suspect, Suspect, Clean, Suspect, Clean].map(|standing| state.enter(standing));
        assert_eq!(state.next(), None, "one is running");
        state.running = false;
        let mut order = Vec::new();
        while let Some(number) = state.next() {
            state.leave(number);
            order.push(number);
        }
        assert_eq!(order, [2, 4, 0, 1, 3].map(|at| came[at]));
        state.enter(Suspect);
        state.rest = Some(Instant::now() + MAX_WAIT);
        assert_eq!(state.next(), None, "those who have failed rest");
        let clean = state.enter(Clean);
        assert_eq!(state.next(), Some(clean));
    }

    #[test]
    fn a_run_that_ends_wakes_the_next() {
        let running = Run::wait(Standing::Clean).expect("nobody runs for long");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(Run::wait(Standing::Clean).is_ok()));
        let deadline = Instant::now() + Duration::from_secs(60);
        while lock().waiting.is_empty() {
            assert!(Instant::now() < deadline, "nobody waits");
            std::thread::yield_now();
        }
        drop(running);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
