//! Running: the client's frames, read and delivered until its direction is over.

use std::io;
use std::sync::atomic::Ordering;

use log::debug;

use super::{ClientEnd, Pump};
use crate::frame::{CloseCode, Decoder, Event};
use crate::websocket::framing::{Delivery, ToBackend};

/// What the client's thread is at.
pub(super) struct FromClient<'a, G> {
    pump: &'a Pump<'a>,
    decoder: Decoder,
    out: ToBackend<'a, G>,
    /// The backend takes no more; the client's frames are still read, for its Close.
    dropping: bool,
}

impl<'a, G: Fn() -> bool> FromClient<'a, G> {
    /// `go_on` is asked when the backend takes no bytes for long: wait on?
    pub(super) fn new(pump: &'a Pump<'a>, go_on: G) -> Self {
        Self {
            pump,
            decoder: Decoder::default(),
            out: ToBackend::new(pump.backend, pump.config, go_on),
            dropping: false,
        }
    }

    /// Bytes delivered so far.
    pub(super) fn count(&self) -> u64 {
        self.out.count()
    }

    /// Reads and delivers until the end.
    pub(super) fn copy(&mut self) -> ClientEnd {
        loop {
            if self.dropping {
                self.out.discard();
            }
            let (buffer, start) = match self.out.room() {
                Ok(room) => room,
                Err(delivery) => match self.undelivered(delivery) {
                    Some(end) => return end,
                    None => continue,
                },
            };
            let space = buffer.len() - start;
            match self.pump.writer.read(&mut buffer[start..]) {
                Ok(0) => return self.vanished(),
                Ok(count) => {
                    if let Some(end) = self.decode(start, start + count) {
                        return end;
                    }
                    self.out.adapt(count, space);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.vanished(),
            }
        }
    }

    fn vanished(&mut self) -> ClientEnd {
        let _ = self.out.finish();
        ClientEnd::Vanished
    }

    /// Acts on the client's bytes in the buffer, all of them.
    fn decode(&mut self, mut at: usize, end: usize) -> Option<ClientEnd> {
        loop {
            let event = match self.decoder.next(self.out.input(end), &mut at) {
                Ok(event) => event,
                Err(error) => {
                    debug!("client broke the protocol: {error}");
                    let _ = self.out.broken();
                    return Some(ClientEnd::Failed(error.close_code()));
                }
            };
            let delivered = match event {
                Event::Starved => break,
                Event::Ping(payload) => {
                    self.pump.writer.pong(payload);
                    Ok(())
                }
                Event::Pong => Ok(()),
                Event::Close(code) => {
                    let _ = self.out.broken();
                    return Some(ClientEnd::Close(code));
                }
                _ if self.dropping => Ok(()),
                Event::Start { text, length } => {
                    self.pump.client_sends_text.store(text, Ordering::Relaxed);
                    self.out.start(text, length)
                }
                Event::Payload(range) => {
                    // Nothing but data counts: control frames alone keep no backend.
                    self.pump.from_client.moved();
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
        if self.dropping {
            return None;
        }
        match self.out.pause() {
            Ok(()) => None,
            Err(delivery) => self.undelivered(delivery),
        }
    }

    /// What a failed delivery means: an end, or that the rest is dropped. Whether the backend
    /// ended or failed is told by reading it.
    fn undelivered(&mut self, delivery: Delivery) -> Option<ClientEnd> {
        match delivery {
            Delivery::TooBig => Some(ClientEnd::Failed(CloseCode::Size)),
            Delivery::Backend(error) if error.kind() == io::ErrorKind::TimedOut => {
                Some(ClientEnd::Vanished)
            }
            Delivery::Backend(error) => {
                debug!("backend takes no more bytes: {error}");
                self.dropping = true;
                None
            }
        }
    }
}
