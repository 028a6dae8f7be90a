//! Bad input in quantity: nothing leaks, nothing grows, nobody starves.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::frames::{self, BINARY, FIN, PING, Random, TEXT, message, noise};
use crate::gateway::Gateway;
use crate::http::{Response, try_ask, upgrade};
use crate::process::wait_until;

/// KiB that memory may grow by under any flood: buffers of both threads, and
/// what the allocator keeps.
const FLAT: usize = 512;

/// After this long without progress a writer counts as stopped.
const STALL: Duration = Duration::from_secs(2);

/// Writes `chunk` again and again until the other side takes no more; returns
/// how many bytes it took.
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
    assert!(grown <= FLAT, "{grown} KiB more, {sent} bytes sent");
    // And what was taken is still delivered.
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
    assert!(grown <= FLAT, "{grown} KiB more, {sent} bytes sent");
    drop(connection);
    let got = client.bytes(sent);
    assert!(
        got.chunks(chunk.len())
            .all(|piece| piece == &chunk[..piece.len()])
    );
    client.expect_close(1000);
}

#[test]
fn a_flood_of_pings_from_a_client_that_reads_nothing_costs_no_memory() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let mut connection = backend.accept();
    let base = gateway.process.memory();
    let pings: Vec<u8> = (0..1000)
        .flat_map(|_| message(PING, &[b'p'; 125]))
        .collect();
    let writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..100 {
            (&writer).write_all(&pings).unwrap();
        }
        (&writer).write_all(&message(TEXT, b"after")).unwrap();
    });
    // The pings come first: that this arrives proves they were all read.
    assert_eq!(connection.take(5), b"after");
    sender.join().unwrap();
    let grown = gateway.process.memory().saturating_sub(base);
    assert!(grown <= FLAT, "{grown} KiB more");
    drop(connection);
    while client.frame().opcode == frames::PONG {}
}

#[test]
fn fragments_without_end_cost_no_memory() {
    for settings in ["", "framing = \"line\"; maxmessage = 65536;"] {
        let gateway = Gateway::start(settings);
        let backend = gateway.backend("sink");
        let mut client = gateway.open("sink");
        let mut connection = backend.accept();
        let base = gateway.process.memory();
        let reader = std::thread::spawn(move || connection.rest().len());
        client.send(&frames::frame(BINARY, b"a"));
        let fragments: Vec<u8> = (0..1000).flat_map(|_| frames::frame(0, b"a")).collect();
        for _ in 0..131 {
            // With a limit on messages the gateway may close before the last.
            if client.stream.write_all(&fragments).is_err() {
                break;
            }
        }
        let grown = gateway.process.memory().saturating_sub(base);
        assert!(grown <= FLAT, "{grown} KiB more with {settings:?}");
        drop(client);
        reader.join().unwrap();
    }
}

#[test]
fn row_26_half_handshakes_do_not_keep_a_new_client_out() {
    let gateway = Gateway::with("maxclients = 600;", "");
    gateway.backend("echo").echo();
    let base = gateway.process.memory();
    let halves: Vec<_> = (0..500)
        .map(|_| {
            let mut stream = gateway.connect();
            stream.write_all(b"GET /echo HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    let mut client = gateway.open("echo");
    client.text("served");
    assert_eq!(client.message().1, b"served");
    let grown = gateway.process.memory().saturating_sub(base);
    assert!(grown < 500 * 40, "{grown} KiB more for 500 half handshakes");
    drop(halves);
    wait_until("the half handshakes to be gone", || {
        gateway.process.threads() < 20
    });
}

/// A request head that is wrong in some way, and may be right by chance.
fn malformed(gateway: &Gateway, random: &mut Random) -> Vec<u8> {
    let mut request = upgrade(gateway, "/sink", "").into_bytes();
    match random.below(8) {
        0 => request.truncate(random.below(request.len())),
        1 => {
            let place = random.below(request.len());
            request[place] = random.next() as u8;
        }
        2 => {
            let place = random.below(request.len());
            request.splice(place..place, noise(1 + random.below(40)));
        }
        3 => request = noise(1 + random.below(2000)),
        4 => {
            let header = format!("X: {}\r\n", "y".repeat(random.below(30_000)));
            request = upgrade(gateway, "/sink", &header).into_bytes();
        }
        5 => {
            let headers = "A: b\r\n".repeat(random.below(2000));
            request = upgrade(gateway, "/sink", &headers).into_bytes();
        }
        6 => {
            let place = random.below(request.len());
            let end = (place + random.below(30)).min(request.len());
            request.drain(place..end);
        }
        _ => {
            let odd: [&[u8]; 6] = [
                b"GET /sink\r\n\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"GET http://a/sink HTTP/1.1\r\nHost: b\r\n\r\n",
                b"GET /sink HTTP/1.1\nHost: b\n\n",
                b"\r\n\r\n\r\n",
            ];
            request = odd[random.below(odd.len())].to_vec();
        }
    }
    request
}

#[test]
fn after_10_000_malformed_heads_descriptors_and_memory_are_back_at_their_base() {
    let gateway = Gateway::start("");
    gateway.backend("sink").echo();
    let threads = gateway.process.threads();
    let mut random = Random::new(11);
    let (mut descriptors, mut memory) = (0, 0);
    for number in 0..10_000 {
        // Once the allocator has seen all kinds, a base can be taken.
        if number == 1000 {
            wait_until("the threads to end", || {
                gateway.process.threads() == threads
            });
            (descriptors, memory) = (gateway.process.descriptors(), gateway.process.memory());
        }
        let request = malformed(&gateway, &mut random);
        let mut stream = gateway.connect();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(Shutdown::Write);
        // A gateway that refuses a long head early may reset what it did not read.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let head = String::from_utf8_lossy(&answer[..answer.len().min(13)]).into_owned();
        assert!(
            head.is_empty()
                || head.starts_with("HTTP/1.1 4")
                || head.starts_with("HTTP/1.1 101")
                || head.starts_with("HTTP/1.1 505"),
            "request {number} {shown:?} got {head:?}"
        );
    }
    wait_until("descriptors and threads to return", || {
        (gateway.process.descriptors(), gateway.process.threads()) == (descriptors, threads)
    });
    let grown = gateway.process.memory().saturating_sub(memory);
    assert!(grown <= 256, "{grown} KiB more");
    assert!(
        !gateway.process.log().contains("panicked"),
        "{}",
        gateway.process.log()
    );
}

#[test]
fn out_of_descriptors_it_recovers() {
    let gateway = Gateway::with("maxclients = 1000;", "");
    gateway.backend("echo").echo();
    let limit = gateway.process.descriptors() as u64 + 20;
    gateway.process.limit_descriptors(limit);
    let streams: Vec<_> = (0..60).map(|_| gateway.connect()).collect();
    for mut stream in &streams {
        let _ = stream.write_all(upgrade(&gateway, "/echo", "").as_bytes());
    }
    drop(streams);
    wait_until("a client to be served again", || {
        try_ask(&gateway, upgrade(&gateway, "/absent", "").as_bytes())
            .is_some_and(|response: Response| response.status == 404)
    });
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
