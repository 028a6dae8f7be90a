//! Start-up: listening sockets that whoever started us has bound before.
//!
//! systemd and its like (sd_listen_fds(3), "socket activation") pass them as the descriptors
//! from 3 on, counted by LISTEN_FDS and meant for the process LISTEN_PID. A socket serves the
//! server whose `addr` and `port` it is bound to; all else is configured as ever.

use std::env;
use std::io;
use std::ops::Range;
use std::os::fd::RawFd;

use listenfd::ListenFd;

use crate::listen::listener::Listener;

/// The descriptors that LISTEN_FDS speaks of, none if they are for another process.
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

/// Takes the listening sockets of the environment, none if there are none. Call it before
/// there are threads: it changes the environment, so that no child takes them as well.
///
/// # Errors
/// When one of them is no listening stream socket of TCP or UNIX.
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
