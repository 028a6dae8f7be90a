//! Running, client to backend: makes bytes of messages.

use std::io;

use super::kept::Kept;
use super::{
    BINARY, Boundary, LARGE_BUFFER, Outlet, PACKET, PREFIX, SMALL_BUFFER, TEXT, next_size,
};
use crate::config::ServiceConfig;
use crate::system::budget::{Budget, Share};
pub(crate) use left::Undelivered;

mod left;

/// Why a message was not delivered.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The backend takes no more bytes.
    Backend(io::Error),
    /// The message is longer than `maxmessage` and would have to be held whole.
    TooBig,
    /// The message must be held, and the server's clients hold `maxmemory` already.
    NoMemory,
    /// Nothing more can be taken until the backend takes what waits for it.
    Stuck,
}

impl Delivery {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::NoMemory,
            _ => Self::Backend(error),
        }
    }
}

/// Collects payload at the front of a buffer; the client's next bytes are read into the rest of it.
/// A message that fits the buffer is one write, a longer one streams.
pub(crate) struct ToBackend<'a> {
    backend: &'a dyn Outlet,
    boundary: Boundary,
    merge: bool,
    /// Each message is one write of nothing but its payload.
    is_plain: bool,
    max_message: usize,
    buffer: Vec<u8>,
    /// What the buffer has grown by.
    memory: Share<'a>,
    /// Payload at the front of the buffer, not yet written.
    held: usize,
    small_reads: u8,
    /// How much of it belongs to messages that are whole (`merge`).
    whole: usize,
    /// The message is longer than the buffer: its payload goes out as it comes.
    streaming: bool,
    /// The `length` prefix, until it is written.
    prefix: Option<[u8; PREFIX]>,
    text: bool,
    /// The message must be held whole: others write to the backend as well, or `length` and its
    /// length not known.
    holding: bool,
    /// What the backend has not taken in time.
    kept: Kept<'a>,
    /// Bytes written, or kept.
    count: u64,
}

impl<'a> ToBackend<'a> {
    /// Delivers to `backend` as `config` says, after `count` bytes that went to it before.
    pub(crate) fn new(
        backend: &'a dyn Outlet,
        config: &ServiceConfig,
        budget: &'a Budget,
        count: u64,
    ) -> Self {
        let boundary = Boundary::of(config, backend.is_packet());
        let is_stream = boundary == Boundary::None && !backend.is_shared();
        Self {
            backend,
            boundary,
            merge: config.merge && is_stream,
            is_plain: !config.merge && is_stream,
            max_message: config.max_message,
            buffer: vec![0; SMALL_BUFFER],
            memory: Share::new(budget),
            held: 0,
            small_reads: 0,
            whole: 0,
            streaming: false,
            prefix: None,
            text: true,
            holding: false,
            kept: Kept::new(budget, boundary == Boundary::Packet),
            count,
        }
    }

    /// Whether nothing is held: a new one could take its place.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0 && !self.holding && self.prefix.is_none()
    }

    /// Bytes delivered so far.
    pub(crate) fn count(&self) -> u64 {
        self.count - self.kept.len() as u64
    }

    /// The buffer, and where in it the client's next bytes go. Not to be called while
    /// [bytes wait](Self::is_stuck).
    ///
    /// # Errors
    /// As [`Delivery`]: held bytes may have to be written first.
    pub(crate) fn space(&mut self) -> Result<(&mut [u8], usize), Delivery> {
        if self.held == self.buffer.len() {
            let has_grown = (self.holding || self.buffer.len() < LARGE_BUFFER) && self.grow();
            if !has_grown {
                if self.holding || self.boundary == Boundary::Packet && self.held < PACKET {
                    return Err(Delivery::NoMemory);
                }
                self.streaming = true;
                self.stream()?;
                if self.is_stuck() {
                    return Err(Delivery::Stuck);
                }
            }
        }
        if self.held == 0 && self.buffer.len() > LARGE_BUFFER {
            self.resize(LARGE_BUFFER);
        }
        let at = self.held;
        Ok((&mut self.buffer, at))
    }

    /// The buffer up to `end`, where the client's bytes end.
    pub(crate) fn input(&mut self, end: usize) -> &mut [u8] {
        &mut self.buffer[..end]
    }

    /// Fits the buffer to the client, after a read of `count` bytes into `space`.
    pub(crate) fn adapt(&mut self, count: usize, space: usize) {
        let size = self.buffer.len();
        let next = next_size(size, count, space, &mut self.small_reads);
        if next != size && self.held <= next {
            self.resize(next);
        }
    }

    /// Makes the buffer so long; false if the server's memory does not suffice.
    fn resize(&mut self, len: usize) -> bool {
        if !self.memory.resize(len.saturating_sub(SMALL_BUFFER)) {
            return false;
        }
        let shrinks = len < self.buffer.len();
        self.buffer.resize(len, 0);
        if shrinks {
            self.buffer.shrink_to_fit();
        }
        true
    }

    /// Grows the buffer, at most to the longest message and the next frame header. Returns false if
    /// the server's memory does not suffice.
    fn grow(&mut self) -> bool {
        let most = match self.holding {
            true => self.max_message.saturating_add(SMALL_BUFFER),
            false => LARGE_BUFFER,
        };
        let len = self
            .buffer
            .len()
            .saturating_mul(4)
            .min(most.max(LARGE_BUFFER));
        let least = self.held + SMALL_BUFFER;
        self.resize(len.max(least)) || self.resize(least)
    }

    /// A message begins; `length` is known unless it is fragmented.
    ///
    /// # Errors
    /// `TooBig` where its length must be known and is above `maxmessage`.
    pub(crate) fn start(&mut self, text: bool, length: Option<u64>) -> Result<(), Delivery> {
        self.text = text;
        // A message known to be longer than any buffer is not held at all.
        self.streaming = length.is_some_and(|length| length > LARGE_BUFFER as u64);
        if self.backend.is_shared() {
            self.streaming = false;
            self.holding = true;
            return match length {
                Some(length) if length > self.max_message as u64 => Err(Delivery::TooBig),
                _ => Ok(()),
            };
        }
        if self.boundary == Boundary::Length {
            match length {
                Some(length) if length > self.max_message as u64 => return Err(Delivery::TooBig),
                Some(length) => self.prefix = Some(prefix(length as usize, text)),
                None => self.holding = true,
            }
        }
        Ok(())
    }

    /// Takes payload that lies in the buffer behind the held bytes.
    ///
    /// # Errors
    /// `TooBig` when the message must be held and is longer than `maxmessage`.
    pub(crate) fn payload(&mut self, range: std::ops::Range<usize>) -> Result<(), Delivery> {
        let len = range.len();
        if range.start != self.held {
            self.buffer.copy_within(range, self.held);
        }
        self.held += len;
        if self.holding && self.held > self.max_message {
            return Err(Delivery::TooBig);
        }
        Ok(())
    }

    /// Takes a whole message whose payload lies in the buffer behind the held bytes: `start`,
    /// `payload` and `end` in one, for a message that is shorter than any buffer.
    ///
    /// # Errors
    /// Those of the three.
    pub(crate) fn message(
        &mut self,
        text: bool,
        range: std::ops::Range<usize>,
    ) -> Result<(), Delivery> {
        if !self.is_plain {
            self.start(text, Some(range.len() as u64))?;
            self.payload(range)?;
            return self.end();
        }
        self.streaming = false;
        if range.is_empty() {
            return Ok(());
        }
        let message = &self.buffer[range];
        let sent = self.kept.send(self.backend, &[message]);
        sent.map_err(Delivery::of)?;
        self.count += message.len() as u64;
        Ok(())
    }

    /// The message is whole.
    ///
    /// # Errors
    /// As [`Delivery`].
    pub(crate) fn end(&mut self) -> Result<(), Delivery> {
        self.whole = self.held;
        let was_holding = std::mem::take(&mut self.holding);
        match self.boundary {
            // Written by `pause`, together with its neighbours.
            Boundary::None if self.merge => Ok(()),
            Boundary::None => self.write(&[]),
            Boundary::Byte(byte) => self.write(&[byte]),
            Boundary::CrLf => self.write(b"\r\n"),
            Boundary::Length => {
                if was_holding {
                    self.prefix = Some(prefix(self.held, self.text));
                }
                self.write(&[])
            }
            // It makes the packets itself, so that those of others do not come between.
            Boundary::Packet if self.backend.is_shared() => self.write(&[]),
            Boundary::Packet => {
                self.write_packets()?;
                self.write_packet(self.held)
            }
        }
    }

    /// Writes what need not wait for more, when all bytes read have been decoded.
    ///
    /// # Errors
    /// As [`Delivery`].
    pub(crate) fn pause(&mut self) -> Result<(), Delivery> {
        if self.holding {
            return Ok(());
        }
        if self.boundary == Boundary::Packet {
            self.write_packets()
        } else if self.streaming || self.merge {
            self.stream()
        } else {
            Ok(())
        }
    }

    /// Ends after the client has gone, perhaps within a message: a byte stream gets its beginning.
    ///
    /// # Errors
    /// As [`Delivery`].
    pub(crate) fn finish(&mut self) -> Result<(), Delivery> {
        match self.boundary {
            Boundary::None if !self.backend.is_shared() => self.write(&[]),
            _ => Ok(()),
        }
    }

    /// Delivers the messages that were whole before the client broke a rule or closed.
    ///
    /// # Errors
    /// As [`Delivery`].
    pub(crate) fn broken(&mut self) -> Result<(), Delivery> {
        self.held = self.whole;
        match self.merge {
            true => self.write(&[]),
            false => Ok(()),
        }
    }

    /// Drops the held bytes, and those that wait.
    pub(crate) fn discard(&mut self) {
        if self.is_stuck() {
            self.count = self.count();
            self.kept.clear();
        }
        self.held = 0;
        self.whole = 0;
        self.holding = false;
        self.streaming = true;
    }

    fn stream(&mut self) -> Result<(), Delivery> {
        match self.boundary {
            Boundary::Packet => self.write_packets(),
            _ => self.write(&[]),
        }
    }

    /// Writes the held bytes behind their prefix and with `suffix`, in one call.
    fn write(&mut self, suffix: &[u8]) -> Result<(), Delivery> {
        let held = &self.buffer[..self.held];
        let (first, second): (&[u8], &[u8]) = match &self.prefix {
            Some(prefix) => (prefix, held),
            None => (held, suffix),
        };
        let is_packet = self.boundary == Boundary::Packet;
        if first.is_empty() && second.is_empty() && !is_packet {
            return Ok(());
        }
        let sent = self.kept.send(self.backend, &[first, second]);
        sent.map_err(Delivery::of)?;
        self.count += (first.len() + second.len()) as u64;
        self.prefix = None;
        self.held = 0;
        self.whole = 0;
        Ok(())
    }

    /// Writes all packets that are full.
    fn write_packets(&mut self) -> Result<(), Delivery> {
        while self.held >= PACKET {
            self.write_packet(PACKET)?;
        }
        Ok(())
    }

    fn write_packet(&mut self, len: usize) -> Result<(), Delivery> {
        let sent = self.kept.send(self.backend, &[&self.buffer[..len]]);
        sent.map_err(Delivery::of)?;
        self.count += len as u64;
        self.buffer.copy_within(len..self.held, 0);
        self.held -= len;
        self.whole = 0;
        Ok(())
    }
}

/// The prefix of a message in `framing = "length"`. `maxmessage` keeps lengths below 2^32.
fn prefix(length: usize, text: bool) -> [u8; PREFIX] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [a, b, c, d, if text { TEXT } else { BINARY }]
}

#[cfg(test)]
mod tests;
