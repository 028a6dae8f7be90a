//! Signals that reach the daemon's threads wherever they wait: nothing is lost, and nobody ends.
//!
//! The thread that watches calls others out of reads that last (`park`), and what it means for one
//! read may arrive in what follows it.

use std::io::{Read, Write};

use nix::sys::signal::Signal;

use crate::certificates::Files;
use crate::client::Client;
use crate::faults::{NO_FAULTS, daemon_with};
use crate::frames::{self, noise};
use crate::gateway::{Gateway, free_address, is_emulated};

/// Clients one after the other; each opens, speaks and closes.
const CLIENTS: usize = 40;

/// Longer than what the sockets between client and backend hold together.
const LONG: usize = 4 << 20;

/// Starts a gateway in which one of three calls that wait is ended by a signal.
fn called(server: &str, websocket: &str) -> Gateway {
    let mut command = daemon_with("FAULT_CALLED", "3");
    Gateway::run(&mut command, free_address(), server, websocket)
}

/// Has a client exchange a message with an echo, and close.
fn exchange(mut client: Client, message: &[u8]) {
    client.binary(message);
    assert!(
        client.bytes(message.len()) == message,
        "bytes came as others"
    );
    client.send(&frames::close(1000));
    client.expect_close(1000);
    client.expect_end();
}

#[test]
fn a_signal_in_any_call_that_waits_ends_no_client() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let gateway = called(
        "",
        "links = ( { origin = \"length\"; type = \"unix\"; destination = \"DIR/run/stream\";
                     framing = \"length\"; } );",
    );
    gateway.backend("stream").echo();
    gateway.packet_backend("packets").echo();
    let message = noise(10_000);
    for service in ["stream", "packets", "length"] {
        for _ in 0..CLIENTS {
            exchange(gateway.open(service), &message);
        }
    }
    gateway.process.signal(Signal::SIGTERM);
    let (code, log) = gateway.process.finish();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_signal_in_a_write_that_waits_loses_no_byte() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let gateway = called("", "");
    let backend = gateway.backend("stream");
    let mut client = gateway.open("stream");
    let mut connection = backend.accept();
    let message = noise(LONG);
    std::thread::scope(|scope| {
        // Each side reads when all sockets to it are full, and writes wait.
        let mut stream = client.stream.try_clone().unwrap();
        scope.spawn(|| connection.give(&message));
        let said = frames::message(frames::BINARY, &message);
        scope.spawn(move || stream.write_all(&said).unwrap());
        assert!(client.bytes(LONG) == message, "bytes came as others");
    });
    assert!(connection.take(LONG) == message, "bytes went as others");
}

#[test]
fn a_signal_in_any_call_that_waits_ends_no_client_with_tls() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let files = Files::new();
    let gateway = called(&files.section("crt", "key"), "");
    gateway.backend("echo").echo();
    for _ in 0..CLIENTS {
        let mut client = files.open(&gateway, "echo");
        client
            .write_all(&frames::message(frames::BINARY, b"Hello"))
            .unwrap();
        let mut echo = [0; 7];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, *b"\x82\x05Hello");
        client.write_all(&frames::close(1000)).unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("a close_notify");
        assert_eq!(rest, b"\x88\x02\x03\xe8");
    }
}
