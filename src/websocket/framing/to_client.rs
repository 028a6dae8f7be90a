//! Running, backend to client: makes messages of bytes.

use common::{MessageType, check_utf8};

use super::kept::Kept;
use super::{
    BINARY, Boundary, Frames, LARGE_BUFFER, PACKET, PREFIX, SMALL_BUFFER, TEXT, next_size,
};
use crate::client::frames::SendError;
use crate::config::{FrameType, ServiceConfig};
use crate::frame::{Data, OpCode};
use crate::system::budget::{Budget, Share};
pub(crate) use left::Left;

mod left;

/// Payloads up to this many bytes are copied behind their header; longer ones are gathered.
const COPY_LIMIT: usize = 4 << 10;

/// Why the backend's bytes cannot be forwarded.
#[derive(Debug)]
pub(crate) enum Forward {
    /// The client takes no more.
    Send(SendError),
    /// Bytes that must go as text are not UTF-8.
    BadText,
    /// A message that must be held whole is longer than `maxmessage`.
    TooBig,
    /// A message must be held, and the server's clients hold `maxmemory` already.
    NoMemory,
    /// The backend's `length` prefix has this opcode byte.
    BadOpcode(u8),
    /// The backend ended within what its `length` prefix announced.
    Cut,
}

impl From<SendError> for Forward {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

/// Makes frames of what the backend sends.
pub(crate) struct ToClient<'a> {
    writer: &'a dyn Frames,
    boundary: Boundary,
    frame_type: FrameType,
    /// What the client expects (`frametype = "auto"`). Without it, each message decides for itself.
    kind: Option<&'a MessageType>,
    max_message: usize,
    buffer: Vec<u8>,
    /// What the buffer has grown by.
    memory: Share<'a>,
    /// What `held` takes.
    held_memory: Share<'a>,
    /// Bytes at the front of the buffer that wait for more: a cut character, or a long write.
    carried: usize,
    /// The backend's write may be longer than the buffer it was read into.
    filling: bool,
    small_reads: u8,
    /// The message that has begun: it goes out whole, as one frame.
    held: Option<Vec<u8>>,
    prefix: [u8; PREFIX],
    prefix_len: usize,
    /// Payload of a `length` message still to come.
    left: usize,
    /// Frames that wait to be written together.
    frames: Vec<u8>,
    /// Frames that the client has not taken in time.
    kept: Kept<'a>,
    count: u64,
}

impl<'a> ToClient<'a> {
    /// Sends to `writer` as `config` says, after `count` bytes that went to it before.
    pub(crate) fn new(
        writer: &'a dyn Frames,
        is_packet: bool,
        config: &ServiceConfig,
        kind: Option<&'a MessageType>,
        budget: &'a Budget,
        count: u64,
    ) -> Self {
        let boundary = Boundary::of(config, is_packet);
        let size = match boundary {
            // One byte more than a packet may have shows a packet that was cut.
            Boundary::Packet => PACKET + 1,
            _ => SMALL_BUFFER,
        };
        Self {
            writer,
            boundary,
            frame_type: config.frame_type,
            kind,
            max_message: config.max_message,
            buffer: vec![0; size],
            memory: Share::new(budget),
            held_memory: Share::new(budget),
            carried: 0,
            filling: false,
            small_reads: 0,
            held: None,
            prefix: [0; PREFIX],
            prefix_len: 0,
            left: 0,
            frames: Vec::new(),
            kept: Kept::new(budget, false),
            count,
        }
    }

    /// Whether nothing is held: a new one could take its place.
    pub(crate) fn is_empty(&self) -> bool {
        self.carried == 0 && self.held.is_none() && self.prefix_len == 0 && self.frames.is_empty()
    }

    /// The bytes that are held, as they came, unless it [is filling](Self::is_filling).
    #[cfg(feature = "share")]
    pub(crate) fn begun(&self) -> Vec<u8> {
        let held = self.held.as_deref().unwrap_or_default();
        let carried = &self.buffer[..self.carried];
        [&self.prefix[..self.prefix_len], held, carried].concat()
    }

    /// Goes on with bytes that another one has held.
    ///
    /// # Errors
    /// See [`Forward`].
    #[cfg(feature = "share")]
    pub(crate) fn begin_with(&mut self, mut bytes: &[u8]) -> Result<(), Forward> {
        while !bytes.is_empty() {
            let space = self.space();
            let (now, later) = bytes.split_at(space.len().min(bytes.len()));
            space[..now.len()].copy_from_slice(now);
            self.forward(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Payload bytes sent so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Where the backend's next bytes go.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.carried..]
    }

    /// Whether a write of the backend has filled the buffer. The rest of it that is already there
    /// is then read before any of it is sent, so that it stays one message if the largest buffer
    /// holds it.
    pub(crate) fn is_filling(&self) -> bool {
        self.filling
    }

    /// Forwards the `count` bytes that were read into `space`.
    ///
    /// # Errors
    /// See [`Forward`].
    pub(crate) fn forward(&mut self, count: usize) -> Result<(), Forward> {
        let end = self.carried + count;
        let space = self.buffer.len() - self.carried;
        self.filling = self.boundary == Boundary::None
            && count == space
            && self.buffer.len() < LARGE_BUFFER
            && self.adapt(count, space);
        if self.filling {
            self.carried = end;
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = match self.boundary {
            Boundary::None => self.stream(&mut buffer[..end]),
            Boundary::Byte(byte) => self.runs(&buffer[..end], byte),
            Boundary::CrLf => self.runs(&buffer[..end], b'\n'),
            Boundary::Length => self.lengths(&buffer[..end]),
            Boundary::Packet => self.piece(&buffer[..end], end != PACKET, None),
        };
        self.buffer = buffer;
        match result {
            Err(Forward::Send(error)) => return Err(Forward::Send(error)),
            // Messages before a bad one go out.
            result => self.flush().and(result)?,
        }
        self.adapt(count, space);
        Ok(())
    }

    /// Fits the buffer to the backend; returns whether it has grown. A buffer for packets keeps its
    /// size.
    fn adapt(&mut self, count: usize, space: usize) -> bool {
        if self.boundary == Boundary::Packet {
            return false;
        }
        let size = self.buffer.len();
        let next = next_size(size, count, space, &mut self.small_reads);
        if next == size || !self.memory.resize(next - SMALL_BUFFER) {
            return false;
        }
        self.buffer.resize(next, 0);
        if next < size {
            self.buffer.shrink_to_fit();
            self.frames = Vec::new();
        }
        next > size
    }

    /// Sends what the backend had begun when it ended its output.
    ///
    /// # Errors
    /// See [`Forward`].
    pub(crate) fn end(&mut self) -> Result<(), Forward> {
        if self.filling {
            self.forward(0)?;
        }
        if self.carried > 0 {
            let carried = self.buffer[..std::mem::take(&mut self.carried)].to_vec();
            if self.frame_type == FrameType::Text {
                return Err(Forward::BadText);
            }
            self.frame(Data::Binary, &carried)?;
        }
        if self.boundary == Boundary::Length {
            return match self.prefix_len {
                0 => Ok(()),
                _ => Err(Forward::Cut),
            };
        }
        if self.held.is_some() {
            self.piece(&[], true, None)?;
        }
        self.flush()
    }

    /// Makes one message of one read; a character that the read has cut waits for its rest.
    fn stream(&mut self, bytes: &mut [u8]) -> Result<(), Forward> {
        self.carried = 0;
        if !self.wants_text(bytes) {
            return self.frame(Data::Binary, bytes);
        }
        let valid = match check_utf8(bytes) {
            Ok(()) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) if self.frame_type == FrameType::Text => return Err(Forward::BadText),
            Err(_) => return self.frame(Data::Binary, bytes),
        };
        if valid > 0 {
            self.frame(Data::Text, &bytes[..valid])?;
        }
        bytes.copy_within(valid.., 0);
        self.carried = bytes.len() - valid;
        Ok(())
    }

    /// Makes one message of each run that `end` ends.
    fn runs(&mut self, mut bytes: &[u8], end: u8) -> Result<(), Forward> {
        while let Some(len) = bytes.iter().position(|&byte| byte == end) {
            self.piece(&bytes[..len], true, None)?;
            bytes = &bytes[len + 1..];
        }
        match bytes {
            [] => Ok(()),
            _ => self.piece(bytes, false, None),
        }
    }

    /// Reads the length and opcode of each message from its prefix.
    fn lengths(&mut self, mut bytes: &[u8]) -> Result<(), Forward> {
        while !bytes.is_empty() {
            if self.prefix_len < PREFIX {
                let take = (PREFIX - self.prefix_len).min(bytes.len());
                self.prefix[self.prefix_len..self.prefix_len + take]
                    .copy_from_slice(&bytes[..take]);
                self.prefix_len += take;
                bytes = &bytes[take..];
                if self.prefix_len < PREFIX {
                    return Ok(());
                }
                let [a, b, c, d, opcode] = self.prefix;
                if !matches!(opcode, TEXT | BINARY) {
                    return Err(Forward::BadOpcode(opcode));
                }
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                if self.left > self.max_message {
                    return Err(Forward::TooBig);
                }
            }
            let take = self.left.min(bytes.len());
            self.left -= take;
            if take > 0 || self.left == 0 {
                let last = self.left == 0;
                self.piece(&bytes[..take], last, Some(self.prefix[4] == TEXT))?;
                if last {
                    self.prefix_len = 0;
                }
            }
            bytes = &bytes[take..];
        }
        Ok(())
    }

    /// Sends a whole message, or holds its beginning.
    fn piece(&mut self, bytes: &[u8], last: bool, text: Option<bool>) -> Result<(), Forward> {
        let held = self.held.take();
        if held.as_ref().map_or(0, Vec::len) + bytes.len() > self.max_message {
            return Err(Forward::TooBig);
        }
        if last && held.is_none() {
            return self.message(bytes, text);
        }
        let mut held = held.unwrap_or_default();
        self.reserve(&mut held, bytes.len())?;
        held.extend_from_slice(bytes);
        if last {
            let sent = self.message(&held, text);
            self.held_memory.clear();
            return sent;
        }
        self.held = Some(held);
        Ok(())
    }

    /// Makes space for this many bytes more of a held message, if the server's memory suffices.
    fn reserve(&mut self, held: &mut Vec<u8>, bytes: usize) -> Result<(), Forward> {
        let needed = held.len() + bytes;
        if needed <= held.capacity() {
            return Ok(());
        }
        let ample = needed.max(2 * held.capacity()).min(self.max_message);
        for capacity in [ample, needed] {
            if self.held_memory.resize(capacity) {
                held.reserve_exact(capacity - held.len());
                return Ok(());
            }
        }
        Err(Forward::NoMemory)
    }

    /// Sends a whole message. `text` is its type where the backend gives one.
    fn message(&mut self, bytes: &[u8], text: Option<bool>) -> Result<(), Forward> {
        let bytes = match self.boundary {
            Boundary::CrLf => bytes.strip_suffix(b"\r").unwrap_or(bytes),
            _ => bytes,
        };
        let must_be_text = text == Some(true) || self.frame_type == FrameType::Text;
        let kind = if !text.unwrap_or_else(|| self.wants_text(bytes)) {
            Data::Binary
        } else if check_utf8(bytes).is_ok() {
            Data::Text
        } else if must_be_text {
            return Err(Forward::BadText);
        } else {
            Data::Binary
        };
        self.frame(kind, bytes)
    }

    fn wants_text(&self, bytes: &[u8]) -> bool {
        match self.frame_type {
            FrameType::Text => true,
            FrameType::Binary => false,
            FrameType::Auto => match self.kind {
                Some(kind) => kind.is_text(bytes),
                None => MessageType::unknown().is_text(bytes),
            },
        }
    }

    fn frame(&mut self, kind: Data, payload: &[u8]) -> Result<(), Forward> {
        let header = self.writer.header(OpCode::Data(kind), payload.len());
        self.count += payload.len() as u64;
        if payload.len() > COPY_LIMIT {
            let pieces = [&self.frames, header.bytes(), payload];
            self.kept.send(self.writer, &pieces)?;
            self.frames.clear();
            return Ok(());
        }
        self.frames.extend_from_slice(header.bytes());
        self.frames.extend_from_slice(payload);
        match self.frames.len() > LARGE_BUFFER {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Forward> {
        if !self.frames.is_empty() {
            self.kept.send(self.writer, &[&self.frames])?;
            self.frames.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
