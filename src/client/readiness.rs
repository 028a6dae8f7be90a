//! Running: what a client's socket holds or takes, looked at without waiting.

use std::os::fd::{AsFd, AsRawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::{Client, Stream};
use crate::frame::are_pongs;

/// Bytes looked at in search of pongs: one of the longest, or many short ones.
const PONGS: usize = 160;

impl Client {
    /// Whether the socket takes a control frame without waiting.
    pub fn is_writable(&self) -> bool {
        self.poll(PollFlags::POLLOUT, PollTimeout::ZERO)
            .contains(PollFlags::POLLOUT)
    }

    /// Waits until the socket has something to read or takes something to write.
    pub fn wait_ready(&self) {
        #[cfg(feature = "tls")]
        if let Stream::Tls(session) = &self.stream
            && session.buffered()
        {
            return;
        }
        self.poll(PollFlags::POLLIN | PollFlags::POLLOUT, PollTimeout::NONE);
    }

    /// Whether a read would return at once.
    pub(crate) fn is_readable(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Stream::Tls(session) = &self.stream
            && session.buffered()
        {
            return true;
        }
        !self.poll(PollFlags::POLLIN, PollTimeout::ZERO).is_empty()
    }

    /// Takes pongs off the socket if they are all that it holds. Returns whether they were.
    pub(crate) fn take_pongs(&self) -> bool {
        let socket = match &self.stream {
            Stream::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Stream::Tls(_) => return false,
        };
        let (mut bytes, descriptor) = ([0; PONGS], socket.as_raw_fd());
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match recv(descriptor, &mut bytes, flags) {
            Ok(count) if count > 0 && are_pongs(&bytes[..count]) => {
                recv(descriptor, &mut bytes[..count], MsgFlags::MSG_DONTWAIT) == Ok(count)
            }
            _ => false,
        }
    }

    /// Whether the other side has closed its end or is gone.
    pub fn has_left(&self) -> bool {
        // Only this, POLLHUP and POLLERR can come back.
        let closed = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        let mut fds = [PollFd::new(self.socket().as_fd(), closed)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn poll(&self, events: PollFlags, limit: PollTimeout) -> PollFlags {
        let mut fds = [PollFd::new(self.socket().as_fd(), events)];
        match poll(&mut fds, limit) {
            Ok(_) => fds[0].revents().unwrap_or(PollFlags::empty()),
            Err(_) => PollFlags::empty(),
        }
    }
}
