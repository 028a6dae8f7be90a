//! Tests of `to_client`: what frames a backend's bytes become, at once and in pieces.

use super::super::SMALL_READS;
use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::client::frames::FrameWriter;

use crate::backend::Input;
use crate::backend::tests::{packet_pair, service, stream_pair};
use crate::config::Framing;
use crate::http::request::tests::pair;

mod buffers;

/// A budget that no test uses up.
static AMPLE: Budget = Budget::new(usize::MAX);

/// A message: whether it is text, and its payload.
type Message = (bool, Vec<u8>);

fn text(payload: &str) -> Message {
    (true, payload.as_bytes().to_vec())
}

fn binary(payload: &[u8]) -> Message {
    (false, payload.to_vec())
}

/// A writer that is open, and the client's end of it.
fn open_writer() -> (FrameWriter, TcpStream) {
    let (client, far) = pair();
    let writer = FrameWriter::new(client);
    writer.open(false, || Ok(())).expect("no greeting");
    (writer, far)
}

/// All messages up to the end of the stream.
fn messages(mut far: TcpStream) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut head = [0; 2];
    while far.read_exact(&mut head).is_ok() {
        let length = match head[1] {
            126 => 2,
            127 => 8,
            short => {
                assert!(short < 126, "never masked");
                0
            }
        };
        let mut long = [0; 8];
        long[7] = head[1];
        if length > 0 {
            long[7] = 0;
            far.read_exact(&mut long[8 - length..]).expect("a length");
        }
        let mut payload = vec![0; u64::from_be_bytes(long) as usize];
        far.read_exact(&mut payload).expect("a payload");
        assert!(matches!(head[0], 0x81 | 0x82), "whole messages");
        messages.push((head[0] == 0x81, payload));
    }
    messages
}

/// What the client gets when the backend writes these pieces, each in a read of its own, and then
/// ends; and why it went wrong, if it did.
fn forward(config: &ServiceConfig, pieces: &[&[u8]]) -> (Vec<Message>, Option<Forward>) {
    forward_to(config, pieces, true)
}

fn forward_to(
    config: &ServiceConfig,
    pieces: &[&[u8]],
    client_sends_text: bool,
) -> (Vec<Message>, Option<Forward>) {
    let (writer, far) = open_writer();
    let reader = std::thread::spawn(move || messages(far));
    let (backend, mut end) = stream_pair();
    let kind = MessageType::new(None);
    kind.set(client_sends_text);
    let mut out = ToClient::new(&writer, backend.is_packet(), config, Some(&kind), &AMPLE, 0);
    let mut go = || {
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let take = rest.len().min(out.space().len());
                end.write_all(&rest[..take]).expect("buffer space");
                rest = &rest[take..];
                match backend.read(out.space()).expect("readable") {
                    Input::Bytes(count) => {
                        assert_eq!(count, take);
                        out.forward(count)?;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        out.end()
    };
    let result = go();
    let count = out.count();
    writer.client().cut();
    let messages = reader.join().expect("no panic");
    let sent: usize = messages.iter().map(|(_, payload)| payload.len()).sum();
    assert_eq!(sent as u64, count, "bytes are counted");
    (messages, result.err())
}

fn good(config: &ServiceConfig, pieces: &[&[u8]]) -> Vec<Message> {
    let (messages, error) = forward(config, pieces);
    assert!(error.is_none(), "{error:?}");
    messages
}

fn of_type(framing: Framing, frame_type: FrameType) -> ServiceConfig {
    ServiceConfig {
        frame_type,
        ..service(framing)
    }
}

#[test]
fn stream_makes_one_read_one_message() {
    let got = good(&service(Framing::Stream), &[b"Hello", b"a\0b\n"]);
    assert_eq!(got, [text("Hello"), text("a\0b\n")]);
}

#[test]
fn a_character_cut_by_a_read_waits_for_its_rest() {
    let whole = "a\u{e9}\u{20ac}\u{1f600}z";
    for cut in 1..whole.len() {
        let (first, rest) = whole.as_bytes().split_at(cut);
        let got = good(&service(Framing::Stream), &[first, rest]);
        let joined: Vec<u8> = got.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        assert_eq!(joined, whole.as_bytes(), "cut at {cut}");
        for (is_text, payload) in got {
            assert!(
                is_text && std::str::from_utf8(&payload).is_ok(),
                "cut at {cut}"
            );
        }
    }
    let bytes: Vec<_> = whole.as_bytes().chunks(1).collect();
    let got = good(&service(Framing::Stream), &bytes);
    let wanted: Vec<_> = whole.chars().map(|c| text(&c.to_string())).collect();
    assert_eq!(got, wanted);
}

#[test]
fn bytes_that_are_no_text_go_as_binary_or_close_with_1007() {
    let auto = service(Framing::Stream);
    assert_eq!(good(&auto, &[b"a\xffb"]), [binary(b"a\xffb")]);
    // What looked like a cut character was none.
    assert_eq!(good(&auto, &[b"\xe2\x82", b"xy"]), [binary(b"\xe2\x82xy")]);
    assert_eq!(
        good(&auto, &[b"a\xe2\x82"]),
        [text("a"), binary(b"\xe2\x82")]
    );
    let strict = of_type(Framing::Stream, FrameType::Text);
    for pieces in [[&b"a\xffb"[..]], [b"\xe2\x82"]] {
        let (got, error) = forward(&strict, &pieces);
        assert!(matches!(error, Some(Forward::BadText)), "{error:?}");
        assert!(got.is_empty());
    }
}

#[test]
fn the_type_is_the_clients_unless_it_is_set() {
    for framing in [Framing::Stream, Framing::Line, Framing::Nul] {
        let bytes: &[u8] = match framing {
            Framing::Line | Framing::Crlf => b"x\n",
            Framing::Nul => b"x\0",
            Framing::Stream | Framing::Length => b"x",
        };
        for (frame_type, client_sends_text, wanted) in [
            (FrameType::Auto, true, true),
            (FrameType::Auto, false, false),
            (FrameType::Text, false, true),
            (FrameType::Binary, true, false),
        ] {
            let config = of_type(framing, frame_type);
            let (got, _) = forward_to(&config, &[bytes], client_sends_text);
            assert_eq!(got, [(wanted, b"x".to_vec())], "{framing:?} {frame_type:?}");
        }
    }
}

#[test]
fn each_run_that_a_byte_ends_is_a_message_however_it_comes() {
    for (framing, end) in [(Framing::Line, b'\n'), (Framing::Nul, 0)] {
        let bytes: Vec<u8> = b"Hello||a\xc3\xa9|rest"
            .iter()
            .map(|&byte| if byte == b'|' { end } else { byte })
            .collect();
        let wanted = [text("Hello"), text(""), text("a\u{e9}"), text("rest")];
        assert_eq!(good(&service(framing), &[&bytes]), wanted, "{framing:?}");
        for size in 1..bytes.len() {
            let pieces: Vec<_> = bytes.chunks(size).collect();
            let got = good(&service(framing), &pieces);
            assert_eq!(got, wanted, "{framing:?} in pieces of {size}");
        }
    }
}

#[test]
fn crlf_takes_lf_and_cr_lf_and_leaves_other_carriage_returns() {
    let pieces: [&[u8]; 4] = [b"one\r", b"\ntwo\n\r\na\rb\r\n", b"\r", b"\r\nend"];
    let got = good(&service(Framing::Crlf), &pieces);
    let wanted = ["one", "two", "", "a\rb", "\r", "end"];
    assert_eq!(got, wanted.map(text));
}

#[test]
fn a_message_that_does_not_fit_the_servers_memory_is_not_held() {
    let budget = Budget::new(8 << 10);
    let (writer, _far) = open_writer();
    let (backend, mut end) = stream_pair();
    let (config, kind) = (service(Framing::Nul), MessageType::new(None));
    let mut out = ToClient::new(
        &writer,
        backend.is_packet(),
        &config,
        Some(&kind),
        &budget,
        0,
    );
    let mut taken = 0;
    let error = loop {
        end.write_all(&[b'x'; 1024]).expect("buffer space");
        let Input::Bytes(count) = backend.read(out.space()).expect("readable") else {
            panic!("no end");
        };
        match out.forward(count) {
            Ok(()) => taken += count,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Forward::NoMemory), "{error:?}");
    assert!(taken <= 8 << 10, "{taken}");
}

#[test]
fn a_message_is_held_up_to_maxmessage() {
    let mut config = service(Framing::Line);
    config.max_message = 10;
    let pieces: [&[u8]; 3] = [b"01234", b"56789", b"\n"];
    assert_eq!(good(&config, &pieces), [text("0123456789")]);
    let long: [&[&[u8]]; 3] = [
        &[b"first\n01234567890\n"],
        &[b"first\n0123456789", b"0\n"],
        &[b"first\n01234567890"],
    ];
    for pieces in long {
        let (got, error) = forward(&config, pieces);
        assert!(matches!(error, Some(Forward::TooBig)), "{error:?}");
        assert_eq!(got, [text("first")], "what came before goes out");
    }
}

#[test]
fn messages_before_a_bad_one_go_out() {
    let config = of_type(Framing::Line, FrameType::Text);
    let (got, error) = forward(&config, &[b"one\ntwo\n\xff\nthree\n"]);
    assert!(matches!(error, Some(Forward::BadText)), "{error:?}");
    assert_eq!(got, [text("one"), text("two")]);
}

#[test]
fn length_keeps_type_and_boundaries_however_they_come() {
    let bytes = b"\0\0\0\x05\x01Hello\0\0\0\0\x02\0\0\0\x02\x02\xff\0\0\0\0\0\x01";
    let wanted = [text("Hello"), binary(b""), binary(b"\xff\0"), text("")];
    // The type stays with every framing but this one.
    let config = of_type(Framing::Length, FrameType::Binary);
    for size in 1..=bytes.len() {
        let pieces: Vec<_> = bytes.chunks(size).collect();
        assert_eq!(good(&config, &pieces), wanted, "in pieces of {size}");
    }
}

#[test]
fn length_refuses_what_breaks_its_rules() {
    let mut config = service(Framing::Length);
    config.max_message = 10;
    let (got, error) = forward(&config, &[b"\0\0\0\x01\x01x\0\0\0\x01\x03x"]);
    assert!(matches!(error, Some(Forward::BadOpcode(3))), "{error:?}");
    assert_eq!(got, [text("x")]);
    let (_, error) = forward(&config, &[b"\0\0\0\x01\x01\xff"]);
    assert!(matches!(error, Some(Forward::BadText)), "{error:?}");
    let (_, error) = forward(&config, &[b"\0\0\0\x0b\x0101234567890"]);
    assert!(matches!(error, Some(Forward::TooBig)), "{error:?}");
    let (_, error) = forward(&config, &[b"\xff\xff\xff\xff\x01"]);
    assert!(matches!(error, Some(Forward::TooBig)), "at once: {error:?}");
    for cut in [&b"\0\0\0"[..], b"\0\0\0\x05\x01", b"\0\0\0\x05\x01Hell"] {
        let (got, error) = forward(&config, &[b"\0\0\0\x01\x01x", cut]);
        assert!(matches!(error, Some(Forward::Cut)), "{error:?}");
        assert_eq!(
            got,
            [text("x")],
            "what was announced and did not come is no message"
        );
    }
}

#[test]
fn long_messages_arrive_whole() {
    let line = "x".repeat(300_000);
    let bytes = format!("{line}\nshort\n");
    let got = good(&service(Framing::Line), &[bytes.as_bytes()]);
    assert!(got == [text(&line), text("short")]);
}

#[test]
fn a_short_packet_ends_a_message() {
    const P: usize = PACKET;
    for framing in [Framing::Stream, Framing::Line, Framing::Length] {
        for packets in [
            vec![0],
            vec![5],
            vec![P - 1],
            vec![P, 0],
            vec![P, 1],
            vec![P, P, 0],
            vec![P, P, P - 1],
        ] {
            let (writer, far) = open_writer();
            let reader = std::thread::spawn(move || messages(far));
            let (backend, end) = packet_pair();
            let kind = MessageType::new(Some("binary"));
            let mut out = ToClient::new(
                &writer,
                backend.is_packet(),
                &service(framing),
                Some(&kind),
                &AMPLE,
                0,
            );
            for &len in packets.iter().chain(&[3]) {
                end.write(&vec![b'x'; len]);
                let input = backend.read(out.space()).expect("a packet");
                assert_eq!(input, Input::Bytes(len));
                out.forward(len).expect("sent");
            }
            out.end().expect("sent");
            writer.client().cut();
            let lengths: Vec<_> = reader.join().expect("no panic");
            let lengths: Vec<_> = lengths.iter().map(|(_, payload)| payload.len()).collect();
            assert_eq!(lengths, [packets.iter().sum(), 3], "{packets:?}");
        }
    }
}
