//! Running: the built-in service that sends what the daemon does, as JSON, over and over.
//!
//! For its client it is a backend as any other: a socket that lines come from.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::backend::{self, Backend};
use crate::client::Client;
use crate::http::request::Request;
use crate::state::{self, json::json};
use crate::system::threads;

/// Time from one message to the next.
const PERIOD: Duration = Duration::from_secs(2);
/// Longest wait for a client that does not read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most clients of the service: each takes a thread beside its own two.
const MAX_WATCHING: usize = 8;

/// Headers by which a proxy on this machine tells that its client is elsewhere.
const FORWARDED: [&str; 4] = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"];

static WATCHING: AtomicUsize = AtomicUsize::new(0);

/// One who watches, for as long as it is counted.
struct Watcher;

impl Drop for Watcher {
    fn drop(&mut self) {
        WATCHING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a client may see what the daemon does: it has logged in, or is a program or a page of
/// this machine.
pub(super) fn may_see(request: &Request, client: &Client) -> bool {
    let is_local = || {
        let source = client.source().map(|source| source.ip().to_canonical());
        let is_forwarded = FORWARDED.iter().any(|name| request.header(name).is_some());
        source.is_none_or(|ip| ip.is_loopback()) && !is_forwarded
    };
    request.user.is_some() || is_local()
}

/// Starts the service for one client.
///
/// # Errors
/// `ConnectionRefused` if there are too many already; as socketpair(2).
pub(super) fn connect() -> io::Result<Backend> {
    let before = WATCHING.fetch_add(1, Ordering::Relaxed);
    let watcher = Watcher;
    if before >= MAX_WATCHING {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    let (near, far) = UnixStream::pair()?;
    far.set_write_timeout(Some(PATIENCE))?;
    threads::spawn("status", move || {
        let _watcher = watcher;
        // The client has gone.
        drop(tell(far));
    })?;
    Ok(backend::of_ourselves(near))
}

/// Tells until the other end is closed.
fn tell(mut far: UnixStream) -> io::Result<()> {
    loop {
        let line = json(&state::look()) + "\n";
        far.write_all(line.as_bytes())?;
        let next = Instant::now() + PERIOD;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            far.set_read_timeout(Some(left))?;
            // Messages of the client mean nothing.
            match far.read(&mut [0; 1024]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
