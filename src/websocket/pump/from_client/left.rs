//! Running: a thread that leaves a client whose backend does not read, and another that goes on.

use super::FromClient;
use crate::frame::Decoder;
use crate::websocket::framing::Undelivered;
use crate::websocket::pump::ClientEnd;

/// What another one needs to go on: bytes that the backend has not taken, and the frame and message
/// that have begun.
pub(in super::super) struct Remainder {
    decoder: Decoder,
    out: Undelivered,
}

impl FromClient<'_> {
    /// Keeps from now on what the backend does not take in time, and goes on where another one has
    /// left.
    pub(in super::super) fn go_on(&mut self, left: Option<Box<Remainder>>) {
        let left = left.map(|left| *left);
        let out = left.map(|Remainder { decoder, out }| {
            self.decoder = decoder;
            out
        });
        self.out.go_on(out);
    }

    /// Whether bytes wait for the backend to take them.
    pub(in super::super) fn is_stuck(&self) -> bool {
        self.out.is_stuck()
    }

    /// Writes bytes that wait, as far as the backend takes them in time.
    pub(super) fn send_kept(&mut self) -> Option<ClientEnd> {
        match self.out.send_kept() {
            Ok(()) => None,
            Err(delivery) => self.undelivered(delivery),
        }
    }

    /// What another one needs to go on, while bytes wait for the backend.
    pub(in super::super) fn leave(self) -> Box<Remainder> {
        Box::new(Remainder {
            decoder: self.decoder,
            out: self.out.leave(),
        })
    }
}
