//! The socket between a process and the one that takes its listening sockets over.
//!
//! After the descriptors, which come with the first bytes, each side tells the other words of five
//! bytes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Bytes of a word.
const LENGTH: usize = 5;

/// What one process tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The new one accepts clients.
    Ready,
    /// The new one is the daemon from now on.
    Serve,
    /// The same, for as long as the old one lives: somebody watches that one.
    Follow,
    /// The new one is to end.
    End,
    /// The old one is to stop: the daemon stops.
    Stop,
    /// A signal to stop has come to the old one.
    Term,
    /// A signal to reload has come to the old one.
    Reload,
    /// A signal to tell the state has come to the old one.
    Tell,
    /// A signal to upgrade has come to the old one.
    Upgrade,
}

/// The words as they are sent.
const WORDS: [(Word, &[u8; LENGTH]); 9] = [
    (Word::Ready, b"ready"),
    (Word::Serve, b"serve"),
    (Word::Follow, b"folow"),
    (Word::End, b"end.\n"),
    (Word::Stop, b"stop\n"),
    (Word::Term, b"term\n"),
    (Word::Reload, b"hup.\n"),
    (Word::Tell, b"usr1\n"),
    (Word::Upgrade, b"usr2\n"),
];

/// One end of the socket.
pub(crate) struct Link {
    pub(super) socket: UnixStream,
    /// The other side's end is the daemon's: somebody watches it.
    pub(crate) is_followed: bool,
}

impl Link {
    pub(super) fn new(socket: UnixStream) -> Self {
        let is_followed = false;
        Self {
            socket,
            is_followed,
        }
    }

    /// Tells a word. The other side may be gone: its end is seen where words are read.
    pub(crate) fn tell(&self, word: Word) {
        let Some((_, bytes)) = WORDS.iter().find(|(other, _)| *other == word) else {
            return;
        };
        let _ = (&self.socket).write_all(*bytes);
    }

    /// The next word; `None` once the other side is gone or says something else.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout of the socket passes.
    pub(crate) fn next(&self) -> io::Result<Option<Word>> {
        let mut bytes = [0; LENGTH];
        match (&self.socket).read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(_) => return Ok(None),
        }
        let word = WORDS.iter().find(|(_, other)| **other == bytes);
        Ok(word.map(|(word, _)| *word))
    }

    /// A second descriptor of it, for the process after this one.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Tells a number, behind a word.
    ///
    /// # Errors
    /// As write(2).
    pub(super) fn tell_number(&self, number: u32) -> io::Result<()> {
        (&self.socket).write_all(&number.to_be_bytes())
    }

    /// Reads a number, behind a word.
    ///
    /// # Errors
    /// As read(2).
    pub(super) fn read_number(&self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        (&self.socket).read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
