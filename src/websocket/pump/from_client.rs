//! Running: reads the client's frames and delivers them until the client's direction is over.

use std::io;

use common::MessageType;
use log::{Level, debug, log_enabled};

use super::ending::ClientEnd;
use super::latch::Latch;
use super::patience::Patience;
use super::{Leave, Terms, is_silence};
use crate::client::frames::FrameWriter;
use crate::frame::{CloseCode, Decoder, Event};
use crate::system::reason::reason;
use crate::websocket::framing::{Delivery, Outlet, ToBackend};
pub(super) use left::Remainder;

mod left;

/// The client that is read, and what is noted of it.
pub(crate) struct Source<'a> {
    pub(crate) writer: &'a FrameWriter,
    pub(crate) terms: &'a Terms,
    /// Gets the type of its messages.
    pub(crate) kind: &'a MessageType,
    /// Notes that payload has come.
    pub(crate) moves: &'a Latch,
}

/// The state of the client's thread.
pub(crate) struct FromClient<'a> {
    source: Source<'a>,
    decoder: Decoder,
    out: ToBackend<'a>,
    /// The backend takes no more; the client's frames are still read, for its Close.
    dropping: bool,
    /// Reads in a row in which there were pongs and nothing else.
    pongs: u32,
}

impl<'a> FromClient<'a> {
    /// Delivers to `outlet`, where `count` bytes of the client went before.
    pub(crate) fn new(source: Source<'a>, outlet: &'a dyn Outlet, count: u64) -> Self {
        let decoder = match log_enabled!(Level::Trace) {
            true => Decoder::default().traced(&format!("{:#}", source.writer.client())),
            false => Decoder::default(),
        };
        let terms = source.terms;
        Self {
            decoder,
            out: ToBackend::new(outlet, &terms.config, terms.clients.budget(), count),
            source,
            dropping: false,
            pongs: 0,
        }
    }

    /// Bytes delivered so far.
    pub(crate) fn count(&self) -> u64 {
        self.out.count()
    }

    /// Reads and delivers until the end, or until the client is silent or the backend does not read.
    pub(crate) fn copy(&mut self, patience: &mut Patience<'_>) -> Leave<ClientEnd> {
        if self.is_stuck() {
            self.send_kept();
        }
        let leave = self.read_client(patience);
        if let Leave::Over(_) = leave {
            while self.is_stuck() && self.out.send_kept().is_ok() {}
        }
        leave
    }

    fn read_client(&mut self, patience: &mut Patience<'_>) -> Leave<ClientEnd> {
        let writer = self.source.writer;
        loop {
            if self.dropping {
                self.out.discard();
            }
            if self.is_stuck() {
                if !writer.client().has_left() {
                    return Leave::Silent;
                }
                // Nothing more will wake it, and its connection is about to end.
                patience.end();
                match self.send_kept() {
                    Some(end) => return Leave::Over(end),
                    None => continue,
                }
            }
            if !patience.may_read(|| self.is_empty(), || writer.client().is_readable()) {
                writer.begin_silence();
                return Leave::Silent;
            }
            let (buffer, start) = match self.out.space() {
                Ok(space) => space,
                Err(delivery) => match self.undelivered(delivery) {
                    Some(end) => return Leave::Over(end),
                    None => continue,
                },
            };
            let space = buffer.len() - start;
            let read = writer.read(&mut buffer[start..]);
            patience.has_read();
            match read {
                Ok(0) => return Leave::Over(self.vanished()),
                Ok(count) => {
                    if let Some(end) = self.decode(start, start + count) {
                        return Leave::Over(end);
                    }
                    self.out.adapt(count, space);
                    let traffic = self.source.writer.client().traffic();
                    traffic.to_backend.set(self.out.count());
                    if self.is_only_there() && patience.is_over(|| self.is_empty()) {
                        writer.begin_silence();
                        return Leave::Silent;
                    }
                }
                Err(error) if is_silence(&error) => {
                    if patience.is_over(|| self.is_empty()) {
                        return Leave::Silent;
                    }
                }
                Err(_) => return Leave::Over(self.vanished()),
            }
        }
    }

    /// Whether the client has answered pings, one each `ping` of silence, and said nothing else, for
    /// as long as a silent direction keeps its thread.
    fn is_only_there(&self) -> bool {
        let terms = self.source.terms;
        self.pongs > 0
            && terms
                .park
                .is_some_and(|park| terms.ping * self.pongs >= park)
    }

    /// Whether another could take its place: nothing is half read or held, and nothing owed for which
    /// nobody waits.
    fn is_empty(&self) -> bool {
        let writer = self.source.writer;
        self.decoder.is_between_messages()
            && self.out.is_empty()
            && !self.dropping
            && (!writer.is_owing() || writer.is_split())
            && !writer.client().holds_input()
    }

    fn vanished(&mut self) -> ClientEnd {
        let _ = self.out.finish();
        ClientEnd::Vanished
    }

    /// Acts on the client's bytes in the buffer, all of them.
    fn decode(&mut self, mut at: usize, end: usize) -> Option<ClientEnd> {
        let pongs = std::mem::take(&mut self.pongs);
        let (mut has_pong, mut has_other) = (false, false);
        loop {
            let event = match self.decoder.next(self.out.input(end), &mut at) {
                Ok(event) => event,
                Err(error) => {
                    let client = self.source.writer.client();
                    debug!("{client:#} broke the protocol: {error}");
                    let _ = self.out.broken();
                    return Some(ClientEnd::Failed(error.close_code().into()));
                }
            };
            match event {
                Event::Starved => {}
                Event::Pong => has_pong = true,
                _ => has_other = true,
            }
            let delivered = match event {
                Event::Starved => break,
                Event::Ping => {
                    self.source.writer.pong(*self.decoder.control());
                    Ok(())
                }
                Event::Pong => Ok(()),
                Event::Close(code) => {
                    let _ = self.out.broken();
                    return Some(ClientEnd::Close(code));
                }
                _ if self.dropping => Ok(()),
                Event::Message { text, payload } => {
                    self.source.kind.set(text);
                    if !payload.is_empty() {
                        self.source.moves.moved();
                    }
                    self.out.message(text, payload)
                }
                Event::Start { text, length } => {
                    self.source.kind.set(text);
                    self.out.start(text, length)
                }
                Event::Payload(range) => {
                    // Only data counts: control frames alone do not keep a backend.
                    self.source.moves.moved();
                    self.out.payload(range)
                }
                Event::End => self.out.end(),
            };
            if let Err(delivery) = delivered
                && let Some(end) = self.undelivered(delivery)
            {
                return Some(end);
            }
        }
        if has_pong && !has_other {
            self.pongs = pongs.saturating_add(1);
        }
        if self.dropping {
            return None;
        }
        match self.out.pause() {
            Ok(()) => None,
            Err(delivery) => self.undelivered(delivery),
        }
    }

    /// Turns a failed delivery into an end, or into dropping the rest. The thread that reads the
    /// backend finds out whether it ended or failed.
    fn undelivered(&mut self, delivery: Delivery) -> Option<ClientEnd> {
        match delivery {
            Delivery::Stuck => None,
            Delivery::TooBig => Some(ClientEnd::Failed(CloseCode::Size)),
            Delivery::NoMemory => Some(ClientEnd::Failed(CloseCode::Again)),
            Delivery::Backend(error) if error.kind() == io::ErrorKind::TimedOut => {
                Some(ClientEnd::Vanished)
            }
            Delivery::Backend(error) => {
                let client = self.source.writer.client();
                debug!(
                    "{client:#}: the backend takes no more bytes: {}",
                    reason(&error)
                );
                self.dropping = true;
                None
            }
        }
    }
}
