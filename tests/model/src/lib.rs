//! The daemon's own `frames`, `sending`, `latch`, `patience`, `parking`, `readers` and `workers`,
//! compiled with shuttle's threads in the place of std's.
//!
//! The client of `frames` is a socket of a few bytes that records what is written; `parking` watches
//! sockets of another kind. shuttle knows one order of memory accesses for all threads (sequential
//! consistency), and no time: a wait with a limit never ends by itself, so that a wake-up which was
//! lost is found as a deadlock.

mod client;
mod epoll;
#[allow(dead_code, reason = "the daemon uses what the model does not")]
#[path = "../../../src/client/frames.rs"]
mod frames;
pub mod hand_over;
#[allow(dead_code, reason = "the daemon uses what the model does not")]
#[path = "../../../src/websocket/pump/latch.rs"]
mod latch;
pub mod parked;
#[allow(dead_code, reason = "the daemon uses what the model does not")]
#[path = "../../../src/websocket/pump/patience.rs"]
mod patience;
#[allow(dead_code, reason = "the daemon uses what the model does not")]
#[path = "../../../src/client/sending.rs"]
mod sending;

/// What of the daemon's `server` is tried here.
#[path = "."]
mod server {
    #[allow(dead_code, reason = "the daemon uses what the model does not")]
    #[path = "../../../src/server/parking.rs"]
    pub(crate) mod parking;
    #[allow(dead_code, reason = "the model has a watch of its own")]
    #[path = "../../../src/server/readers.rs"]
    pub(crate) mod readers;
    #[path = "../../../src/server/workers.rs"]
    pub(crate) mod workers;
}

use ouistiti::parts::frame;

/// What these files find in the daemon's `system`.
#[path = "."]
mod system {
    pub(crate) use crate::epoll;

    #[allow(dead_code, reason = "the daemon uses what the model does not")]
    #[path = "../../../src/system/condition.rs"]
    pub(crate) mod condition;

    pub(crate) mod threads {
        use std::io;
        use std::time::Duration;

        pub(crate) use crate::epoll::Thread;

        pub(crate) const LOOK: Duration = Duration::ZERO;

        #[allow(clippy::unnecessary_wraps, reason = "the daemon's may fail")]
        pub(crate) fn spawn(
            _name: impl Into<String>,
            work: impl FnOnce() + Send + 'static,
        ) -> io::Result<()> {
            // Of all tasks of the scheduler, those of futures alone may outlive the test.
            drop(shuttle::future::spawn(async { work() }));
            Ok(())
        }

        pub(crate) fn sleep(_pause: Duration) {
            shuttle::thread::yield_now();
        }
    }

    pub(crate) mod sync {
        pub(crate) use shuttle::sync::{
            Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic,
        };
    }
}
