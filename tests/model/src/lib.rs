//! The daemon's own `frames` and `latch`, compiled with shuttle's threads in the place of std's.
//!
//! Their client is a socket of a few bytes that records what is written. shuttle knows one order
//! of memory accesses for all threads (sequential consistency), and no time: a wait with a limit
//! never ends by itself, so that a wake-up which was lost is found as a deadlock.

pub mod client;
#[path = "../../../src/client/frames.rs"]
pub mod frames;
#[path = "../../../src/websocket/pump/latch.rs"]
pub mod latch;

pub use ouistiti::frame;

/// What `frames` and `latch` find in the daemon's `system::sync`.
mod system {
    pub(crate) mod sync {
        pub(crate) use shuttle::sync::{
            Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic,
        };
    }
}
