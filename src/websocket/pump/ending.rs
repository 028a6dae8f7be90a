//! Close: what a direction that is over waits for, within limits.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::{CLOSE_WAIT, Pump, SLOW_WAIT, is_silence};
use crate::backend::Input;
use crate::frame::CloseCode;
use crate::system::unread::unread;

/// Pause between two looks at the state of the other thread, or of the backend.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// A backend that ends in less than this, and before a byte went either way, has turned the client
/// away.
pub(crate) const TURNED_AWAY: Duration = Duration::from_secs(1);

/// Why the client's direction is over.
#[derive(Debug)]
pub(crate) enum ClientEnd {
    /// It sent a Close.
    Close(Option<CloseCode>),
    /// Its stream ended without one.
    Vanished,
    /// It broke a rule, or sent too much at once: it gets a Close with this code.
    Failed(CloseCode),
}

/// Why the backend's direction is over.
#[derive(Debug)]
pub(super) enum BackendEnd {
    /// It ended its stream.
    Ended,
    /// It failed, or its bytes cannot be forwarded: the client gets a Close with this code.
    Failed(CloseCode),
    /// The client is gone or has been sent a Close.
    Client,
}

impl fmt::Display for ClientEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(Some(code)) => write!(f, "it sent a Close with {code}"),
            Self::Close(None) => f.write_str("it sent a Close without a code"),
            Self::Vanished => f.write_str("its stream ended without a Close"),
            Self::Failed(code) => write!(f, "it gets a Close with {code}"),
        }
    }
}

impl fmt::Display for BackendEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the backend ended its stream"),
            Self::Failed(code) => write!(f, "the client gets a Close with {code}"),
            Self::Client => f.write_str("the client is gone, or has been sent a Close"),
        }
    }
}

impl Pump {
    /// The code that tells of a backend's end, after it has said this many bytes. One that leaves at
    /// once, before anybody has said anything, has no room for the client, but for a program, which
    /// is the client's own (docs/behaviour.md, section 3).
    pub(super) fn code_of_end(&self, said: u64) -> CloseCode {
        let is_new = self.begun.elapsed() < TURNED_AWAY;
        let is_silent = said == 0 && !self.from_client.has_moved();
        match is_new && is_silent && !self.backend.is_program() {
            true => CloseCode::Again,
            false => CloseCode::Normal,
        }
    }

    /// Owes the client a Close, which can go out only when the backend's thread has sent its frame.
    /// Returns whether it went out in time.
    pub(super) fn can_tell(&self, code: Option<CloseCode>) -> bool {
        self.writer.owe_close(code);
        let deadline = Instant::now() + CLOSE_WAIT;
        while self.writer.close_sent().is_none() && !self.from_backend.wait(LOOK, Some(LOOK)) {
            if Instant::now() >= deadline {
                return false;
            }
            self.writer.settle();
        }
        true
    }

    /// Waits until the client's direction is over. Returns false if it is not in time: the client is
    /// to be cut, and loses what its kernel has not received if it has sent something meanwhile (TCP
    /// resets a socket that is closed with unread bytes).
    pub(super) fn wait_for_client(&self) -> bool {
        let client = self.writer.client();
        let deadline = Instant::now() + SLOW_WAIT;
        let mut left = unread(client);
        while !self.from_client.wait(CLOSE_WAIT, Some(CLOSE_WAIT)) {
            let before = std::mem::replace(&mut left, unread(client));
            if left >= before || Instant::now() >= deadline {
                return false;
            }
        }
        true
    }

    /// Ends the backend's direction. Waits first until the backend has read what it was sent, as
    /// long as it reads at all: when we stop reading, its next write fails, and on TCP a reset
    /// destroys what is still on its way to it (RFC 1122, section 4.2.2.13).
    pub(super) fn release_backend(&self) {
        if self.left_backend.wait(Duration::ZERO, None) {
            return;
        }
        let mut unread = self.backend.unread();
        let mut moved = Instant::now();
        while unread > 0 && moved.elapsed() < CLOSE_WAIT {
            if self.left_backend.wait(LOOK, Some(LOOK)) {
                return;
            }
            let left = self.backend.unread();
            if left < unread {
                moved = Instant::now();
            }
            unread = left;
        }
        self.backend.cut();
    }

    /// Reads and drops the backend's output until it ends or is cut, so that the backend can go on
    /// to read.
    #[inline(never)]
    pub(super) fn drop_backend(&self) {
        let mut dropped = [0; 2048];
        loop {
            match self.backend.read(&mut dropped) {
                Ok(Input::End) => return,
                Ok(Input::Bytes(_)) => {}
                // A packet longer than that, or a silence.
                Err(error) if is_silence(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return,
            }
        }
    }
}
