//! Bad input in quantity: nothing leaks, nothing grows, nobody starves.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, message, noise};
use crate::gateway::{Gateway, is_emulated};
use crate::process::{DEADLINE, figure};

/// KiB that memory may grow by under any flood: buffers of both threads, and what the allocator
/// keeps.
const BUFFERS: usize = 512;

/// KiB that memory may grow by between the first part of a flood and its end.
const FLAT: usize = 64;

/// After this long without progress a writer counts as stopped.
const STALL: Duration = Duration::from_secs(2);

/// Writes `chunk` again and again until the other side takes no more. Returns how many bytes it
/// took.
fn fill(mut stream: impl Write + AsFd, chunk: &[u8]) -> usize {
    nix::sys::socket::setsockopt(
        &stream.as_fd(),
        nix::sys::socket::sockopt::SendTimeout,
        &nix::sys::time::TimeVal::new(STALL.as_secs() as i64, 0),
    )
    .unwrap();
    let mut total = 0;
    while total < 256 << 20 {
        match stream.write(&chunk[total % chunk.len()..]) {
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return total,
            Err(error) => panic!("after {total} bytes: {error}"),
        }
    }
    panic!("256 MiB went in and nobody reads: it must have been kept somewhere");
}

#[test]
fn row_24_a_flooding_client_and_a_stalled_backend_cost_no_memory() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("stalled");
    let client = gateway.open("stalled");
    let mut connection = backend.accept();
    let base = gateway.process.memory();
    let payload = noise(65_536);
    let frame = message(BINARY, &payload);
    let sent = fill(&client.stream, &frame);
    let grown = gateway.process.memory().saturating_sub(base);
    assert!(grown <= BUFFERS, "{grown} KiB more, {sent} bytes sent");
    // What was taken is still delivered.
    client.stream.shutdown(Shutdown::Write).unwrap();
    let whole = sent / frame.len();
    let mut chunk = vec![0; payload.len()];
    for number in 0..whole {
        connection.stream.read_exact(&mut chunk).unwrap();
        assert!(chunk == payload, "message {number} of {whole}");
    }
}

#[test]
fn row_25_a_flooding_backend_and_a_stalled_client_cost_no_memory() {
    let gateway = Gateway::start("frametype = \"binary\";");
    let backend = gateway.backend("flood");
    let mut client = gateway.open("flood");
    let connection = backend.accept();
    let base = gateway.process.memory();
    let chunk = noise(65_536);
    let sent = fill(&connection.stream, &chunk);
    let grown = gateway.process.memory().saturating_sub(base);
    assert!(grown <= BUFFERS, "{grown} KiB more, {sent} bytes sent");
    drop(connection);
    let got = client.bytes(sent);
    assert!(
        got.chunks(chunk.len())
            .all(|piece| piece == &chunk[..piece.len()])
    );
    client.expect_close(1000);
}

#[test]
fn a_flood_in_both_directions_ends_in_no_deadlock() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let writer = client.stream.try_clone().unwrap();
    let bytes = noise(8 << 20);
    let frame = frames::frame(FIN | BINARY, &bytes);
    let sender = std::thread::spawn(move || (&writer).write_all(&frame));
    assert!(client.bytes(bytes.len()) == bytes);
    sender.join().unwrap().unwrap();
}

/// Prints and checks the memory that a flood has cost. `base` was measured after its first part,
/// which makes the buffers as large as they get.
fn assert_flat(gateway: &Gateway, what: &str, base: usize) {
    if is_emulated("its memory is the emulator's, and is not looked at") {
        return;
    }
    let grown = gateway.process.anonymous().saturating_sub(base);
    figure(format!("{what}: {grown} KiB more than {base} (Pss_Anon)"));
    assert!(grown <= FLAT, "{grown} KiB more than {base}");
}

#[test]
fn a_million_pings_from_a_client_that_reads_nothing_cost_no_memory() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let mut connection = backend.accept();
    let pings = message(PING, b"ping").repeat(10_000);
    let mut send = |count: usize| {
        for _ in 0..count {
            client.send(&pings);
        }
        // The pings come first: that this arrives proves they were all read.
        client.text("after");
        assert_eq!(connection.take(5), b"after");
    };
    send(10);
    let base = gateway.process.anonymous();
    send(100);
    assert_flat(&gateway, "1 000 000 pings", base);
    drop(connection);
    while client.frame().opcode == PONG {}
}

#[test]
fn a_hundred_and_thirty_one_thousand_fragments_cost_no_memory() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let mut connection = backend.accept();
    let reader = std::thread::spawn(move || connection.rest().len());
    // A buffer of 68 KiB is the largest there is; fragments are joined in it.
    client.send(&message(BINARY, &noise(200_000)));
    let fragments = frames::frame(CONTINUATION, b"a").repeat(1000);
    client.send(&frames::frame(BINARY, b"a"));
    let mut base = 0;
    for number in 1..=131 {
        client.send(&fragments);
        if number == 100 || number == 131 {
            client.send(&message(PING, b"read?"));
            assert_eq!(client.frame().opcode, PONG);
        }
        if number == 100 {
            base = gateway.process.anonymous();
        }
    }
    assert_flat(&gateway, "131 000 fragments of one message", base);
    client.send(&frames::frame(FIN | CONTINUATION, b""));
    client.send(&frames::close(1000));
    client.expect_close(1000);
    assert_eq!(reader.join().unwrap(), 200_000 + 131_001);
}

#[test]
fn fragments_of_a_message_that_is_held_cost_no_more_than_maxmessage() {
    let gateway = Gateway::start("framing = \"length\"; maxmessage = 65536;");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let _connection = backend.accept();
    let base = gateway.process.anonymous();
    client.send(&frames::frame(BINARY, b"a"));
    let fragments = frames::frame(CONTINUATION, b"a").repeat(1000);
    for _ in 0..131 {
        // The gateway closes before the last.
        if client.stream.write_all(&fragments).is_err() {
            break;
        }
    }
    client.expect_close(1009);
    assert_flat(&gateway, "131 000 fragments held whole", base + 64);
}

#[test]
fn a_length_of_2_to_the_62_costs_no_memory() {
    for framing in ["stream", "line", "length"] {
        let gateway = Gateway::start(&format!("framing = \"{framing}\";"));
        let backend = gateway.backend("sink");
        let mut client = gateway.open("sink");
        let mut connection = backend.accept();
        let reader = std::thread::spawn(move || connection.rest().len());
        client.send(&message(BINARY, &noise(200_000)));
        client.send(&message(PING, b"read?"));
        assert_eq!(client.frame().opcode, PONG);
        let base = gateway.process.anonymous();
        let mut head = vec![FIN | BINARY, 0x80 | 127];
        head.extend((1_u64 << 62).to_be_bytes());
        head.extend(frames::KEY);
        client.send(&head);
        if framing == "length" {
            client.expect_close(1009);
        } else {
            // Nothing is held whole, so that the message may begin.
            client.send(&frames::masked(&noise(1_000_000)));
            client.stream.shutdown(Shutdown::Write).unwrap();
            assert!(reader.join().unwrap() >= 1_200_000);
        }
        assert_flat(&gateway, &format!("2^62 announced to {framing}"), base);
    }
}

/// Clients that each have a message to hold, of so many bytes; together far beyond `maxmemory`.
const HOLDERS: usize = 40;
const HELD: usize = 2 << 20;

/// The settings of the tests with `HOLDERS`: 8 MiB for all.
fn holding(framing: &str) -> Gateway {
    Gateway::with("maxmemory = \"8M\";", &format!("framing = \"{framing}\";"))
}

/// Checks the memory that the messages of `HOLDERS` have cost, of which so many were closed with
/// 1013.
fn assert_within_maxmemory(gateway: &Gateway, base: usize, closed: usize) {
    let now = gateway.process.memory();
    let (sent, grown) = (HOLDERS * HELD / 1024, now.saturating_sub(base));
    figure(format!(
        "{sent} KiB to hold, maxmemory 8192: {base} -> {now} KiB, {closed} closed with 1013"
    ));
    // The allocator keeps what buffers have outgrown.
    assert!(grown < 3 * (8 << 10), "{grown} KiB");
    assert!((HOLDERS - 6..HOLDERS).contains(&closed), "{closed}");
}

#[test]
fn messages_that_many_clients_do_not_finish_stay_within_maxmemory() {
    let gateway = holding("length");
    gateway.backend("sink").drain();
    let mut clients: Vec<_> = (0..HOLDERS).map(|_| gateway.open("sink")).collect();
    let base = gateway.process.memory();
    let fragment = frames::frame(CONTINUATION, &noise(64 << 10));
    let mut closed = 0;
    for client in &mut clients {
        client.send(&frames::frame(BINARY, b""));
        for _ in 0..HELD / (64 << 10) {
            // The gateway may close before the last.
            let _ = client.stream.write_all(&fragment);
        }
        let _ = client.stream.write_all(&message(PING, b""));
        match client.frame() {
            frame if frame.opcode == PONG => {}
            frame => {
                assert_eq!(
                    (frame.opcode, frame.payload),
                    (CLOSE, 1013_u16.to_be_bytes().into())
                );
                closed += 1;
            }
        }
    }
    assert_within_maxmemory(&gateway, base, closed);
}

#[test]
fn messages_that_many_backends_do_not_finish_stay_within_maxmemory() {
    let gateway = holding("nul");
    let backend = gateway.backend("source");
    let pairs: Vec<_> = (0..HOLDERS)
        .map(|_| (gateway.open("source"), backend.accept()))
        .collect();
    let base = gateway.process.memory();
    let bytes = vec![b'x'; HELD];
    let mut held = Vec::new();
    for (mut client, connection) in pairs {
        let mut writer = connection.stream.try_clone().expect("a descriptor");
        let sent = bytes.clone();
        // The gateway no longer reads a client that it has closed.
        let sender = std::thread::spawn(move || writer.write_all(&sent));
        client
            .stream
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let has_close = loop {
            match client.stream.peek(&mut [0]) {
                Ok(_) => break true,
                Err(_) if sender.is_finished() => break false,
                Err(_) => {}
            }
        };
        client.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        match has_close {
            true => {
                client.expect_close(1013);
                drop(client);
            }
            false => held.push((client, connection)),
        }
        drop(sender.join());
    }
    assert_within_maxmemory(&gateway, base, HOLDERS - held.len());
}
