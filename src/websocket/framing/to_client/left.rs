//! Running, backend to client: a thread that leaves because the client does not read, and another
//! that goes on.

use super::ToClient;
use crate::client::frames::SendError;
use crate::websocket::framing::PREFIX;
use crate::websocket::framing::kept::KeptLeft;

/// What the client has not taken, and the message that has begun. It counts towards `maxmemory`
/// until [`ToClient::go_on`] has it.
pub(crate) struct Left {
    kept: KeptLeft,
    carried: Vec<u8>,
    held: Option<Vec<u8>>,
    held_memory: usize,
    prefix: [u8; PREFIX],
    prefix_len: usize,
    left: usize,
}

impl ToClient<'_> {
    /// Keeps from now on what the client does not take in time, and goes on where another one has
    /// left.
    pub(crate) fn go_on(&mut self, left: Option<Box<Left>>) {
        self.kept.keep();
        let Some(left) = left else {
            return;
        };
        self.kept.take_over(left.kept);
        self.buffer[..left.carried.len()].copy_from_slice(&left.carried);
        self.carried = left.carried.len();
        self.held = left.held;
        self.held_memory.take_over(left.held_memory);
        self.prefix = left.prefix;
        self.prefix_len = left.prefix_len;
        self.left = left.left;
    }

    /// Whether frames wait for the client to take them.
    pub(crate) fn is_stuck(&self) -> bool {
        self.kept.is_stuck()
    }

    /// Sends frames that wait, as far as the client takes them in time. Returns whether it has taken
    /// any of them.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn send_kept(&mut self) -> Result<bool, SendError> {
        self.kept.go_on(self.writer)
    }

    /// Sends frames that wait, however long that takes.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn send_all_kept(&mut self) -> Result<(), SendError> {
        while self.is_stuck() {
            self.send_kept()?;
        }
        Ok(())
    }

    /// What another one needs to go on, while frames wait for the client.
    pub(crate) fn leave(mut self) -> Box<Left> {
        Box::new(Left {
            kept: self.kept.leave(),
            carried: self.buffer[..self.carried].to_vec(),
            held: self.held.take(),
            held_memory: self.held_memory.leave(),
            prefix: self.prefix,
            prefix_len: self.prefix_len,
            left: self.left,
        })
    }
}
