//! Running: where messages and frames go, as far as framing must know.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use super::kept::Sink;
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

    /// Writes at most two pieces as one, of which `taken` bytes were written before. Returns when
    /// all is written, or when nothing has been taken for a while.
    ///
    /// # Errors
    /// As [`Backend::write_of`]; `OutOfMemory` if they must be held and `maxmemory` is taken;
    /// `TimedOut` when nobody waits for them to be taken.
    fn offer(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered>;
}

/// A backend that one client has for itself.
pub(crate) struct Own<'a, G> {
    backend: &'a Backend,
    /// Says whether to wait on, when the backend has taken no bytes for so long.
    go_on: G,
    /// When it was first found to take none.
    stuck: Cell<Option<Instant>>,
}

impl<'a, G: Fn(Duration) -> bool> Own<'a, G> {
    /// A backend; when it has taken no bytes for some time, `go_on` says whether to wait on.
    pub(crate) fn new(backend: &'a Backend, go_on: G) -> Self {
        Self {
            backend,
            go_on,
            stuck: Cell::new(None),
        }
    }
}

impl<G: Fn(Duration) -> bool> Outlet for Own<'_, G> {
    fn is_packet(&self) -> bool {
        self.backend.is_packet()
    }

    fn offer(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered> {
        let before = taken;
        let (taken, is_full) = self.backend.write_of(pieces, taken)?;
        if !is_full || taken > before {
            self.stuck.set(None);
        } else {
            let stuck = self.stuck.get().unwrap_or_else(Instant::now);
            self.stuck.set(Some(stuck));
            if !(self.go_on)(stuck.elapsed()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(Offered { taken, is_full })
    }
}

impl Sink for dyn Outlet + '_ {
    type Error = io::Error;

    fn write(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered> {
        self.offer(pieces, taken)
    }
}

/// What takes frames: a client, or many.
pub(crate) trait Frames {
    /// Makes the header of a whole frame with a payload of this many bytes.
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

impl Sink for dyn Frames + '_ {
    type Error = SendError;

    fn write(&self, pieces: &[&[u8]], taken: usize) -> Result<Offered, SendError> {
        self.send(pieces, taken)
    }
}
