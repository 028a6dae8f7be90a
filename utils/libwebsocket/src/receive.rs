//! From the client: frames in, payload out, control frames set aside.
//!
//! The machine asks for exactly the bytes of the current header, never more,
//! so that payload stays in the kernel until the server has room for it and
//! "the socket is readable" keeps its meaning.

use crate::frame::{
    Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, MIN_HEADER, Opcode, Violation, is_sendable_code,
    unmask,
};
use crate::utf8::Utf8;

/// What the machine has come to; the caller acts and calls it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Payload is next: read up to [`Receiver::remaining`] bytes, then
    /// [`Receiver::take_payload`].
    Payload,
    /// The message ended; stays so until [`Receiver::take_end`].
    MessageEnd,
    /// A ping, its payload in [`Receiver::control`].
    Ping,
    /// A pong, its payload in [`Receiver::control`].
    Pong,
    /// The client's Close, its code in [`Receiver::close_code`]. Nothing follows.
    Close,
    /// A broken rule. Nothing follows.
    Violation(Violation),
    /// The stream ended without a Close. Nothing follows.
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
    /// Bytes of `head` read, and how many it will have.
    filled: usize,
    needed: usize,
    mask: [u8; 4],
    /// Payload bytes of the current frame read so far, modulo 4.
    phase: usize,
    remaining: u64,
    fin: bool,
    /// The message that is open, or was last.
    opcode: Opcode,
    open: bool,
    utf8: Utf8,
    control: [u8; MAX_CONTROL_PAYLOAD],
    control_opcode: Opcode,
    control_len: usize,
    close_code: Option<u16>,
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
            phase: 0,
            remaining: 0,
            fin: true,
            opcode: Opcode::Text,
            open: false,
            utf8: Utf8::new(),
            control: [0; MAX_CONTROL_PAYLOAD],
            control_opcode: Opcode::Pong,
            control_len: 0,
            close_code: None,
        }
    }

    /// Reads headers and control frames until there is something to act on.
    ///
    /// `recv` reads at most as many bytes as its buffer has and returns how
    /// many; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of `recv`; call again to go on where it stopped.
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
                    let n = recv(&mut self.head[self.filled..self.needed])?;
                    if n == 0 {
                        return Ok(self.over(Event::Eof));
                    }
                    self.filled += n;
                    if let Err(violation) = self.head_grew() {
                        return Ok(self.over(Event::Violation(violation)));
                    }
                }
                State::Control if self.filled < self.control_len => {
                    let n = recv(&mut self.control[self.filled..self.control_len])?;
                    if n == 0 {
                        return Ok(self.over(Event::Eof));
                    }
                    self.filled += n;
                }
                State::Control => return Ok(self.control_complete()),
            }
        }
    }

    fn over(&mut self, event: Event) -> Event {
        self.state = State::Over(event);
        event
    }

    fn head_grew(&mut self) -> Result<(), Violation> {
        if self.filled < 2 {
            return Ok(());
        }
        self.needed = Header::length_of([self.head[0], self.head[1]])?;
        if self.filled < self.needed {
            return Ok(());
        }
        let header = Header::parse(&self.head)?;
        self.mask = header.mask;
        self.filled = 0;
        self.needed = MIN_HEADER;
        if header.opcode.is_control() {
            self.state = State::Control;
            self.control_opcode = header.opcode;
            self.control_len = usize::try_from(header.len).unwrap_or(MAX_CONTROL_PAYLOAD);
            return Ok(());
        }
        match (header.opcode, self.open) {
            (Opcode::Continuation, false) => return Err(Violation::NothingToContinue),
            (Opcode::Continuation, true) => {}
            (_, true) => return Err(Violation::MessageInMessage),
            (opcode, false) => {
                self.opcode = opcode;
                self.open = true;
                self.utf8 = Utf8::new();
            }
        }
        self.fin = header.fin;
        self.remaining = header.len;
        self.phase = 0;
        self.state = State::Payload;
        if self.remaining == 0 {
            self.frame_complete()?;
        }
        Ok(())
    }

    fn frame_complete(&mut self) -> Result<(), Violation> {
        self.state = State::Head;
        if self.fin {
            if self.opcode == Opcode::Text && self.utf8.unfinished() > 0 {
                return Err(Violation::NotUtf8);
            }
            self.open = false;
            self.state = State::MessageEnd;
        }
        Ok(())
    }

    fn control_complete(&mut self) -> Event {
        unmask(&mut self.control[..self.control_len], self.mask, 0);
        self.filled = 0;
        self.state = State::Head;
        match self.control_opcode {
            Opcode::Ping => Event::Ping,
            Opcode::Close => match self.check_close() {
                Ok(code) => {
                    self.close_code = code;
                    self.over(Event::Close)
                }
                Err(violation) => self.over(Event::Violation(violation)),
            },
            _ => Event::Pong,
        }
    }

    fn check_close(&self) -> Result<Option<u16>, Violation> {
        match self.control() {
            [] => Ok(None),
            [_] => Err(Violation::ShortClose),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !is_sendable_code(code) {
                    return Err(Violation::BadCloseCode(code));
                }
                core::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
                Ok(Some(code))
            }
        }
    }

    /// Bytes of payload left in the current frame.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Unmasks and checks payload that was read; at most `remaining` bytes.
    ///
    /// # Errors
    /// Text that is not UTF-8; the connection is over then.
    pub fn take_payload(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        unmask(bytes, self.mask, self.phase);
        self.phase = (self.phase + bytes.len()) % 4;
        self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
        let mut result = Ok(());
        if self.opcode == Opcode::Text && !self.utf8.push(bytes) {
            result = Err(Violation::NotUtf8);
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
        unmask(bytes, self.mask, self.phase);
    }

    /// True if a message has just ended; forgets it.
    pub fn take_end(&mut self) -> bool {
        let ended = self.state == State::MessageEnd;
        if ended {
            self.state = State::Head;
        }
        ended
    }

    /// No more is read: the stream counts as ended here.
    pub fn stop(&mut self) {
        if !self.is_over() {
            self.over(Event::Eof);
        }
    }

    /// Nothing follows any more.
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
}
