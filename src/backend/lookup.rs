//! Opening: finds the addresses of a TCP backend's host within a limit.
//!
//! The system's resolver takes no limit (getaddrinfo(3)). It works on a thread of its own, and the
//! caller waits no longer than the limit.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::system::queue::Queue;
use crate::system::threads;

/// Pause between two looks at whether a connection is still wanted.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Most lookups at a time. A lookup counts until the resolver returns.
const MAX_LOOKUPS: usize = 16;

/// Lookups under way.
static LOOKUPS: AtomicUsize = AtomicUsize::new(0);

/// A lookup under way, counted in [`LOOKUPS`].
struct Lookup;

impl Lookup {
    fn begin() -> io::Result<Self> {
        if LOOKUPS.fetch_add(1, Ordering::Relaxed) < MAX_LOOKUPS {
            return Ok(Self);
        }
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
        let reason = format!("{MAX_LOOKUPS} host names are being looked up already");
        Err(io::Error::new(io::ErrorKind::WouldBlock, reason))
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The addresses of `host`, with `port`.
///
/// # Errors
/// As getaddrinfo(3); `ConnectionAborted` when `go_on` says no; `TimedOut` after `limit`;
/// `WouldBlock` if too many host names are being looked up.
pub(crate) fn lookup(
    host: &str,
    port: u16,
    limit: Duration,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let host = host.to_owned();
    within(limit, go_on, move || {
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    })
}

/// Returns what `work` returns, unless it takes too long.
fn within<T: Send + 'static>(
    limit: Duration,
    go_on: &dyn Fn() -> bool,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let turn = Lookup::begin()?;
    let result = Arc::new(Queue::default());
    let done = Arc::clone(&result);
    threads::spawn("lookup", move || {
        let worked = catch_unwind(AssertUnwindSafe(work));
        drop(turn);
        // The caller is gone if it took too long.
        done.send(worked.unwrap_or_else(|_| Err(io::Error::other("the resolver failed"))));
    })?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(found) = result.take_within(left.min(LOOK)) {
            return found;
        }
        if !go_on() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if left.is_zero() {
            let reason = format!("the host name was not found within {} s", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn an_address_needs_no_resolver_and_localhost_is_found() {
        let none = Duration::ZERO;
        let found = lookup("::1", 7, none, &|| true).expect("an address");
        assert_eq!(found, ["[::1]:7".parse().expect("an address")]);
        let found = lookup("localhost", 7, Duration::from_secs(60), &|| true)
            .expect("every machine has it");
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_left_and_too_many_are_refused() {
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let mut refused = 0;
        // Other tests may look something up at the same time.
        for _ in 0..=MAX_LOOKUPS {
            let held = std::sync::Arc::clone(&held);
            let stuck = within(Duration::from_millis(1), &|| true, move || {
                let _ = held.lock().expect("no panic").recv();
                Ok(())
            });
            match stuck.expect_err("nobody answers").kind() {
                io::ErrorKind::TimedOut => {}
                kind => {
                    assert_eq!(kind, io::ErrorKind::WouldBlock);
                    refused += 1;
                }
            }
        }
        assert!(refused >= 1);
        drop(release);
        while within(Duration::from_secs(60), &|| true, || Ok(())).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_client_that_leaves_ends_the_wait_for_the_resolver() {
        let start = Instant::now();
        let error = loop {
            let stuck = within(Duration::from_secs(60), &|| false, || {
                thread::sleep(Duration::from_millis(500));
                Ok(())
            });
            // Other tests may have taken all lookups.
            match stuck.expect_err("nobody waits").kind() {
                io::ErrorKind::WouldBlock => thread::yield_now(),
                kind => break kind,
            }
        };
        assert_eq!(error, io::ErrorKind::ConnectionAborted);
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
