//! The daemon's own `frames` and `latch`, compiled with shuttle's threads in the place of std's.
//!
//! Their client is a socket of a few bytes that records what is written. shuttle knows one order of
//! memory accesses for all threads (sequential consistency), and no time: a wait with a limit never
//! ends by itself, so that a wake-up which was lost is found as a deadlock.

mod client;
#[allow(dead_code, reason = "the daemon uses what the model does not")]
#[path = "../../../src/client/frames.rs"]
mod frames;
pub mod hand_over;
#[path = "../../../src/websocket/pump/latch.rs"]
mod latch;

use ouistiti::parts::frame;

/// What `frames` and `latch` find in the daemon's `system::sync`.
mod system {
    pub(crate) mod sync {
        pub(crate) use shuttle::sync::{
            Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic,
        };
    }
}
