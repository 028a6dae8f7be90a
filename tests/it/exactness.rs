//! No byte differs: every length, every cut, both ways.

use std::io::Write;
use std::net::TcpStream;

use crate::frames::{self, BINARY, CONTINUATION, FIN, PING, PONG, Random, TEXT, message, noise};
use crate::gateway::Gateway;

/// Every length up to this one is tested.
const SMALL: usize = 70_000;

/// The largest length, in bytes.
const LARGEST: usize = (16 << 20) + 1;

/// Every length to prove: 0 to `SMALL`, then 2^k - 1, 2^k, 2^k + 1 to 16 MiB.
fn lengths() -> impl Iterator<Item = usize> {
    let powers = (17..=24).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]);
    (0..=SMALL).chain(powers)
}

/// Returns where in the noise the payload of this length begins: a multiple of four, so that one
/// masked copy of the noise serves all lengths.
fn offset(length: usize) -> usize {
    4 * (length % 61)
}

#[test]
fn every_length_reaches_a_stream_backend_unchanged() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let client = gateway.open("sink");
    let mut connection = backend.accept();
    let noise = noise(LARGEST + 4 * 61);
    let masked = frames::masked(&noise);
    let sender = std::thread::spawn(move || send_every_length(client.stream, &masked));
    for length in lengths() {
        let start = offset(length);
        assert!(
            connection.take(length) == noise[start..start + length],
            "{length} bytes"
        );
    }
    sender.join().unwrap();
}

#[test]
fn every_length_reaches_a_length_backend_as_one_message() {
    let gateway = Gateway::start("framing = \"length\"; maxmessage = 16777217;");
    let backend = gateway.backend("sink");
    let client = gateway.open("sink");
    let mut connection = backend.accept();
    let noise = noise(LARGEST + 4 * 61);
    let masked = frames::masked(&noise);
    let sender = std::thread::spawn(move || send_every_length(client.stream, &masked));
    for length in lengths() {
        let head = [&(length as u32).to_be_bytes()[..], &[BINARY]].concat();
        assert_eq!(connection.take(5), head);
        let start = offset(length);
        assert!(
            connection.take(length) == noise[start..start + length],
            "{length} bytes"
        );
    }
    sender.join().unwrap();
}

fn send_every_length(mut stream: TcpStream, masked: &[u8]) {
    for length in lengths() {
        let mut frame = frames::head(FIN | BINARY, length);
        let start = offset(length);
        if length < 65536 {
            frame.extend(&masked[start..start + length]);
            stream.write_all(&frame).unwrap();
        } else {
            stream.write_all(&frame).unwrap();
            stream.write_all(&masked[start..start + length]).unwrap();
        }
    }
}

#[test]
fn every_length_reaches_the_client_as_one_message() {
    let gateway = Gateway::start("framing = \"length\"; maxmessage = 16777217;");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let noise = noise(LARGEST + 4 * 61);
    let sent = noise.clone();
    let sender = std::thread::spawn(move || {
        for length in lengths() {
            let start = offset(length);
            connection.give(&[&(length as u32).to_be_bytes()[..], &[BINARY]].concat());
            connection.give(&sent[start..start + length]);
        }
        connection
    });
    for length in lengths() {
        let (opcode, payload) = client.message();
        assert_eq!((opcode, payload.len()), (BINARY, length));
        assert!(
            payload == noise[offset(length)..][..length],
            "{length} bytes"
        );
    }
    sender.join().unwrap();
}

#[test]
fn every_length_of_a_stream_backend_reaches_the_client_unchanged() {
    let gateway = Gateway::start("frametype = \"binary\";");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let bytes = noise(SMALL);
    let sent = bytes.clone();
    let (more, wanted) = std::sync::mpsc::channel();
    let sender = std::thread::spawn(move || {
        for length in wanted {
            connection.give(&sent[..length]);
        }
    });
    // In lockstep, so that each write can be one message; steps of 97 keep it short.
    for length in (1..=SMALL).step_by(97) {
        more.send(length).unwrap();
        assert!(client.bytes(length) == bytes[..length], "{length} bytes");
    }
    drop(more);
    sender.join().unwrap();
}

/// A stream of all sorts of frames, the bytes a backend must get, and the pongs.
fn mixed() -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
    let (mut sent, mut bytes, mut pongs) = (Vec::new(), Vec::new(), Vec::new());
    let mut ping = |sent: &mut Vec<u8>, payload: &[u8]| {
        sent.extend(message(PING, payload));
        pongs.push(payload.to_vec());
    };
    sent.extend(message(TEXT, "Hello, 🐒 €".as_bytes()));
    bytes.extend("Hello, 🐒 €".bytes());
    sent.extend(message(BINARY, b""));
    ping(&mut sent, b"");
    // A character cut by fragments, with a ping inside it.
    sent.extend(frames::frame(TEXT, b"cut \xf0\x9f"));
    ping(&mut sent, b"inside a character");
    sent.extend(frames::frame(CONTINUATION, b""));
    sent.extend(frames::frame(CONTINUATION, b"\x90"));
    sent.extend(message(PONG, b"unasked"));
    sent.extend(frames::frame(FIN | CONTINUATION, b"\x92 here"));
    bytes.extend("cut 🐒 here".bytes());
    for length in [1, 125, 126, 127, 300] {
        let payload = noise(length);
        sent.extend(message(BINARY, &payload));
        bytes.extend(payload);
    }
    ping(&mut sent, &noise(125));
    (sent, bytes, pongs)
}

#[test]
fn a_stream_of_mixed_frames_cut_at_every_offset_gives_the_same_bytes() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let (sent, bytes, pongs) = mixed();
    for cut in 0..=sent.len() {
        let mut client = gateway.open("sink");
        let mut connection = backend.accept();
        client.send(&sent[..cut]);
        client.send(&sent[cut..]);
        client.send(&frames::close(1000));
        assert!(connection.rest() == bytes, "cut at {cut}");
        drop(connection);
        // A pong may answer several pings at once (RFC 6455, section 5.5.3), but the last ping gets
        // its own.
        let mut last = None;
        loop {
            let frame = client.frame();
            if frame.opcode != PONG {
                assert_eq!(frame.payload, 1000_u16.to_be_bytes(), "cut at {cut}");
                break;
            }
            assert!(pongs.contains(&frame.payload), "cut at {cut}");
            last = Some(frame.payload);
        }
        assert_eq!(last.as_ref(), pongs.last(), "cut at {cut}");
    }
}

#[test]
fn a_stream_of_mixed_frames_byte_by_byte_gives_the_same_bytes() {
    for settings in ["", "framing = \"line\";", "framing = \"length\";"] {
        let gateway = Gateway::start(settings);
        let backend = gateway.backend("sink");
        let mut results = Vec::new();
        for step in [1, 2, 3, 7, usize::MAX] {
            let mut client = gateway.open("sink");
            let mut connection = backend.accept();
            for piece in mixed().0.chunks(step) {
                client.send(piece);
            }
            client.send(&frames::close(1000));
            results.push(connection.rest());
        }
        assert!(
            results.iter().all(|bytes| *bytes == results[0]),
            "with {settings:?}"
        );
    }
}

#[test]
fn random_texts_cut_at_random_points_never_give_an_invalid_text() {
    let gateway = Gateway::start("frametype = \"text\";");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let mut random = Random::new(7);
    let letters = ["a", "é", "€", "🐒", "\0", "\u{7ff}", "\u{10ffff}"];
    let text: String = (0..50_000)
        .map(|_| letters[random.below(letters.len())])
        .collect();
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        let mut rest = sent.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len().min(40)));
            connection.give(piece);
            rest = after;
        }
    });
    let mut got = Vec::new();
    while got.len() < text.len() {
        let (opcode, payload) = client.message();
        assert_eq!(opcode, TEXT);
        got.extend(payload);
    }
    assert!(got == text.as_bytes());
    sender.join().unwrap();
    client.expect_close(1000);
}
