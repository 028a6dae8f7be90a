//! Bad input in quantity: nothing leaks, nothing grows, nobody starves.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::frames::{self, BINARY, FIN, message, noise};
use crate::gateway::Gateway;

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
