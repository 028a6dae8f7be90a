//! Lets one run of argon2 go on at a time: a router has neither the memory nor the processor for
//! many.
//!
//! Clients that have not failed go first. Those that have failed leave the processor to others for
//! half of the time.

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
    clean: 0,
    rest: None,
});
static CHANGED: Condvar = Condvar::new();

struct State {
    running: bool,
    /// Those who wait and have not failed.
    clean: usize,
    /// Until when nobody runs who has failed.
    rest: Option<Instant>,
}

impl State {
    fn lets_in(&self, standing: Standing) -> bool {
        match standing {
            Standing::Clean => !self.running,
            Standing::Suspect => !self.running && self.clean == 0 && self.rest().is_zero(),
        }
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
        let clean = usize::from(standing == Standing::Clean);
        let mut state = lock();
        state.clean += clean;
        let mut refused = None;
        while !state.lets_in(standing) && refused.is_none() {
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
        state.clean -= clean;
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
    fn those_who_have_not_failed_go_first() {
        let running = Run::wait(Standing::Clean).expect("nobody runs for long");
        let order = Mutex::new(Vec::new());
        let run = |standing| {
            let _run = Run::wait(standing).expect("its turn");
            order.lock().expect("no panic").push(standing);
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| run(Standing::Suspect));
            }
            scope.spawn(|| run(Standing::Clean));
            // The others may come later: they go after it in any case.
            while lock().clean == 0 {
                std::thread::yield_now();
            }
            drop(running);
        });
        let order = order.into_inner().expect("no panic");
        assert_eq!(order[0], Standing::Clean);
        assert_eq!(order.len(), 4);
    }
}
