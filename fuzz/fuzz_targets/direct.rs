//! Frames in direct mode (`utils/libwebsocket`): received as tungstenite receives them however they
//! arrive, and sent so that a client reads what the server wrote, however much of each write the
//! kernel takes.
#![no_main]

use common::Utf8;
use libfuzzer_sys::fuzz_target;
use libwebsocket::receive::{Event, Receiver};
use libwebsocket::send::Sender;
use libwebsocket::{Opcode, ProtocolError, frame};
use ouistiti_fuzz::{Opinion, Random, agrees_with_tungstenite, tungstenite_says};
use tungstenite::Message;
use tungstenite::protocol::Role;

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Eof,
    Close(Option<u16>),
    Violation(ProtocolError),
}

fn message(opcode: Opcode, bytes: Vec<u8>) -> Message {
    match opcode {
        Opcode::Text => Message::text(String::from_utf8(bytes).expect("checked")),
        _ => Message::binary(bytes),
    }
}

/// What the receiver makes of a stream, each read cut short or, at times, refused.
fn receive(bytes: &[u8], mut random: Option<Random>) -> (Opinion, End) {
    let mut receiver = Receiver::new();
    let mut rest = bytes;
    let mut messages = Vec::new();
    let mut payload = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        let event = receiver.advance(|space| {
            let mut size = space.len().min(rest.len());
            if let (Some(random), 1..) = (random.as_mut(), size) {
                if random.below(4) == 0 {
                    return Err(());
                }
                size = random.piece(size).min(size);
            }
            let (now, later) = rest.split_at(size);
            space[..size].copy_from_slice(now);
            rest = later;
            Ok(size)
        });
        match event {
            Err(()) => {}
            Ok(Event::Payload) => {
                let left = usize::try_from(receiver.remaining()).unwrap_or(usize::MAX);
                assert!(left > 0, "payload is never empty");
                let mut size = left.min(rest.len()).min(buffer.len());
                if size == 0 {
                    receiver.stop();
                    continue;
                }
                if let Some(random) = random.as_mut() {
                    size = random.piece(size).min(size);
                }
                let (now, later) = rest.split_at(size);
                rest = later;
                let mut peeked = now.to_vec();
                receiver.peek_payload(&mut peeked);
                buffer[..size].copy_from_slice(now);
                if receiver.take_payload(&mut buffer[..size]).is_ok() {
                    assert_eq!(peeked, &buffer[..size]);
                    payload.extend_from_slice(&buffer[..size]);
                }
            }
            Ok(Event::MessageEnd) => {
                assert!(receiver.take_end());
                messages.push(message(receiver.opcode(), std::mem::take(&mut payload)));
            }
            Ok(Event::Ping) => messages.push(Message::Ping(receiver.control().to_vec().into())),
            Ok(Event::Pong) => messages.push(Message::Pong(Vec::new().into())),
            Ok(Event::Close) => {
                messages.push(Message::Close(None));
                break End::Close(receiver.close_code());
            }
            Ok(Event::Violation(violation)) => break End::Violation(violation),
            Ok(Event::Eof) => break End::Eof,
        }
    };
    assert!(receiver.is_over());
    let fails = matches!(end, End::Violation(_));
    (Opinion { messages, fails }, end)
}

/// The client's end of a socket whose kernel takes what `random` says.
struct Socket {
    taken: Vec<u8>,
    random: Random,
}

impl Socket {
    fn new(random: Random) -> Self {
        let taken = Vec::new();
        Self { taken, random }
    }

    /// How much of a write is taken; none when there is no room.
    fn take(&mut self, pieces: &[&[u8]]) -> Option<usize> {
        let all = pieces.concat();
        if all.is_empty() || self.random.below(3) == 0 {
            return None;
        }
        let count = self.random.piece(all.len()).min(all.len());
        self.taken.extend_from_slice(&all[..count]);
        Some(count)
    }
}

/// Offers what waits and the payload that is owed to the socket until all of it has gone. What was
/// announced and not begun when there is no room is taken back, and announced again.
fn write(sender: &mut Sender, socket: &mut Socket, first: u8, mut payload: &[u8]) {
    let mut announced = false;
    while !(announced && sender.is_idle()) {
        if !announced {
            sender.begin(first, payload.len() as u64);
            announced = true;
        }
        let owed = usize::try_from(sender.owed()).expect("a short message");
        assert!(owed <= payload.len(), "no more is owed than there is");
        match socket.take(&[sender.pending(), &payload[..owed]]) {
            Some(count) => payload = &payload[sender.sent(count)..],
            None => {
                let before = (sender.owed(), sender.pending().len());
                sender.cancel();
                announced = before == (sender.owed(), sender.pending().len());
            }
        }
    }
}

/// The kernel has room for all that waits.
fn flush(sender: &mut Sender, socket: &mut Socket) {
    let count = sender.pending().len();
    socket.taken.extend_from_slice(sender.pending());
    sender.sent(count);
}

/// Messages of the explicit interface, whole or in two fragments, and control frames between them:
/// what the client reads are they, in their order.
fn send_messages(bytes: &[u8], random: Random) {
    let mut sender = Sender::new();
    let mut socket = Socket::new(random);
    let mut wanted = Vec::new();
    for part in bytes.split(|byte| *byte == b'\n') {
        let Some((&kind, payload)) = part.split_first() else {
            continue;
        };
        let control = &payload[..payload.len().min(frame::MAX_CONTROL_PAYLOAD)];
        match kind % 8 {
            0 if sender.control(Opcode::Ping, control) => {
                wanted.push(Message::Ping(control.to_vec().into()));
            }
            1 if sender.control(Opcode::Pong, control) => {
                wanted.push(Message::Pong(Vec::new().into()));
            }
            2 if kind > 200 && sender.control(Opcode::Close, &[0x03, 0xe8]) => {
                wanted.push(Message::Close(None));
            }
            _ if sender.is_closed() => {
                assert!(
                    !sender.control(Opcode::Ping, b""),
                    "nothing follows a Close"
                );
            }
            kind => {
                let opcode = match std::str::from_utf8(payload) {
                    Ok(_) => Opcode::Text,
                    Err(_) => Opcode::Binary,
                };
                let cut = if kind == 7 {
                    payload.len() / 2
                } else {
                    payload.len()
                };
                let fragments = [
                    (opcode, &payload[..cut]),
                    (Opcode::Continuation, &payload[cut..]),
                ];
                for (at, (opcode, fragment)) in fragments.iter().enumerate() {
                    let last = kind != 7 || at == 1;
                    let first = sender.message_frame(*opcode, last).expect("their order");
                    let utf8 = sender
                        .text_is_valid(*opcode, last, &[fragment])
                        .expect("text");
                    write(&mut sender, &mut socket, first, fragment);
                    sender.message_began(*opcode, last, utf8);
                    if last {
                        break;
                    }
                }
                wanted.push(message(opcode, payload.to_vec()));
            }
        }
    }
    flush(&mut sender, &mut socket);
    let told = tungstenite_says(&socket.taken, Role::Client);
    assert!(!told.fails, "{:?}", socket.taken);
    assert_eq!(told.messages, wanted);
}

/// A stream server's writes, each a text unless it is none; a character that a write cuts waits for
/// the next: the client reads every byte, and no text that is none.
fn send_stream(bytes: &[u8], mut random: Random) {
    let mut sender = Sender::new();
    let mut socket = Socket::new(Random::of(&[random.below(256) as u8]));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.piece(rest.len()).min(rest.len()));
        rest = later;
        let mut utf8 = Utf8::new();
        let is_text = utf8.push(sender.held()) && utf8.push(now);
        let (opcode, cut) = match is_text {
            true => (Opcode::Text, utf8.unfinished()),
            false => (Opcode::Binary, 0),
        };
        if cut == sender.held().len() + now.len() {
            sender.hold(now);
            continue;
        }
        let (whole, held) = now.split_at(now.len() - cut);
        write(&mut sender, &mut socket, frame::FIN | opcode as u8, whole);
        assert!(
            sender.held().is_empty(),
            "the frame has taken what was held"
        );
        sender.hold(held);
    }
    let told = tungstenite_says(&socket.taken, Role::Client);
    assert!(!told.fails, "{:?}", socket.taken);
    let mut got: Vec<_> = told
        .messages
        .into_iter()
        .flat_map(|message| message.into_data())
        .collect();
    got.extend_from_slice(sender.held());
    assert_eq!(got, bytes);
}

fuzz_target!(|bytes: &[u8]| {
    let (whole, whole_end) = receive(bytes, None);
    let (cut, cut_end) = receive(bytes, Some(Random::of(bytes)));
    assert_eq!((&whole, whole_end), (&cut, cut_end));
    agrees_with_tungstenite(bytes, &whole);
    send_messages(bytes, Random::of(bytes));
    send_stream(bytes, Random::of(bytes));
});
