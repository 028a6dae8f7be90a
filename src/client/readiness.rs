//! Running: what a client's socket holds or takes, looked at without waiting.

use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::frames::FrameWriter;
use super::{Client, Stream};
use crate::frame::are_pongs;

/// Bytes looked at in search of pongs: one of the longest, or many short ones.
const PONGS: usize = 160;

/// What a client that nobody reads has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing that could be acted on yet.
    Nothing,
    /// Pongs alone, which are dropped.
    Pongs,
    /// More, or its end: a read returns it.
    Input,
}

fn take_plain_pongs(socket: &TcpStream) -> Found {
    let (mut bytes, descriptor) = ([0; PONGS], socket.as_raw_fd());
    let flags = MsgFlags::MSG_DONTWAIT;
    match recv(descriptor, &mut bytes, flags | MsgFlags::MSG_PEEK) {
        Ok(count) if count > 0 && are_pongs(&bytes[..count]) => {
            match recv(descriptor, &mut bytes[..count], flags) == Ok(count) {
                true => Found::Pongs,
                false => Found::Input,
            }
        }
        Err(Errno::EAGAIN) => Found::Nothing,
        _ => Found::Input,
    }
}

impl FrameWriter {
    /// Whether a client that nobody reads has sent something to be read. Pongs alone are not: they
    /// are dropped, and its silence begins anew.
    pub(crate) fn wakes_reader(&self) -> bool {
        match self.client().take_pongs() {
            Found::Nothing => return false,
            Found::Pongs => {
                self.begin_silence();
                return false;
            }
            Found::Input => self.set_busy(),
        }
        true
    }
}

impl Client {
    /// Whether the socket takes a control frame without waiting.
    pub fn is_writable(&self) -> bool {
        self.poll(PollFlags::POLLOUT, PollTimeout::ZERO)
            .contains(PollFlags::POLLOUT)
    }

    /// Waits until the socket takes a control frame, for `limit` at most; returns whether it does.
    pub(crate) fn wait_writable(&self, limit: Duration) -> bool {
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        self.poll(PollFlags::POLLOUT, limit)
            .contains(PollFlags::POLLOUT)
    }

    /// Waits until the socket has something to read or takes something to write.
    pub fn wait_ready(&self) {
        let events = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut fds = [PollFd::new(self.as_fd(), events)];
        while !self.holds_input() && poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
    }

    /// Whether a read by this thread, which is the only one that reads, would return at once.
    pub(crate) fn is_readable(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => !self.poll(PollFlags::POLLIN, PollTimeout::ZERO).is_empty(),
            // The socket may hold half a record, for whose rest a read would wait.
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.buffered() || !session.take_now(|_| false),
        }
    }

    /// Whether bytes that were read wait within the TLS session, or its end does.
    pub(crate) fn holds_input(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(session) => session.buffered(),
        }
    }

    /// Gives back the buffers that a silent client does not need.
    pub(crate) fn shrink(&self) {
        #[cfg(feature = "tls")]
        if let Stream::Tls(session) = &self.stream {
            session.shrink();
        }
    }

    /// Takes pongs off the socket of a client that nobody reads, if it holds nothing else.
    fn take_pongs(&self) -> Found {
        match &self.stream {
            Stream::Plain(socket) => take_plain_pongs(socket),
            #[cfg(feature = "tls")]
            Stream::Tls(session) => {
                let mut found = Found::Nothing;
                let took_all = session.take_now(|bytes| {
                    found = Found::Pongs;
                    are_pongs(bytes)
                });
                match took_all {
                    true => {
                        session.shrink();
                        found
                    }
                    false => Found::Input,
                }
            }
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
