//! Tests of `frame`: random streams, judged as tungstenite's own reader judges them.

use super::*;
use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    fn key(&mut self) -> [u8; 4] {
        [0; 4].map(|_: u8| self.below(256) as u8)
    }

    /// A few messages in fragments, with pings and pongs between them.
    fn stream(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + self.below(5) {
            let text = self.below(2) == 0;
            let len = [0, 1, 5, 126, 300, 0, 1, 5, 126, 300, 900, 66_000][self.below(12)];
            let payload = match text {
                true => "a\u{e9}\u{20ac}\u{1f600}".repeat(len / 10 + 1).into_bytes(),
                false => self.bytes(len),
            };
            let mut rest = &payload[..];
            let mut opcode = if text { 1 } else { 2 };
            loop {
                let whole = self.below(3) == 0;
                let take = if whole {
                    rest.len()
                } else {
                    self.below(rest.len() + 1)
                };
                let last = take == rest.len() && self.below(4) != 0;
                let first = opcode | if last { 0x80 } else { 0 };
                bytes.extend(frame(first, &rest[..take], self.key()));
                if self.below(4) == 0 {
                    let len = self.below(126);
                    let (kind, payload) = (0x89 + self.below(2) as u8, self.bytes(len));
                    bytes.extend(frame(kind, &payload, self.key()));
                }
                rest = &rest[take..];
                opcode = 0;
                if last {
                    break;
                }
            }
        }
        if self.below(2) == 0 {
            bytes.extend(frame(0x88, b"\x03\xe8bye", self.key()));
        }
        bytes
    }
}

/// Bytes to read; what is written is dropped.
struct Recording<'a>(&'a [u8]);

impl Read for Recording<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Recording<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a reader makes of a stream: whole messages and control frames, and whether it fails.
type Opinion = (Vec<Message>, bool);

fn tungstenite_says(bytes: &[u8]) -> Opinion {
    let config = WebSocketConfig::default();
    let mut reader = WebSocket::from_raw_socket(Recording(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match reader.read() {
            Ok(Message::Close(_)) => {
                messages.push(Message::Close(None));
                return (messages, false);
            }
            Ok(Message::Pong(_)) => messages.push(Message::Pong(Vec::new().into())),
            Ok(message) => messages.push(message),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (messages, false),
            // It limits frames to 16 MiB; we do not, and wait for the rest.
            Err(Error::Capacity(_)) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

fn we_say(bytes: &[u8], size: usize) -> (Opinion, Option<ProtocolError>) {
    let (told, error) = decode_in(bytes, size);
    let mut messages = Vec::new();
    let mut message = (false, Vec::new());
    for told in told {
        match told {
            Told::Start(text, _) => message = (text, Vec::new()),
            Told::Payload(payload) => message.1.extend(payload),
            Told::End => messages.push(match std::mem::take(&mut message) {
                (true, text) => Message::text(String::from_utf8(text).expect("checked")),
                (false, bytes) => Message::binary(bytes),
            }),
            Told::Ping(payload) => messages.push(Message::Ping(payload.into())),
            Told::Pong => messages.push(Message::Pong(Vec::new().into())),
            Told::Close(_) => messages.push(Message::Close(None)),
        }
    }
    ((messages, error.is_some()), error)
}

#[test]
fn random_streams_are_read_as_tungstenite_reads_them() {
    let mut random = Random(0x6f75_6973_7469_7469);
    for round in 0..200 {
        let bytes = random.stream();
        let theirs = tungstenite_says(&bytes);
        assert!(!theirs.1, "round {round} is a good stream");
        for size in [bytes.len(), 1 + random.below(bytes.len()), 13] {
            assert_eq!(we_say(&bytes, size).0, theirs, "round {round}, {size}");
        }
    }
}

#[test]
fn streams_with_a_flipped_bit_are_judged_as_tungstenite_judges_them() {
    let mut random = Random(0x7765_6273_6f63_6b65);
    for round in 0..2000 {
        let mut bytes = random.stream();
        // Near the front, where headers are dense.
        let at = random.below(bytes.len().min(64));
        bytes[at] ^= 1 << random.below(8);
        let (theirs, they_fail) = tungstenite_says(&bytes);
        let ((ours, _), error) = we_say(&bytes, 1 + random.below(bytes.len()));
        // They wait for a whole frame and take padded lengths, so they may fail later.
        let Some(error) = error else {
            assert_eq!((ours, false), (theirs, they_fail), "round {round}");
            continue;
        };
        assert!(theirs.starts_with(&ours), "round {round}: {error}");
    }
}
