//! The state machines against tungstenite, with random but repeatable frames.

#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read, Write};

use libwebsocket::receive::{Event, Receiver};
use libwebsocket::send::Sender;
use libwebsocket::{Opcode, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::OpCode;
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// Random numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Mostly short, now and then around the limits of the header's forms.
    fn length(&mut self) -> usize {
        match self.below(8) {
            0 => 120 + self.below(12),
            1 => 65_530 + self.below(12),
            2 => 0,
            _ => self.below(40),
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        let letters = ['a', '\u{e9}', '\u{20ac}', '\u{1f600}'];
        let text: String = (0..len).map(|_| letters[self.below(4)]).collect();
        text.into_bytes()
    }
}

/// A frame as tungstenite writes it for a client.
fn client_frame(random: &mut Random, opcode: OpCode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mask: [u8; 4] = random.bytes(4).try_into().unwrap();
    let header = FrameHeader {
        is_final: fin,
        opcode,
        mask: Some(mask),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// Frames of whole messages, with control frames anywhere.
fn stream(random: &mut Random, messages: usize) -> Vec<u8> {
    use tungstenite::protocol::frame::coding::{Control, Data};
    let mut bytes = Vec::new();
    for _ in 0..messages {
        let text = random.one_in(2);
        let len = random.length();
        let whole = if text {
            random.text(len)
        } else {
            random.bytes(len)
        };
        let mut rest = &whole[..];
        let mut opcode = OpCode::Data(if text { Data::Text } else { Data::Binary });
        loop {
            if random.one_in(4) {
                let control = if random.one_in(2) {
                    Control::Ping
                } else {
                    Control::Pong
                };
                let len = random.below(126);
                let payload = random.bytes(len);
                bytes.extend(client_frame(
                    random,
                    OpCode::Control(control),
                    true,
                    &payload,
                ));
            }
            let fin = random.one_in(2);
            let size = if fin {
                rest.len()
            } else {
                random.below(rest.len() + 1)
            };
            bytes.extend(client_frame(random, opcode, fin, &rest[..size]));
            rest = &rest[size..];
            opcode = OpCode::Data(Data::Continue);
            if fin {
                break;
            }
        }
    }
    bytes
}

#[derive(Debug, PartialEq)]
enum End {
    Eof,
    Close,
    Violation(ProtocolError),
}

/// What our machine makes of the bytes, in pieces of random sizes.
fn ours(random: &mut Random, bytes: &[u8]) -> (Vec<(Opcode, Vec<u8>)>, End) {
    let mut receiver = Receiver::new();
    let mut source = Cursor::new(bytes);
    let mut messages = Vec::new();
    let mut message = Vec::new();
    loop {
        let mut tried = 0;
        let event = receiver.advance(|space| {
            // Now and then there is nothing yet: it must go on from there.
            tried += 1;
            if tried > 1 && random.one_in(5) {
                return Err(());
            }
            let size = 1 + random.below(space.len());
            Ok(source.read(&mut space[..size]).unwrap())
        });
        match event {
            Err(()) => {}
            Ok(Event::Payload) => {
                let room = 1 + random.below(50_000);
                let room = room.min(usize::try_from(receiver.remaining()).unwrap_or(room));
                let mut buffer = vec![0; room];
                let n = source.read(&mut buffer).unwrap();
                if n == 0 {
                    receiver.stop();
                    continue;
                }
                let mut peeked = buffer[..n].to_vec();
                receiver.peek_payload(&mut peeked);
                if receiver.take_payload(&mut buffer[..n]).is_ok() {
                    assert_eq!(peeked, &buffer[..n]);
                    message.extend_from_slice(&buffer[..n]);
                }
            }
            Ok(Event::MessageEnd) => {
                receiver.take_end();
                messages.push((receiver.opcode(), std::mem::take(&mut message)));
            }
            Ok(Event::Ping | Event::Pong) => {}
            Ok(Event::Close) => return (messages, End::Close),
            Ok(Event::Eof) => return (messages, End::Eof),
            Ok(Event::Violation(violation)) => return (messages, End::Violation(violation)),
        }
    }
}

/// Reads from a slice; what is written goes nowhere.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of them; true if it saw a broken rule.
fn theirs(bytes: &[u8], role: Role) -> (Vec<(Opcode, Vec<u8>)>, bool) {
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(bytes)), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push((Opcode::Text, text.as_bytes().to_vec())),
            Ok(Message::Binary(data)) => messages.push((Opcode::Binary, data.to_vec())),
            Ok(_) => {}
            Err(tungstenite::Error::Utf8(_)) => return (messages, true),
            Err(tungstenite::Error::Protocol(error)) => {
                use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
                return (messages, error != ResetWithoutClosingHandshake);
            }
            // The end, or more announced than it is willing to hold.
            Err(_) => return (messages, false),
        }
    }
}

#[test]
fn what_tungstenite_sends_arrives_whole() {
    let mut random = Random(1);
    for round in 0..60 {
        let bytes = stream(&mut random, 12);
        let (messages, end) = ours(&mut random, &bytes);
        assert_eq!(end, End::Eof, "round {round}");
        assert!(messages == theirs(&bytes, Role::Server).0, "round {round}");
    }
}

#[test]
fn what_tungstenite_refuses_is_refused() {
    let mut random = Random(2);
    let mut refused = 0;
    for round in 0..1000 {
        let mut bytes = stream(&mut random, 2);
        // The headers are at the front, where most of the damage is to be.
        let reach = if random.one_in(2) { 12 } else { 300 }.min(bytes.len());
        for _ in 0..=random.below(2) {
            let at = random.below(reach);
            bytes[at] ^= 1 << random.below(8);
        }
        let (messages, end) = ours(&mut random, &bytes);
        let (expected, broken) = theirs(&bytes, Role::Server);
        match end {
            // We may see it earlier, before the payload is there.
            End::Violation(_) => {
                refused += 1;
                assert!(expected.starts_with(&messages), "round {round}");
            }
            end => {
                assert!(
                    !broken,
                    "round {round}: only tungstenite refuses; we: {end:?}"
                );
                assert!(expected == messages, "round {round}");
            }
        }
    }
    assert!(refused > 200, "only {refused} streams were broken");
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = Random(3);
    for _ in 0..10_000 {
        let len = random.below(60);
        let mut bytes = random.bytes(len);
        if len > 2 && random.one_in(2) {
            bytes[0] = [0x81, 0x82, 0x01, 0x80, 0x88, 0x89][random.below(6)];
            bytes[1] |= 0x80;
        }
        let _ = ours(&mut random, &bytes);
    }
}

/// What a kernel that takes any number of bytes gets from our sender.
fn send(random: &mut Random, sender: &mut Sender, mut payload: &[u8], out: &mut Vec<u8>) {
    loop {
        let waiting = sender.pending().to_vec();
        let owed = usize::try_from(sender.owed()).unwrap();
        assert!(owed <= payload.len());
        let all = [&waiting[..], &payload[..owed]].concat();
        if all.is_empty() {
            return;
        }
        let n = random.below(all.len() + 1);
        out.extend_from_slice(&all[..n]);
        payload = &payload[sender.sent(n)..];
    }
}

#[test]
fn tungstenite_reads_what_is_sent_in_any_pieces() {
    let mut random = Random(4);
    for round in 0..100 {
        let mut sender = Sender::new();
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..10 {
            let kind = if random.one_in(2) {
                Opcode::Text
            } else {
                Opcode::Binary
            };
            let len = random.length();
            let whole = if kind == Opcode::Text {
                random.text(len)
            } else {
                random.bytes(len)
            };
            let mut opcode = kind;
            let mut rest = &whole[..];
            loop {
                if random.one_in(3) {
                    let len = random.below(126);
                    assert!(sender.control(Opcode::Ping, &random.bytes(len)));
                }
                let fin = random.one_in(2);
                let size = if fin {
                    rest.len()
                } else {
                    random.below(rest.len() + 1)
                };
                let first = sender.message_frame(opcode, fin).unwrap();
                let utf8 = sender.text_is_valid(opcode, fin, &[&rest[..size]]).unwrap();
                sender.begin(first, size as u64);
                // Taken back, as after EAGAIN, and begun again.
                if random.one_in(5) && sender.pending().len() < 3 {
                    sender.cancel();
                    sender.begin(first, size as u64);
                }
                sender.message_began(opcode, fin, utf8);
                send(&mut random, &mut sender, &rest[..size], &mut out);
                rest = &rest[size..];
                opcode = Opcode::Continuation;
                if fin {
                    break;
                }
            }
            expected.push((kind, whole));
        }
        assert!(sender.is_idle());
        let (messages, broken) = theirs(&out, Role::Client);
        assert!(!broken && messages == expected, "round {round}");
    }
}
