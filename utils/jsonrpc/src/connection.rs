//! The connection to one client, as a session sees it.

use std::io;
use std::time::Duration;

/// Bytes from a client, and answers to it.
pub trait Connection {
    /// Reads what is there, up to the length of `buffer`; `None` is the end.
    ///
    /// # Errors
    /// The connection's own; `WouldBlock` if nothing came in this time.
    fn receive(&mut self, buffer: &mut [u8], time: Option<Duration>) -> io::Result<Option<usize>>;

    /// Whether a read of this many bytes ended a message: never in a stream.
    fn ends_message(&self, _length: usize) -> bool {
        false
    }

    /// Whether the client has left, so that no answer can reach it.
    fn has_left(&self) -> bool {
        false
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// The connection's own.
    fn send(&mut self, answer: &[u8]) -> io::Result<()>;
}
