//! Running: one call that std has no safe form of.
//!
//! std's `UnixListener::accept` insists on a UNIX peer address, but a client handed over by a
//! gateway is a TCP socket with a TCP address. This accepts without asking for the address.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{SockFlag, accept4};

/// The next client of `listener`, closed on exec.
pub(crate) fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let client = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: accept4 has just made this descriptor, and nothing else knows its number.
    let client = unsafe { OwnedFd::from_raw_fd(client) };
    Ok(UnixStream::from(client))
}
