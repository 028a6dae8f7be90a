//! Start-up: listening sockets that the starting process has bound (socket activation).
//!
//! systemd and similar programs (sd_listen_fds(3)) pass them as the descriptors from 3 on.
//! LISTEN_FDS has their number, LISTEN_PID the process they are for. A socket serves the server
//! whose `addr` and `port` it is bound to; everything else comes from the configuration.

use std::env;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use listenfd::ListenFd;

use crate::listen::listener::Listener;

/// Returns the descriptors that LISTEN_FDS counts; none if they are for another process.
pub(crate) fn descriptors() -> Range<RawFd> {
    let number = |name| env::var(name).ok()?.parse::<RawFd>().ok();
    let pid = env::var("LISTEN_PID").unwrap_or_default();
    let count = match pid.is_empty() || pid == std::process::id().to_string() {
        true => number("LISTEN_FDS").unwrap_or(0),
        false => 0,
    };
    let first = number("LISTEN_FDS_FIRST_FD").unwrap_or(3);
    first..first.saturating_add(count)
}

/// Takes the listening sockets that the environment names. Call it before there are threads: it
/// changes the environment, so that no child process takes them too.
///
/// # Errors
/// If one of them is not a listening stream socket of TCP or UNIX.
pub(crate) fn listeners() -> io::Result<Vec<Listener>> {
    let mut sockets = ListenFd::from_env();
    (0..sockets.len())
        .map(|index| listener(&mut sockets, index))
        .collect()
}

fn listener(sockets: &mut ListenFd, index: usize) -> io::Result<Listener> {
    if let Ok(Some(listener)) = sockets.take_tcp_listener(index) {
        return Listener::lent_tcp(listener);
    }
    match sockets.take_unix_listener(index)? {
        Some(listener) => Listener::lent_unix(listener),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}
