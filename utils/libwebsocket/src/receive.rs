//! From the client: frames in, payload out, control frames set aside.
//!
//! The machine reads headers and control frames only. Payload stays in the kernel until the server
//! has room for it, so that a readable socket means what it says. The first bytes of a header may
//! be read together with the payload before it ([`Receiver::next_head`]): for a server a header
//! alone is nothing to read.

use crate::ahead::{Ahead, Outlook};
use crate::frame::{Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, MIN_HEADER, Opcode};
use common::{ProtocolError, Utf8, close, unmask};

/// What comes next in the stream. The caller acts on it and calls again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Payload is next: read up to [`Receiver::remaining`] bytes, then [`Receiver::take_payload`].
    Payload,
    /// The message has ended; repeated until [`Receiver::take_end`].
    MessageEnd,
    /// A ping, its payload in [`Receiver::control`].
    Ping,
    /// A pong, its payload in [`Receiver::control`].
    Pong,
    /// The client's Close, its code in [`Receiver::close_code`]. The last event.
    Close,
    /// The client has broken a rule. The last event.
    Violation(ProtocolError),
    /// The stream has ended without a Close. The last event.
    Eof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Payload,
    Control,
    MessageEnd,
    Over(Event),
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct Receiver {
    state: State,
    head: [u8; MAX_HEADER],
    /// Bytes of `head` that have been read, and how many it needs.
    filled: usize,
    needed: usize,
    /// The masking key, turned for the next byte of the payload.
    mask: [u8; 4],
    remaining: u64,
    fin: bool,
    /// Type of the open message, or of the last one.
    opcode: Opcode,
    open: bool,
    utf8: Utf8,
    control: [u8; MAX_CONTROL_PAYLOAD],
    control_opcode: Opcode,
    control_len: usize,
    close_code: Option<u16>,
    /// What the kernel has behind the payload that is next.
    ahead: Ahead,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver::new()
    }
}

impl Receiver {
    /// A connection right after its handshake.
    pub const fn new() -> Self {
        Receiver {
            state: State::Head,
            head: [0; MAX_HEADER],
            filled: 0,
            needed: MIN_HEADER,
            mask: [0; 4],
            remaining: 0,
            fin: true,
            opcode: Opcode::Text,
            open: false,
            utf8: Utf8::new(),
            control: [0; MAX_CONTROL_PAYLOAD],
            control_opcode: Opcode::Pong,
            control_len: 0,
            close_code: None,
            ahead: Ahead::new(),
        }
    }

    /// Reads headers and control frames up to the next event.
    ///
    /// `recv` reads at most as many bytes as its buffer has and returns how many; 0 is the end of
    /// the stream.
    ///
    /// # Errors
    /// Those of `recv`; the next call goes on where this one stopped.
    pub fn advance<E>(
        &mut self,
        mut recv: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Event, E> {
        loop {
            match self.state {
                State::Over(event) => return Ok(event),
                State::Payload => return Ok(Event::Payload),
                State::MessageEnd => return Ok(Event::MessageEnd),
                State::Head => {
                    match self.take_head() {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(violation) => return Ok(self.over(Event::Violation(violation))),
                    }
                    let n = recv(&mut self.head[self.filled..self.needed])?;
                    if n == 0 {
                        return Ok(self.over(Event::Eof));
                    }
                    self.filled += n;
                }
                State::Control if self.filled < self.control_len => {
                    let n = recv(&mut self.control[self.filled..self.control_len])?;
                    if n == 0 {
                        return Ok(self.over(Event::Eof));
                    }
                    self.filled += n;
                }
                State::Control => {
                    if let Some(event) = self.control_complete() {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn over(&mut self, event: Event) -> Event {
        self.state = State::Over(event);
        event
    }

    /// Takes the header if all of it is there; false if not.
    fn take_head(&mut self) -> Result<bool, ProtocolError> {
        if self.filled < 2 {
            return Ok(false);
        }
        self.needed = Header::length_of([self.head[0], self.head[1]])?;
        if self.filled < self.needed {
            return Ok(false);
        }
        let header = Header::parse(&self.head)?;
        self.mask = header.mask;
        self.filled = 0;
        self.needed = MIN_HEADER;
        if header.opcode.is_control() {
            self.state = State::Control;
            self.control_opcode = header.opcode;
            self.control_len = usize::try_from(header.len).unwrap_or(MAX_CONTROL_PAYLOAD);
            return Ok(true);
        }
        match (header.opcode, self.open) {
            (Opcode::Continuation, false) => return Err(ProtocolError::NothingToContinue),
            (Opcode::Continuation, true) => {}
            (_, true) => return Err(ProtocolError::UnfinishedMessage),
            (opcode, false) => {
                self.opcode = opcode;
                self.open = true;
                self.utf8 = Utf8::new();
            }
        }
        self.fin = header.fin;
        self.remaining = header.len;
        self.state = State::Payload;
        if self.remaining == 0 {
            self.frame_complete()?;
        }
        Ok(true)
    }

    fn frame_complete(&mut self) -> Result<(), ProtocolError> {
        self.state = State::Head;
        if self.fin {
            if self.opcode == Opcode::Text && self.utf8.unfinished() > 0 {
                return Err(ProtocolError::BadUtf8);
            }
            self.open = false;
            self.ahead.message_over();
            self.state = State::MessageEnd;
        }
        Ok(())
    }

    fn control_complete(&mut self) -> Option<Event> {
        unmask(&mut self.control[..self.control_len], &mut { self.mask });
        self.filled = 0;
        self.state = State::Head;
        Some(match self.control_opcode {
            Opcode::Ping if self.ahead.had_pong() => return None,
            Opcode::Ping => Event::Ping,
            Opcode::Close => match self.check_close() {
                Ok(code) => {
                    self.close_code = code;
                    self.over(Event::Close)
                }
                Err(violation) => self.over(Event::Violation(violation)),
            },
            _ => Event::Pong,
        })
    }

    fn check_close(&self) -> Result<Option<u16>, ProtocolError> {
        match self.control() {
            [] => Ok(None),
            [_] => Err(ProtocolError::HalfCloseCode),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !close::is_sendable(code) {
                    return Err(ProtocolError::BadCloseCode(code));
                }
                core::str::from_utf8(reason).map_err(|_| ProtocolError::BadUtf8)?;
                Ok(Some(code))
            }
        }
    }

    /// Payload is next: the header of its frame has been read.
    pub fn has_payload_next(&self) -> bool {
        self.state == State::Payload
    }

    /// Bytes of payload that are left in the current frame.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Unmasks and checks payload that was read, at most `remaining` bytes.
    ///
    /// # Errors
    /// Text that is not UTF-8, which ends the connection.
    pub fn take_payload(&mut self, bytes: &mut [u8]) -> Result<(), ProtocolError> {
        unmask(bytes, &mut self.mask);
        self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
        self.ahead.moved();
        let mut result = Ok(());
        if self.opcode == Opcode::Text && !self.utf8.push(bytes) {
            result = Err(ProtocolError::BadUtf8);
        } else if self.remaining == 0 {
            result = self.frame_complete();
        }
        if let Err(violation) = result {
            self.over(Event::Violation(violation));
        }
        result
    }

    /// Unmasks payload that was only looked at (MSG_PEEK).
    pub fn peek_payload(&self, bytes: &mut [u8]) {
        unmask(bytes, &mut { self.mask });
    }

    /// Room for the first bytes of the next header, which may be read behind all that remains of
    /// the current frame; [`Receiver::head_read`] then takes them. Only when payload is next.
    pub fn next_head(&mut self) -> &mut [u8] {
        &mut self.head[..MIN_HEADER]
    }

    /// This many bytes of [`Receiver::next_head`] were read.
    pub fn head_read(&mut self, n: usize) {
        self.filled = n.min(MIN_HEADER);
    }

    /// How many bytes [`Receiver::outlook`] has seen so far, counted from the payload that is next;
    /// at most one more than [`LONGEST`](crate::ahead::LONGEST). Only when payload is next.
    pub fn known_ahead(&mut self) -> usize {
        self.ahead.start(self.remaining, self.fin)
    }

    /// Tells whether the message can be read. `bytes` follow those seen so far
    /// ([`ENOUGH`](crate::ahead::ENOUGH) of them if there are as many), and `there` is how many
    /// bytes the kernel has from the payload on. Gives each ping among them to `pong`, once.
    pub fn outlook(&mut self, there: usize, bytes: &[u8], pong: impl FnMut(&[u8])) -> Outlook {
        self.ahead.start(self.remaining, self.fin);
        self.ahead.look(there, bytes, pong)
    }

    /// [`Receiver::outlook`] needs no further bytes, only their number.
    pub fn ends_ahead(&self) -> bool {
        self.ahead.is_known()
    }

    /// The kernel has the message to its end.
    pub fn is_whole(&self) -> bool {
        self.ahead.is_whole()
    }

    /// A message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        self.open
    }

    /// Takes the end of a message; true if one has just ended.
    pub fn take_end(&mut self) -> bool {
        let ended = self.state == State::MessageEnd;
        if ended {
            self.state = State::Head;
        }
        ended
    }

    /// Ends the stream here.
    pub fn stop(&mut self) {
        if !self.is_over() {
            self.over(Event::Eof);
        }
    }

    /// The last event has come.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Opcode of the open message, or of the last; text before the first.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Payload of the control frame just read.
    pub fn control(&self) -> &[u8] {
        &self.control[..self.control_len]
    }

    /// The code of the client's Close, if it sent one.
    pub fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// The client's Close has come.
    pub fn has_close(&self) -> bool {
        self.state == State::Over(Event::Close)
    }

    /// The close code that the server owes: that of the client's Close, 0 if it has none, or that
    /// of the broken rule; None if neither has come.
    pub fn answer(&self) -> Option<u16> {
        match self.state {
            State::Over(Event::Close) => Some(self.close_code.unwrap_or(0)),
            State::Over(Event::Violation(violation)) => Some(violation.close_code()),
            _ => None,
        }
    }
}
