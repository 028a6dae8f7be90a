//! TLS: the certificates of a server, and one session used by two threads.
//!
//! `certificates` reads what the `tls` section names and keeps it fresh, `accept` does the
//! handshake of one client, `session` carries its bytes afterwards. Nothing outside this module
//! knows rustls; what HTTP or WebSocket make of the bytes is left to others.

mod accept;
mod certificates;
mod der;
mod key;
mod pair;
mod records;
mod session;
mod words;
mod x509;

#[cfg(test)]
mod tests;

pub(crate) use accept::Failure;
pub(crate) use certificates::Certificates;
pub(crate) use pair::TlsError;
pub(crate) use session::Session;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also after a thread died holding it: each holder leaves the value usable at every
/// step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
