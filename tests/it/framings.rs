//! How messages meet the backend's bytes: `framing`, `frametype`, SEQPACKET.

use crate::client::Client;
use crate::frames::{self, BINARY, CONTINUATION, FIN, PING, TEXT, message, noise};
use crate::gateway::{Gateway, daemon, free_address};

/// Bytes of a full packet of a SEQPACKET backend; a shorter one ends a message.
const PACKET: usize = 32 * 1024;

#[test]
fn stream_joins_the_fragments_of_a_message_that_fits_into_one_write() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    client.send(&frames::frame(TEXT, b"one "));
    client.send(&message(PING, b""));
    // The pong proves that the first fragment has been read and is held.
    client.frame();
    client.send(&frames::frame(CONTINUATION, b"message, "));
    client.send(&message(PING, b""));
    client.frame();
    client.send(&frames::frame(FIN | CONTINUATION, b"one write"));
    assert_eq!(backend.accept().read(), b"one message, one write");
}

#[test]
fn stream_lets_a_message_too_long_to_hold_begin_before_it_ends() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let bytes = noise(200_000);
    client.send(&frames::frame(BINARY, &bytes));
    let mut connection = backend.accept();
    // Far more than any buffer has come, and the message is not complete.
    assert!(connection.take(100_000) == bytes[..100_000]);
    client.send(&frames::frame(FIN | CONTINUATION, b"!"));
    assert!(connection.take(100_001)[..100_000] == bytes[100_000..]);
}

#[test]
fn stream_makes_one_message_of_one_read() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    for text in ["one", "two", "a somewhat longer third"] {
        connection.give(text.as_bytes());
        assert_eq!(client.message(), (TEXT, text.into()));
    }
}

#[test]
fn stream_keeps_a_backends_long_write_in_one_message_even_the_first() {
    let gateway = Gateway::start("");
    let text = "0123456789".repeat(3_000);
    for _ in 0..3 {
        let (mut client, mut connection) = pair_of(&gateway, "source");
        for _ in 0..2 {
            connection.give(text.as_bytes());
            let (_, got) = client.message();
            assert_eq!(got.len(), text.len(), "one write came as several messages");
        }
    }
}

#[test]
fn stream_gives_the_backend_a_long_message_in_one_write_even_the_first() {
    let gateway = Gateway::start("");
    let bytes = noise(60_000);
    let (half, rest) = bytes.split_at(30_000);
    for _ in 0..3 {
        let (mut client, mut connection) = pair_of(&gateway, "sink");
        client.send(&frames::frame(BINARY, half));
        client.send(&message(PING, b""));
        client.frame();
        client.send(&frames::frame(FIN | CONTINUATION, rest));
        assert_eq!(
            connection.read().len(),
            bytes.len(),
            "one message came in pieces"
        );
    }
}

#[test]
fn stream_drops_the_held_fragments_of_a_message_that_a_close_cuts() {
    let gateway = Gateway::start("");
    let (mut client, mut connection) = pair_of(&gateway, "sink");
    client.text("whole");
    client.send(&frames::frame(TEXT, b"never ended"));
    client.send(&frames::close(1000));
    // A backend that answered them would answer no message (Autobahn, case 7.1.5).
    assert_eq!(connection.rest(), b"whole");
}

/// A client of `name` and its backend's connection; the backend listens anew each time.
pub(crate) fn pair_of(gateway: &Gateway, name: &str) -> (Client, crate::backend::Connection) {
    let _ = std::fs::remove_file(gateway.path("run").join(name));
    let backend = gateway.backend(name);
    (gateway.open(name), backend.accept())
}

#[test]
fn merge_keeps_every_byte_in_order() {
    let gateway = Gateway::start("merge = true;");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let texts: Vec<String> = (0..1000)
        .map(|number| format!("message {number};"))
        .collect();
    let frames: Vec<u8> = texts
        .iter()
        .flat_map(|text| message(TEXT, text.as_bytes()))
        .collect();
    client.send(&frames);
    let expected = texts.concat();
    assert_eq!(backend.accept().take(expected.len()), expected.as_bytes());
}

#[test]
fn line_ends_each_message_with_a_line_feed_and_makes_one_of_each_line() {
    let gateway = Gateway::start("framing = \"line\";");
    ends_each_message_with(&gateway, b'\n');
}

#[test]
fn nul_ends_each_message_with_a_nul_and_makes_one_of_each_run() {
    let gateway = Gateway::start("framing = \"nul\";");
    ends_each_message_with(&gateway, b'\0');
}

fn ends_each_message_with(gateway: &Gateway, end: u8) {
    let backend = gateway.backend("program");
    let mut client = gateway.open("program");
    let mut connection = backend.accept();
    let long = "x".repeat(100_000);
    client.text("one");
    client.text("");
    client.send(&frames::frame(TEXT, b"t"));
    client.send(&frames::frame(FIN | CONTINUATION, b"wo"));
    client.text(&long);
    let mut expected = Vec::new();
    for text in ["one", "", "two", &long] {
        expected.extend(text.bytes());
        expected.push(end);
    }
    assert!(connection.take(expected.len()) == expected);

    connection.give(&[b"one", &[end][..], b"tw"].concat());
    assert_eq!(client.message().1, b"one");
    connection.give(&[b"o", &[end, end][..], b"three", &[end]].concat());
    let got: Vec<_> = (0..3).map(|_| client.message().1).collect();
    assert_eq!(got, [&b"two"[..], b"", b"three"]);
    let sent = [long.as_bytes(), &[end]].concat();
    let sender = std::thread::spawn(move || {
        connection.give(&sent);
        connection.give(b"without its end");
    });
    assert!(client.message().1 == long.as_bytes());
    sender.join().unwrap();
    assert_eq!(client.message().1, b"without its end");
    client.expect_close(1000);
}

#[test]
fn crlf_ends_each_message_with_cr_lf_and_takes_lines_with_either_end() {
    let gateway = Gateway::start("framing = \"crlf\";");
    let (mut client, mut connection) = pair_of(&gateway, "modem");
    client.text("ATZ");
    client.text("ATI");
    assert_eq!(connection.take(10), b"ATZ\r\nATI\r\n");
    connection.give(b"OK\r\nplain\ncut\r");
    connection.give(b"\n");
    for line in ["OK", "plain", "cut"] {
        assert_eq!(client.message(), (TEXT, line.into()));
    }
}

#[test]
fn line_closes_with_1009_beyond_maxmessage() {
    let gateway = Gateway::start("framing = \"line\"; maxmessage = 1000;");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    connection.give(&[&[b'a'; 1000][..], b"\n"].concat());
    assert_eq!(client.message().1, [b'a'; 1000]);
    connection.give(&[b'b'; 1001]);
    client.expect_close(1009);
}

#[test]
fn length_keeps_type_and_boundaries_both_ways() {
    let gateway = Gateway::start("framing = \"length\";");
    let backend = gateway.backend("program");
    let mut client = gateway.open("program");
    let mut connection = backend.accept();
    client.text("Hello");
    client.binary(b"");
    client.send(&frames::frame(BINARY, b"ab"));
    client.send(&frames::frame(FIN | CONTINUATION, b"c"));
    assert_eq!(connection.take(10), b"\0\0\0\x05\x01Hello");
    assert_eq!(connection.take(5), b"\0\0\0\0\x02");
    assert_eq!(connection.take(8), b"\0\0\0\x03\x02abc");
    for byte in b"\0\0\0\x02\x02hi\0\0\0\0\x01\0\0\0\x04\x01\xf0\x9f\x90\x92" {
        connection.give(&[*byte]);
    }
    assert_eq!(client.message(), (BINARY, b"hi".to_vec()));
    assert_eq!(client.message(), (TEXT, b"".to_vec()));
    assert_eq!(client.message(), (TEXT, "🐒".into()));
}

#[test]
fn length_closes_when_the_backend_breaks_its_rules() {
    let gateway = Gateway::start("framing = \"length\"; maxmessage = 1000;");
    let backend = gateway.backend("program");
    let cases: [(&[u8], u16); 4] = [
        // An opcode that is neither text nor binary; a length beyond the limit; a text that is not
        // UTF-8; an end within a message.
        (b"\0\0\0\x01\x07x", 1011),
        (b"\xff\xff\xff\xff\x02", 1009),
        (b"\0\0\0\x01\x01\xff", 1007),
        (b"\0\0\0\x05\x01Hell", 1011),
    ];
    for (bytes, code) in cases {
        let mut client = gateway.open("program");
        backend.accept().give(bytes);
        client.expect_close(code);
    }
}

#[test]
fn seqpacket_backends_are_found_and_get_messages_as_packets() {
    let gateway = Gateway::start("");
    let backend = gateway.packet_backend("packets");
    let mut client = gateway.open("packets");
    let mut connection = backend.accept();
    client.text("one");
    client.text("");
    client.send(&frames::frame(TEXT, b"t"));
    client.send(&frames::frame(FIN | CONTINUATION, b"wo"));
    for text in ["one", "", "two"] {
        assert_eq!(connection.packet().unwrap(), text.as_bytes());
    }
    connection.give(b"answer");
    connection.give(b"");
    assert_eq!(client.message(), (TEXT, b"answer".to_vec()));
    assert_eq!(client.message(), (TEXT, b"".to_vec()));
    client.send(&frames::close(1000));
    assert_eq!(connection.packet(), None);
    drop(connection);
    client.expect_close(1000);
}

#[test]
fn seqpacket_messages_around_the_packet_size_keep_their_boundaries() {
    let gateway = Gateway::start("");
    let backend = gateway.packet_backend("packets");
    let mut client = gateway.open("packets");
    let mut connection = backend.accept();
    let bytes = noise(3 * PACKET + 1);
    for length in [
        PACKET - 1,
        PACKET,
        PACKET + 1,
        2 * PACKET,
        3 * PACKET - 1,
        3 * PACKET + 1,
    ] {
        let sent = &bytes[..length];
        let writer = client.stream.try_clone().unwrap();
        let frame = message(BINARY, sent);
        let sender = std::thread::spawn(move || {
            use std::io::Write as _;
            (&writer).write_all(&frame)
        });
        let mut got = Vec::<u8>::new();
        loop {
            let packet = connection.packet().expect("a packet, not the end");
            got.extend(&packet);
            assert!(packet.len() <= PACKET, "a packet of {} bytes", packet.len());
            if packet.len() < PACKET {
                break;
            }
        }
        sender.join().unwrap().unwrap();
        assert!(got == sent, "upwards, {length} bytes");

        let mut giver = connection.stream.try_clone().unwrap();
        let down = sent.to_vec();
        let sender = std::thread::spawn(move || give_packets(&mut giver, &down));
        assert!(
            client.message() == (BINARY, sent.to_vec()),
            "downwards, {length} bytes"
        );
        sender.join().unwrap();
    }
}

/// Writes a message the way a SEQPACKET backend does.
fn give_packets(stream: &mut std::os::unix::net::UnixStream, message: &[u8]) {
    use std::io::Write as _;
    for packet in message.chunks(PACKET) {
        stream.write_all(packet).unwrap();
    }
    if message.len().is_multiple_of(PACKET) {
        assert_eq!(stream.write(&[]).unwrap(), 0);
    }
}

#[test]
fn trace_lines_show_each_frame_header_with_its_client() {
    let mut command = daemon();
    let gateway = Gateway::run(command.arg("-vv"), free_address(), "", "");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let address = client.stream.local_addr().expect("a TCP socket");
    client.text("Hello");
    client.message();
    client.send(&message(PING, b"x"));
    client.frame();
    for line in [
        "sends TEXT, FIN, 5 bytes",
        "gets TEXT, FIN, 5 bytes",
        "sends PING, FIN, 1 bytes",
        "gets PONG, FIN, 1 bytes",
    ] {
        let line = format!("{address} {line}");
        let found = gateway.process.find_line(|logged| logged.ends_with(&line));
        assert!(found.is_some(), "{line}");
    }
}

#[test]
fn with_frame_headers_in_the_log_no_line_is_left_out() {
    let mut command = daemon();
    let gateway = Gateway::run(command.arg("-vv"), free_address(), "", "");
    gateway.backend("echo").echo();
    // More than the ten lines of a kind that are written in a second otherwise.
    let clients: Vec<_> = (0..15).map(|_| gateway.open("echo")).collect();
    let address = |client: &Client| {
        client
            .stream
            .local_addr()
            .expect("a TCP socket")
            .to_string()
    };
    let addresses: Vec<_> = clients.iter().map(address).collect();
    drop(clients);
    for address in addresses {
        let end = format!("{address} echo: 1006, ");
        let found = gateway.process.find_line(|line| line.contains(&end));
        assert!(found.is_some(), "{end}");
    }
}
