//! Running: a process before an upgrade, whose clients still share what this process has.
//!
//! It gets each byte that the device says, as it comes, and makes messages of them itself. What its
//! clients say comes whole: four bytes of length (big endian), then the message in the framing of
//! the device.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::inbox::{Inbox, PREFIX};
use crate::system::budget::{Budget, Share};

/// Bytes that are read at once.
const READ: usize = 4 << 10;

/// Longest wait for a process that does not take what it is told.
const PATIENCE: Duration = Duration::from_millis(100);

/// The socket to such a process.
pub(super) struct Tap<'a> {
    socket: UnixStream,
    /// A message that has begun.
    held: Vec<u8>,
    memory: Share<'a>,
}

impl<'a> Tap<'a> {
    pub(super) fn new(socket: OwnedFd, budget: &'a Budget) -> Self {
        Self {
            socket: UnixStream::from(socket),
            held: Vec::new(),
            memory: Share::new(budget),
        }
    }

    /// Two ends that wait for nothing: for a process before the upgrade, and for the one after it.
    ///
    /// # Errors
    /// As socketpair(2) and fcntl(2).
    pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        let (before, after) = UnixStream::pair()?;
        before.set_nonblocking(true)?;
        after.set_nonblocking(true)?;
        Ok((before.into(), after.into()))
    }

    /// Whether nothing of a message is held.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Tells it what the device has said. Returns false if it does not take that, or is gone.
    pub(super) fn tell(&mut self, mut bytes: &[u8]) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    let left = deadline.saturating_duration_since(Instant::now());
                    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    if !matches!(poll(&mut fds, left), Ok(1..)) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads what its clients say, and delivers each message that is whole. Returns false when the
    /// process has gone, or says what it should not.
    pub(super) fn hear(&mut self, inbox: &Inbox, most: usize) -> bool {
        let mut bytes = [0; READ];
        match self.socket.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => {
                if !self.memory.resize(self.held.len() + count) {
                    return false;
                }
                self.held.extend(&bytes[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        self.deliver(inbox, most)
    }

    /// Delivers each message that is whole, as far as the device takes it. Returns false if one is
    /// longer than `most`.
    pub(super) fn deliver(&mut self, inbox: &Inbox, most: usize) -> bool {
        while let Some((prefix, rest)) = self.held.split_first_chunk::<PREFIX>() {
            let length = u32::from_be_bytes(*prefix) as usize;
            if length > most {
                return false;
            }
            let Some(message) = rest.get(..length) else {
                break;
            };
            match inbox.deliver([message, &[]], Duration::ZERO, || false) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                // What cannot be delivered is lost, as that of a client of this process.
                _ => drop(self.held.drain(..PREFIX + length)),
            }
        }
        // It takes less: that always succeeds.
        let _ = self.memory.resize(self.held.len());
        true
    }
}

impl AsFd for Tap<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inbox::tests::{connected, fill};
    use super::*;

    static AMPLE: Budget = Budget::new(usize::MAX);

    /// Longest message of these tests.
    const MOST: usize = 100;

    fn tap() -> (Tap<'static>, UnixStream) {
        let (before, after) = Tap::pair().expect("a pair");
        (Tap::new(after, &AMPLE), UnixStream::from(before))
    }

    #[test]
    fn messages_are_delivered_when_they_are_whole_however_they_come() {
        let (inbox, mut device) = connected(1 << 20);
        let (mut tap, mut other) = tap();
        let messages = b"\0\0\0\x04one\n\0\0\0\0\0\0\0\x04two\n";
        for byte in messages {
            other.write_all(&[*byte]).expect("space");
            assert!(tap.hear(&inbox, MOST));
        }
        assert!(tap.is_empty());
        other.write_all(&messages.repeat(2)).expect("space");
        assert!(tap.hear(&inbox, MOST));
        let mut got = [0; 24];
        device.read_exact(&mut got).expect("three times two");
        assert_eq!(&got, b"one\ntwo\none\ntwo\none\ntwo\n");
        drop(other);
        assert!(!tap.hear(&inbox, MOST), "the process has gone");
    }

    #[test]
    fn a_message_that_is_too_long_ends_it() {
        let (inbox, _device) = connected(1 << 20);
        let (mut tap, mut other) = tap();
        other.write_all(b"\0\0\0\x65").expect("space");
        assert!(!tap.hear(&inbox, MOST));
    }

    #[test]
    fn messages_wait_while_the_device_takes_none() {
        let (inbox, mut device) = connected(1 << 20);
        let all = fill(&inbox);
        let (mut tap, mut other) = tap();
        let mut count = 0;
        while tap.is_empty() {
            let message = [&b"\0\0\0\x64"[..], &[b'x'; 100]].concat();
            other.write_all(&message).expect("space");
            assert!(tap.hear(&inbox, MOST));
            count += 1;
        }
        let mut got = vec![0; all.len() + 100 * count];
        for part in got.chunks_mut(100) {
            inbox.flush().expect("a device");
            assert!(tap.deliver(&inbox, MOST));
            device.read_exact(part).expect("bytes");
        }
        assert!(got[..all.len()] == all && got[all.len()..].iter().all(|byte| *byte == b'x'));
        assert!(tap.is_empty());
    }

    #[test]
    fn a_process_that_does_not_read_is_told_no_more() {
        let (mut tap, mut other) = tap();
        assert!(tap.tell(b"hello"));
        let mut got = [0; 5];
        other.read_exact(&mut got).expect("bytes");
        assert_eq!(&got, b"hello");
        assert!(!tap.tell(&vec![b'x'; 16 << 20]));
    }
}
