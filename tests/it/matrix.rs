//! The behaviour matrix (docs/behaviour.md, section 7): one test for each row.
//!
//! Rows 8 and 18 to 27 stand in `exactness`, `refusals` and `floods`.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::frames::{self, BINARY, CONTINUATION, FIN, PING, PONG, TEXT, message, noise};
use crate::gateway::Gateway;

#[test]
fn row_1_and_2_text_and_binary_echoes_keep_their_type() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    client.text("Hello, 🐒");
    assert_eq!(client.message(), (TEXT, "Hello, 🐒".into()));
    client.binary(b"Hello");
    assert_eq!(client.message(), (BINARY, b"Hello".to_vec()));
    client.text("again");
    assert_eq!(client.message(), (TEXT, b"again".to_vec()));
}

#[test]
fn row_3_three_frames_in_one_segment_all_arrive() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let frames: Vec<u8> = ["one", "two", "three"]
        .iter()
        .flat_map(|text| message(TEXT, text.as_bytes()))
        .collect();
    client.send(&frames);
    assert_eq!(backend.accept().take(11), b"onetwothree");
}

#[test]
fn row_4_a_frame_byte_by_byte_arrives_whole() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    for byte in message(TEXT, b"Hello") {
        client.send(&[byte]);
    }
    assert_eq!(backend.accept().take(5), b"Hello");
}

#[test]
fn row_5_a_ping_between_two_fragments_is_answered_with_its_payload() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    client.send(&frames::frame(TEXT, b"Hel"));
    client.send(&message(PING, b"are you there"));
    let pong = client.frame();
    assert_eq!(
        (pong.opcode, pong.payload.as_slice()),
        (PONG, &b"are you there"[..])
    );
    client.send(&frames::frame(FIN | CONTINUATION, b"lo"));
    assert_eq!(backend.accept().take(5), b"Hello");
}

#[test]
fn row_6_a_200_000_byte_message_reaches_the_backend_as_it_was() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let client = gateway.open("sink");
    let bytes = noise(200_000);
    let writer = client.stream.try_clone().unwrap();
    let frame = message(BINARY, &bytes);
    let sender = std::thread::spawn(move || (&writer).write_all(&frame));
    assert!(backend.accept().take(200_000) == bytes);
    sender.join().unwrap().unwrap();
}

#[test]
fn row_7_200_000_bytes_of_text_reach_the_client_as_they_were() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let text = "a€🐒\n\0".repeat(20_000);
    let mut connection = backend.accept();
    let sent = text.clone();
    let sender = std::thread::spawn(move || connection.give(sent.as_bytes()));
    assert!(client.bytes(text.len()) == text.into_bytes());
    sender.join().unwrap();
}

#[test]
fn row_9_an_unmasked_frame_closes_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    client.send(&[0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
    client.expect_close(1002);
}

#[test]
fn row_10_a_reserved_bit_closes_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    for bit in [0x40, 0x20, 0x10] {
        let mut client = gateway.open("sink");
        client.send(&frames::frame(FIN | bit | TEXT, b"Hello"));
        client.expect_close(1002);
    }
}

#[test]
fn row_11_a_reserved_opcode_closes_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        let mut client = gateway.open("sink");
        client.send(&frames::frame(FIN | opcode, b""));
        client.expect_close(1002);
    }
}

#[test]
fn row_12_text_that_is_not_utf_8_closes_with_1007() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    // A lone continuation byte, an overlong slash, a surrogate, beyond U+10FFFF, and a character
    // that the message's end cuts.
    let texts: [&[u8]; 5] = [
        b"a\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x90",
    ];
    for text in texts {
        let mut client = gateway.open("sink");
        client.send(&message(TEXT, text));
        client.expect_close(1007);
    }
}

#[test]
fn row_12_bad_utf_8_fails_before_its_frame_is_complete() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    let mut bytes = frames::head(FIN | TEXT, 1000);
    bytes.extend(frames::masked(b"fine so far \xff"));
    client.send(&bytes);
    client.expect_close(1007);
}

#[test]
fn row_13_a_close_1001_is_answered_with_1001() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    client.send(&frames::close(1001));
    client.expect_close(1001);
    client.expect_end();
}

#[test]
fn row_14_500_000_bytes_and_a_close_all_reach_a_slow_backend() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("slow");
    let mut client = gateway.open("slow");
    let bytes = noise(500_000);
    let mut sent = message(BINARY, &bytes);
    sent.extend(frames::close(1000));
    let writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || (&writer).write_all(&sent));
    let mut connection = backend.accept();
    let mut got = Vec::<u8>::new();
    let mut chunk = [0; 20_000];
    // The row's 200 KB a second: slowness is what is tested, not waited for.
    loop {
        let count = connection.stream.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        got.extend(&chunk[..count]);
        std::thread::sleep(Duration::from_millis(count as u64 / 200));
    }
    assert!(got == bytes, "{} of 500000 bytes", got.len());
    sender.join().unwrap().unwrap();
    drop(connection);
    client.expect_close(1000);
}

#[test]
fn row_15_data_before_a_tcp_end_without_close_is_delivered() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let bytes = noise(50_000);
    client.binary(&bytes);
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(backend.accept().rest() == bytes);
}

#[test]
fn row_16_a_backend_that_writes_and_ends_closes_with_1000() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("date");
    let mut client = gateway.open("date");
    let mut connection = backend.accept();
    connection.give(b"Mon Nov 23");
    drop(connection);
    assert_eq!(client.message(), (TEXT, b"Mon Nov 23".to_vec()));
    client.expect_close(1000);
    client.send(&frames::close(1000));
    client.expect_end();
}

#[test]
fn row_17_a_backend_that_only_stops_writing_still_gets_later_bytes() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("reader");
    let mut client = gateway.open("reader");
    let mut connection = backend.accept();
    connection.give(b"last words");
    connection.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.message().1, b"last words");
    client.expect_close(1000);
    client.text("sent before my Close");
    client.send(&frames::close(1000));
    assert_eq!(connection.rest(), b"sent before my Close");
}

#[test]
fn row_19_a_character_cut_by_two_backend_writes_gives_valid_texts() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let monkey = "🐒".as_bytes();
    connection.give(b"abc");
    assert_eq!(client.message(), (TEXT, b"abc".to_vec()));
    for cut in 1..4 {
        connection.give(&[b"<", &monkey[..cut]].concat());
        let first = client.message();
        connection.give(&[&monkey[cut..], b">"].concat());
        let second = client.message();
        assert_eq!((first.0, second.0), (TEXT, TEXT), "cut after {cut}");
        assert_eq!([first.1, second.1].concat(), "<🐒>".as_bytes());
    }
}

#[test]
fn row_20_an_announced_length_of_2_to_the_62_costs_no_memory() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let base = gateway.process.memory();
    let mut client = gateway.open("sink");
    let mut head = vec![FIN | BINARY, 0x80 | 127];
    head.extend((1_u64 << 62).to_be_bytes());
    head.extend(frames::KEY);
    client.send(&head);
    // `stream` holds nothing whole: the message may begin, or be refused.
    let _ = client.stream.write_all(&frames::masked(&noise(100_000)));
    let _ = client.stream.shutdown(Shutdown::Write);
    let delivered = backend.accept().rest();
    assert!(noise(100_000).starts_with(&delivered));
    let grown = gateway.process.memory().saturating_sub(base);
    assert!(grown < 512, "{grown} KiB more");
}

#[test]
fn row_20_a_length_with_its_highest_bit_set_closes_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    let mut head = vec![FIN | BINARY, 0x80 | 127];
    head.extend((1_u64 << 63).to_be_bytes());
    head.extend(frames::KEY);
    client.send(&head);
    client.expect_close(1002);
}

#[test]
fn row_20_a_length_beyond_maxmessage_closes_with_1009_where_messages_are_held() {
    let gateway = Gateway::start("framing = \"length\"; maxmessage = 65536;");
    gateway.backend("sink").drain();
    for length in [65_537_u64, 1 << 62] {
        let mut client = gateway.open("sink");
        let mut head = vec![FIN | BINARY, 0x80 | 127];
        head.extend(length.to_be_bytes());
        head.extend(frames::KEY);
        client.send(&head);
        client.expect_close(1009);
    }
}
