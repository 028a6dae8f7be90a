//! Running: frames (RFC 6455, section 5), between the client's bytes and messages.
//!
//! [`Decoder`] reads the client's frames where they lie in the caller's buffer and checks each rule
//! of RFC 6455 at the first byte that breaks it; [`header`] makes the header of a frame to the
//! client. Neither uses a socket or collects a message: `pump` and `framing` do.

use std::io::Cursor;
use std::ops::Range;

pub use common::ProtocolError;
use common::{Utf8, close, unmask};
use log::trace;
use tungstenite::protocol::frame::FrameHeader;
pub(crate) use tungstenite::protocol::frame::coding::Data;
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, OpCode};

mod header;
mod pong;
mod summary;

pub use header::{Header, header};
pub(crate) use pong::are_pongs;
pub use summary::Summary;

/// Longest frame header, in bytes (RFC 6455, section 5.2).
const MAX_HEADER: usize = 14;

/// Length of the header of a client's frame with at most 125 bytes (RFC 6455, section 5.2).
const SHORT_HEADER: usize = 6;

/// Longest control-frame payload, in bytes (RFC 6455, section 5.5).
const MAX_CONTROL_PAYLOAD: usize = 125;

/// A control frame's payload.
#[derive(Clone, Copy)]
pub struct ControlPayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

impl Default for ControlPayload {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_CONTROL_PAYLOAD],
            len: 0,
        }
    }
}

impl ControlPayload {
    /// The payload.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn push(&mut self, bytes: &[u8]) {
        let len = usize::from(self.len);
        self.bytes[len..len + bytes.len()].copy_from_slice(bytes);
        // At most 125: `Decoder` checks the announced length first.
        self.len += bytes.len() as u8;
    }
}

/// The next thing in the client's bytes.
pub enum Event {
    /// The bytes end within a frame: more must be read.
    Starved,
    /// A message begins. `length` is its length in bytes if its first frame is its last.
    Start {
        /// Text, or else binary.
        text: bool,
        /// Known if the message is not fragmented.
        length: Option<u64>,
    },
    /// Payload of the message, unmasked where it lies in the input. Never empty.
    Payload(Range<usize>),
    /// The message is whole.
    End,
    /// A whole message in one short frame, as most are: stands for `Start`, `Payload` and `End`.
    Message {
        /// Text, or else binary.
        text: bool,
        /// Its payload, unmasked where it lies in the input. May be empty.
        payload: Range<usize>,
    },
    /// A ping: [`Decoder::control`] has its payload, which goes back in a pong (section 5.5.2).
    Ping,
    /// A pong.
    Pong,
    /// The client closes, with a code if it gave one (section 5.5.1).
    Close(Option<CloseCode>),
}

/// A frame that has begun.
struct Frame {
    opcode: OpCode,
    last: bool,
    /// The masking key, turned so that its first byte meets the next payload byte.
    key: [u8; 4],
    /// Payload bytes still to come.
    left: u64,
}

/// Reads a client's frames; its only state is the frame it is in.
#[derive(Default)]
pub struct Decoder {
    /// The client's name in the log; `None` unless frame headers are logged.
    name: Option<Box<str>>,
    header: [u8; MAX_HEADER],
    header_len: usize,
    frame: Option<Frame>,
    /// A message has begun; whether it is text.
    message: Option<bool>,
    /// The message has begun and its `Start` has not been returned yet.
    start: Option<Option<u64>>,
    utf8: Utf8,
    control: ControlPayload,
}

impl Decoder {
    /// Has each frame header logged, as one of the client with this name.
    #[must_use]
    pub fn traced(self, name: &str) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Reads the next event from `input[*at..]`, which it unmasks in place, and moves `at` behind
    /// what it has read.
    ///
    /// # Errors
    /// The rule that the client broke. The connection is then to be failed (section 7.1.7).
    pub fn next(&mut self, input: &mut [u8], at: &mut usize) -> Result<Event, ProtocolError> {
        match self.short_message(input, *at)? {
            Some((text, payload)) => {
                *at = payload.end;
                Ok(Event::Message { text, payload })
            }
            None if *at == input.len() && self.is_between_messages() => Ok(Event::Starved),
            None => self.next_part(input, at),
        }
    }

    /// Reads a short message that is here as a whole, in one frame behind `at`: whether it is text,
    /// and its payload. `None` if anything else is here.
    fn short_message(
        &self,
        input: &mut [u8],
        at: usize,
    ) -> Result<Option<(bool, Range<usize>)>, ProtocolError> {
        let Some(&[first @ (0x81 | 0x82), second @ 0x80..=0xfd, a, b, c, d]) =
            input[at..].first_chunk::<SHORT_HEADER>()
        else {
            return Ok(None);
        };
        let start = at + SHORT_HEADER;
        let range = start..start + usize::from(second & 0x7f);
        let Some(payload) = input.get_mut(range.clone()) else {
            return Ok(None);
        };
        if !self.is_between_messages() || self.name.is_some() {
            return Ok(None);
        }
        unmask(payload, &mut [a, b, c, d]);
        let text = first == 0x81;
        let mut utf8 = Utf8::new();
        if text && !(utf8.push(payload) && utf8.is_whole()) {
            return Err(ProtocolError::BadUtf8);
        }
        Ok(Some((text, range)))
    }

    /// Reads the next event, whatever it is.
    #[inline(never)]
    fn next_part(&mut self, input: &mut [u8], at: &mut usize) -> Result<Event, ProtocolError> {
        // A fragment may be empty, and so may be any number after it.
        loop {
            if self.frame.is_none() {
                match self.read_header(&input[*at..])? {
                    (used, None) => {
                        *at += used;
                        return Ok(Event::Starved);
                    }
                    (used, frame) => {
                        *at += used;
                        self.frame = frame;
                    }
                }
            }
            if let (Some(length), Some(text)) = (self.start.take(), self.message) {
                return Ok(Event::Start { text, length });
            }
            let Some(frame) = self.frame.as_mut() else {
                return Ok(Event::Starved);
            };
            let available = input.len() - *at;
            let take = usize::try_from(frame.left).map_or(available, |left| left.min(available));
            let range = *at..*at + take;
            *at += take;
            unmask(&mut input[range.clone()], &mut frame.key);
            frame.left -= take as u64;
            let whole = frame.left == 0;
            match frame.opcode {
                OpCode::Control(kind) => {
                    self.control.push(&input[range]);
                    if !whole {
                        return Ok(Event::Starved);
                    }
                    self.frame = None;
                    return control_event(kind, self.control.bytes());
                }
                OpCode::Data(_) => {
                    let last = frame.last;
                    let text = self.message == Some(true);
                    if text && !self.utf8.push(&input[range.clone()]) {
                        return Err(ProtocolError::BadUtf8);
                    }
                    if take > 0 {
                        // The next call returns the end, if it is here, and takes no bytes.
                        return Ok(Event::Payload(range));
                    }
                    if !whole {
                        return Ok(Event::Starved);
                    }
                    self.frame = None;
                    if !last {
                        continue;
                    }
                    self.message = None;
                    if text && !self.utf8.is_whole() {
                        return Err(ProtocolError::BadUtf8);
                    }
                    return Ok(Event::End);
                }
            }
        }
    }

    /// Whether nothing has been read of the next message: no frame and no fragment has begun.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// The payload of the ping that the last event was.
    pub fn control(&self) -> &ControlPayload {
        &self.control
    }

    /// Begins a message, whose length is known if its first frame is its last.
    fn start_message(&mut self, kind: Data, length: Option<u64>) {
        self.message = Some(kind == Data::Text);
        self.utf8 = Utf8::default();
        self.start = Some(length);
    }

    /// Collects a header, of which some bytes may have come earlier.
    fn read_header(&mut self, input: &[u8]) -> Result<(usize, Option<Frame>), ProtocolError> {
        let mut used = 0;
        loop {
            let needed = header_len(&self.header[..self.header_len])?;
            let missing = needed - self.header_len;
            if missing == 0 {
                break;
            }
            let take = missing.min(input.len() - used);
            if take == 0 {
                return Ok((used, None));
            }
            self.header[self.header_len..self.header_len + take]
                .copy_from_slice(&input[used..used + take]);
            self.header_len += take;
            used += take;
        }
        let mut cursor = Cursor::new(&self.header[..self.header_len]);
        let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) else {
            return Err(ProtocolError::ReservedOpcode(self.header[0] & 0x0f));
        };
        // Section 5.2: the shortest form only.
        let shortest = match length {
            0..=125 => SHORT_HEADER,
            126..=0xffff => 8,
            _ => MAX_HEADER,
        };
        if self.header_len > shortest {
            return Err(ProtocolError::PaddedLength(length));
        }
        self.header_len = 0;
        if let Some(name) = &self.name {
            let (opcode, last) = (header.opcode, header.is_final);
            trace!("{name} sends {}", Summary(opcode, last, length));
        }
        self.begin(&header, length).map(|frame| (used, Some(frame)))
    }

    /// Checks a header against the frames before it (section 5.4).
    fn begin(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, ProtocolError> {
        let key = header.mask.ok_or(ProtocolError::Unmasked)?;
        if length > i64::MAX as u64 {
            return Err(ProtocolError::LengthOverflow(length));
        }
        match header.opcode {
            OpCode::Control(_) => {
                if length > MAX_CONTROL_PAYLOAD as u64 {
                    return Err(ProtocolError::LongControl);
                }
                self.control.len = 0;
            }
            OpCode::Data(Data::Continue) => {
                if self.message.is_none() {
                    return Err(ProtocolError::NothingToContinue);
                }
            }
            OpCode::Data(kind) => {
                if self.message.is_some() {
                    return Err(ProtocolError::UnfinishedMessage);
                }
                self.start_message(kind, header.is_final.then_some(length));
            }
        }
        Ok(Frame {
            opcode: header.opcode,
            last: header.is_final,
            key,
            left: length,
        })
    }
}

/// Length of the header that begins with `bytes`, as far as they show it; checks these bytes.
fn header_len(bytes: &[u8]) -> Result<usize, ProtocolError> {
    if let Some(&first) = bytes.first() {
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = first & 0x0f;
        match OpCode::from(opcode) {
            OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
                return Err(ProtocolError::ReservedOpcode(opcode));
            }
            OpCode::Control(_) if first & 0x80 == 0 => {
                return Err(ProtocolError::FragmentedControl);
            }
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(2);
    };
    if second & 0x80 == 0 {
        return Err(ProtocolError::Unmasked);
    }
    Ok(match second & 0x7f {
        127 => 14,
        126 => 8,
        _ => 6,
    })
}

fn control_event(kind: Control, payload: &[u8]) -> Result<Event, ProtocolError> {
    match kind {
        Control::Ping => Ok(Event::Ping),
        Control::Pong => Ok(Event::Pong),
        Control::Close => close_code(payload).map(Event::Close),
        Control::Reserved(opcode) => Err(ProtocolError::ReservedOpcode(opcode)),
    }
}

/// The code in a Close's payload (sections 5.5.1 and 7.4).
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, ProtocolError> {
    match payload {
        [] => Ok(None),
        [_] => Err(ProtocolError::HalfCloseCode),
        [high, low, reason @ ..] => {
            let number = u16::from_be_bytes([*high, *low]);
            if !close::is_sendable(number) {
                return Err(ProtocolError::BadCloseCode(number));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(ProtocolError::BadUtf8);
            }
            Ok(Some(CloseCode::from(number)))
        }
    }
}

#[cfg(test)]
mod tests;
