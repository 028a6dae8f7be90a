//! To the client: the bytes that go before the server's own, and how many of the server's bytes the
//! current frame still needs.
//!
//! The kernel may take any part of a frame. The rest of the header waits here. The server offers
//! the rest of the payload again, and those bytes complete the frame.

use crate::frame::{FIN, MAX_CONTROL_PAYLOAD, MAX_SERVER_HEADER, Opcode, write_header};
use common::Utf8;

/// Room for a control frame, then a header, then a held character.
const ROOM: usize = 2 + MAX_CONTROL_PAYLOAD + MAX_SERVER_HEADER + 3;

/// The sending side of one connection.
#[derive(Debug)]
pub struct Sender {
    out: [u8; ROOM],
    start: usize,
    /// Where the data frame's header begins in `out`; `end` if there is none.
    header: usize,
    end: usize,
    /// Bytes of the current frame's payload that the server has not given yet.
    owed: u64,
    /// First bytes of a character that the server's last write has cut.
    held: [u8; 3],
    held_len: usize,
    /// The frame in `out` carries the held bytes.
    takes_held: bool,
    closed: bool,
    /// A message is open, and of this type (explicit API only).
    open: Option<Opcode>,
    utf8: Utf8,
}

impl Default for Sender {
    fn default() -> Self {
        Sender::new()
    }
}

impl Sender {
    /// A connection right after its handshake.
    pub const fn new() -> Self {
        Sender {
            out: [0; ROOM],
            start: 0,
            header: 0,
            end: 0,
            owed: 0,
            held: [0; 3],
            held_len: 0,
            takes_held: false,
            closed: false,
            open: None,
            utf8: Utf8::new(),
        }
    }

    /// The bytes to send before anything else.
    pub fn pending(&self) -> &[u8] {
        &self.out[self.start..self.end]
    }

    /// Bytes of payload that the announced frame still needs.
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// No frame is half sent, so a new one may begin.
    pub fn is_idle(&self) -> bool {
        self.owed == 0 && self.start == self.end
    }

    /// The server's Close has been queued; no frame may follow.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Queues a control frame, unless a frame is half sent; true if it did. Cuts payload beyond 125
    /// bytes.
    // Inlined, this and `sent` would make the library a third of a KB longer.
    #[inline(never)]
    pub fn control(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        if !self.is_idle() || self.closed {
            return false;
        }
        let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        self.out[0] = FIN | opcode as u8;
        self.out[1] = payload.len() as u8;
        self.out[2..2 + payload.len()].copy_from_slice(payload);
        self.start = 0;
        self.end = 2 + payload.len();
        self.header = self.end;
        self.closed = opcode == Opcode::Close;
        true
    }

    /// Announces a frame of the held bytes and then `len` bytes from the server. A queued control
    /// frame goes first. Only when nothing is owed.
    pub fn begin(&mut self, first: u8, len: u64) {
        // Pending bytes move to the front: frames without payload may follow one another, each half
        // sent, without end.
        self.out.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let mut header = [0; MAX_SERVER_HEADER];
        let size = write_header(first, len + self.held_len as u64, &mut header);
        self.header = self.end;
        self.put(size, header);
        let held = self.held;
        self.out[self.end..self.end + self.held_len].copy_from_slice(&held[..self.held_len]);
        self.end += self.held_len;
        self.takes_held = true;
        self.owed = len;
    }

    fn put(&mut self, size: usize, header: [u8; MAX_SERVER_HEADER]) {
        self.out[self.end..self.end + size].copy_from_slice(&header[..size]);
        self.end += size;
    }

    /// The kernel took `n` bytes of [`Sender::pending`] and the payload after it; returns how many
    /// were payload.
    #[inline(never)]
    pub fn sent(&mut self, n: usize) -> usize {
        let front = n.min(self.end - self.start);
        self.start += front;
        if self.takes_held && self.start > self.header {
            self.takes_held = false;
            self.held_len = 0;
        }
        let payload = n - front;
        self.owed = self.owed.saturating_sub(payload as u64);
        payload
    }

    /// Takes the announcement back if no byte of it has gone, so that the server may write
    /// something else instead.
    pub fn cancel(&mut self) {
        if self.header < self.end && self.start <= self.header {
            self.end = self.header;
            self.takes_held = false;
            self.owed = 0;
        }
    }

    /// A byte of the frame last announced has gone, or all of it.
    pub fn has_begun(&self) -> bool {
        self.start > self.header
    }

    /// Keeps the first bytes of a cut character for the next frame; at most 3.
    pub fn hold(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(3 - self.held_len) {
            self.held[self.held_len] = *byte;
            self.held_len += 1;
        }
    }

    /// Announces the held bytes as a binary frame: the rest of the character will not come. Does
    /// nothing where a frame has them already, or is owed payload.
    pub fn give_up_held(&mut self) {
        if self.held_len > 0 && self.owed == 0 && !self.takes_held && !self.closed {
            self.begin(FIN | Opcode::Binary as u8, 0);
        }
    }

    /// The first bytes of a character whose rest the server has not written.
    pub fn held(&self) -> &[u8] {
        &self.held[..self.held_len]
    }

    /// The first byte of the next frame of an explicit message; None where the order of fragments
    /// forbids it (RFC 6455, section 5.4).
    pub fn message_frame(&mut self, opcode: Opcode, fin: bool) -> Option<u8> {
        let continues = opcode == Opcode::Continuation;
        if opcode.is_control() || continues != self.open.is_some() {
            return None;
        }
        Some(if fin { FIN } else { 0 } | opcode as u8)
    }

    /// Checks the text of the next frame; None if it is not UTF-8. The returned state is for
    /// [`Sender::message_began`].
    pub fn text_is_valid(&self, opcode: Opcode, fin: bool, pieces: &[&[u8]]) -> Option<Utf8> {
        let kind = match opcode {
            Opcode::Continuation => self.open?,
            other => other,
        };
        let mut utf8 = match opcode {
            Opcode::Continuation => self.utf8,
            _ => Utf8::new(),
        };
        if kind != Opcode::Text {
            return Some(Utf8::new());
        }
        let valid = pieces.iter().all(|piece| utf8.push(piece));
        (valid && !(fin && utf8.unfinished() > 0)).then_some(utf8)
    }

    /// The frame was announced: the message is open until its last frame.
    pub fn message_began(&mut self, opcode: Opcode, fin: bool, utf8: Utf8) {
        self.utf8 = utf8;
        if fin {
            self.open = None;
        } else if opcode != Opcode::Continuation {
            self.open = Some(opcode);
        }
    }
}
