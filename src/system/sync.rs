//! Ground: std's locks, condition variables and atomics.
//!
//! `client::frames` and `websocket::pump::latch` import them from here. The model in `tests/model`
//! compiles those two files with the types of a scheduler instead, which tries orders of events
//! that rarely happen.

#[cfg(feature = "websocket")]
pub(crate) use std::sync::Condvar;
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError, atomic};
