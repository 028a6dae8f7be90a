//! Ground: what threads share values and wait with, std's.
//!
//! `client::frames` and `websocket::pump::latch` name it through here: the model in `tests/model`
//! compiles those files with a scheduler of its own in this place, and tries orders of events that
//! rarely happen.

#[cfg(feature = "websocket")]
pub(crate) use std::sync::Condvar;
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError, atomic};
