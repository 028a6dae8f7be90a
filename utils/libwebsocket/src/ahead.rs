//! Is the message whose payload is next in the kernel to its end?
//!
//! A server that waits for a socket is woken once for a message, not for each piece of it. The
//! payload stays in the kernel meanwhile. The frames behind it are only looked at (MSG_PEEK), but
//! pings among them are answered, since a client may wait for the pong before it goes on.

use crate::frame::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode};
use common::unmask;

/// Longest message that is waited for whole, in bytes with the headers within it. The kernel must
/// hold that much; the server reads a longer one in pieces.
pub const LONGEST: usize = 64 << 10;

/// Enough bytes for any frame header, and for any whole control frame.
pub const ENOUGH: usize = MAX_HEADER + MAX_CONTROL_PAYLOAD;

/// Represents every length that is too long to wait for.
const BEYOND: usize = LONGEST + 1;

/// Whether a message can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// All of it is there, or it is too long to wait for.
    Readable,
    /// This many bytes must be there, counted from the payload that is next.
    Short(usize),
}

/// How far the frames behind the payload that is next are known.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Bytes from that payload's first to the end of the last known frame, at most [`BEYOND`]; 0
    /// when nothing has been looked at.
    end: usize,
    /// The last known frame ends the message.
    fin: bool,
    /// All of the message is there.
    whole: bool,
    /// Pings met since `end` was 0.
    pings: usize,
    /// Pings answered that have not been read yet.
    answered: usize,
}

impl Ahead {
    pub(crate) const fn new() -> Self {
        Ahead {
            end: 0,
            fin: false,
            whole: false,
            pings: 0,
            answered: 0,
        }
    }

    /// Begins at the payload that is next, unless it has begun there already; returns how many
    /// bytes are known.
    pub(crate) fn start(&mut self, remaining: u64, fin: bool) -> usize {
        if self.end == 0 {
            self.end = capped(remaining);
            self.fin = fin;
            self.pings = 0;
        }
        self.end
    }

    /// Payload was read: what was known was counted from its start.
    pub(crate) fn moved(&mut self) {
        self.end = 0;
    }

    /// The message's end is known, or too far to wait for.
    pub(crate) fn is_known(&self) -> bool {
        self.whole || self.fin || self.end > LONGEST
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// The message was read to its end.
    pub(crate) fn message_over(&mut self) {
        self.whole = false;
    }

    /// A ping was read; true if it has its pong already.
    pub(crate) fn had_pong(&mut self) -> bool {
        let had = self.answered > 0;
        self.answered -= usize::from(had);
        had
    }

    /// Learns from `bytes`, which stand at the end of what is known. `there` bytes are in the
    /// kernel, counted from the payload that is next.
    pub(crate) fn look(
        &mut self,
        there: usize,
        bytes: &[u8],
        mut pong: impl FnMut(&[u8]),
    ) -> Outlook {
        let start = self.end;
        while !self.is_known() {
            let rest = bytes.get(self.end - start..).unwrap_or(&[]);
            match self.frame(rest, &mut pong) {
                Ok(()) => {}
                Err(Outlook::Short(more)) => return Outlook::Short(self.end + more),
                Err(Outlook::Readable) => return Outlook::Readable,
            }
        }
        let needed = if self.whole || self.end > LONGEST {
            1
        } else {
            self.end
        };
        if there < needed {
            return Outlook::Short(needed);
        }
        self.whole |= self.fin && self.end <= LONGEST;
        Outlook::Readable
    }

    /// Takes the next frame behind the payload as known.
    ///
    /// # Errors
    /// More bytes are needed for that, or the message is to be read as it is: the read reports the
    /// rule that it breaks.
    fn frame(&mut self, bytes: &[u8], pong: &mut impl FnMut(&[u8])) -> Result<(), Outlook> {
        let [first, second, ..] = *bytes else {
            return Err(Outlook::Short(2));
        };
        let size = Header::length_of([first, second]).map_err(|_| Outlook::Readable)?;
        let mut head = [0; MAX_HEADER];
        let known = bytes.get(..size).ok_or(Outlook::Short(size))?;
        head[..size].copy_from_slice(known);
        let header = Header::parse(&head).map_err(|_| Outlook::Readable)?;
        let len = capped(header.len);
        match header.opcode {
            Opcode::Continuation => self.fin = header.fin,
            Opcode::Ping | Opcode::Pong => {
                let payload = bytes.get(size..size + len);
                let payload = payload.ok_or(Outlook::Short(size + len))?;
                if header.opcode == Opcode::Ping {
                    self.ping(payload, header.mask, pong);
                }
            }
            // A Close, or a new message before the end: this one never ends.
            _ => return Err(Outlook::Readable),
        }
        self.end = BEYOND.min(self.end + size + len);
        Ok(())
    }

    fn ping(&mut self, payload: &[u8], mask: [u8; 4], pong: &mut impl FnMut(&[u8])) {
        self.pings += 1;
        if self.pings > self.answered {
            self.answered += 1;
            let mut copy = [0; MAX_CONTROL_PAYLOAD];
            let copy = &mut copy[..payload.len()];
            copy.copy_from_slice(payload);
            unmask(copy, &mut { mask });
            pong(copy);
        }
    }
}

/// A length from the wire as a `usize`, which may have fewer bits.
fn capped(len: u64) -> usize {
    len.min(BEYOND as u64) as usize
}
