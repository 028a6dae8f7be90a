//! Ground: std's locks, condition variables and atomics.
//!
//! `client::frames`, `websocket::pump::latch`, `server::parking`, `readers` and `workers` import them
//! from here. The model in `tests/model` compiles those files with the types of a scheduler instead,
//! which tries orders of events that rarely happen.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError, atomic};
