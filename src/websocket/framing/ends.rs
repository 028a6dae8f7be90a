//! Running: where messages and frames go, as far as framing must know.

use std::io;

use crate::backend::Backend;
use crate::client::frames::{FrameWriter, Offered, SendError};
use crate::frame::{Header, OpCode};

/// What takes the bytes of a client's messages.
pub(crate) trait Outlet {
    /// Whether it keeps packet boundaries (SEQPACKET).
    fn is_packet(&self) -> bool;

    /// Whether others write to it as well: each write is then a whole message.
    fn is_shared(&self) -> bool {
        false
    }

    /// Writes two pieces as one.
    ///
    /// # Errors
    /// As [`Backend::write_all_of`]; `OutOfMemory` if they must be held and `maxmemory` is taken.
    fn write_all_of(&self, pieces: &[&[u8]; 2]) -> io::Result<()>;
}

/// A backend that one client has for itself.
pub(crate) struct Own<'a, G> {
    pub(crate) backend: &'a Backend,
    /// Says whether to wait on, when the backend takes no bytes for long.
    pub(crate) go_on: G,
}

impl<G: Fn() -> bool> Outlet for Own<'_, G> {
    fn is_packet(&self) -> bool {
        self.backend.is_packet()
    }

    fn write_all_of(&self, pieces: &[&[u8]; 2]) -> io::Result<()> {
        self.backend.write_all_of(pieces, &self.go_on)
    }
}

/// What takes frames: a client, or many.
pub(crate) trait Frames {
    /// Makes the header of a whole frame with a payload of so many bytes.
    fn header(&self, opcode: OpCode, length: usize) -> Header;

    /// Sends pieces that together are whole frames, of which `taken` bytes were sent before, as
    /// [`FrameWriter::send`] does.
    ///
    /// # Errors
    /// See [`SendError`].
    fn send(&self, pieces: &[&[u8]], taken: usize) -> Result<Offered, SendError>;
}

impl Frames for FrameWriter {
    fn header(&self, opcode: OpCode, length: usize) -> Header {
        Self::header(self, opcode, length)
    }

    fn send(&self, pieces: &[&[u8]], taken: usize) -> Result<Offered, SendError> {
        Self::send(self, pieces, taken)
    }
}
