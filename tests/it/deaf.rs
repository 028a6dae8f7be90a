//! Backends that do not read: their clients hold no thread, and every byte gets there when they do.

use std::io::{Read, Write};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::backend::Connection;
use crate::certificates::Files;
use crate::client::Client;
use crate::frames::{self, BINARY, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::gateway::Gateway;
use crate::process::wait_until;

/// Bytes that each client says: far more than the socket of a backend holds.
const FLOOD: usize = 2 << 20;

/// Longer than a write of the gateway waits.
const PAUSE: Duration = Duration::from_millis(400);

/// Clients that hold threads if they can: twice as many as there may be threads.
const FEW: &str = "maxperip = 0; maxthreads = 4;";

/// Characters of several bytes in the messages of a client: in some none, in some more than a buffer
/// holds.
const MIXED: [usize; 8] = [0, 1, 30, 700, 3, 25_000, 9, 60];

/// Those of messages of which a buffer holds many.
const SHORT: [usize; 8] = [0, 1, 30, 300, 3, 2, 9, 60];

/// The messages that a client says; some have no byte, and of the others no two are alike.
fn messages(lengths: [usize; 8]) -> Vec<String> {
    let mut said = 0;
    let mut messages = Vec::new();
    for number in 0.. {
        if said >= FLOOD {
            break;
        }
        let text = format!("{number}: Grüße, {}", "€".repeat(lengths[number % 8]));
        let text = if number % 8 == 0 { String::new() } else { text };
        said += text.len();
        messages.push(text);
    }
    messages
}

/// Messages as a client sends them: most of them whole, some in fragments that cut characters, with
/// a ping between them.
fn frames(messages: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, text) in messages.iter().enumerate() {
        let text = text.as_bytes();
        if number % 5 > 0 {
            bytes.extend(frames::message(TEXT, text));
            continue;
        }
        let (first, rest) = text.split_at(text.len() / 3);
        bytes.extend(frames::frame(TEXT, first));
        if number % 100 == 0 {
            bytes.extend(frames::message(PING, b"still there?"));
        }
        bytes.extend(frames::frame(FIN | CONTINUATION, rest));
    }
    bytes
}

/// Has a client say all of it, as long as somebody listens.
fn say(client: &Client, bytes: Vec<u8>) -> JoinHandle<()> {
    let mut stream = client.stream.try_clone().expect("a descriptor");
    stream.set_write_timeout(None).expect("a socket");
    spawn(move || drop(stream.write_all(&bytes)))
}

/// Closes a client, which is told of its pings first.
fn leave(client: &mut Client) {
    client.send(&frames::close(1000));
    loop {
        let frame = client.frame();
        if frame.opcode != PONG {
            assert_eq!(frame.payload, 1000_u16.to_be_bytes());
            break;
        }
        assert_eq!(frame.payload, b"still there?");
    }
    client.expect_end();
}

/// Reads so many bytes of a backend with pauses, in which the gateway's writes give up.
fn take_slowly(connection: &mut Connection, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < count {
        if got.len() % 4 == 0 || got.is_empty() {
            sleep(PAUSE);
        }
        let left = count - got.len();
        got.extend(connection.take(left.min(300_001)));
    }
    got
}

#[test]
fn clients_of_backends_that_do_not_read_hold_no_thread_and_lose_nothing() {
    let gateway = Gateway::with(FEW, "park = 1;");
    gateway.backend("echo").echo();
    let backend = gateway.backend("deaf");
    let idle = gateway.process.threads();
    let messages = messages(MIXED);
    let open = |_| {
        let client = gateway.open("deaf");
        let speaker = say(&client, frames(&messages));
        (client, backend.accept(), speaker)
    };
    let connections: Vec<_> = (0..8).map(open).collect();
    for (_, connection, _) in &connections {
        connection.wait_readable();
    }
    let mut other = gateway.open("echo");
    for _ in 0..20 {
        other.text("Hello");
        assert_eq!(other.message().1, b"Hello");
    }
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    let whole = messages.concat();
    for (mut client, mut connection, speaker) in connections {
        let got = connection.take(whole.len());
        assert!(got == whole.as_bytes(), "lost or moved");
        speaker.join().expect("no panic");
        leave(&mut client);
        assert_eq!(connection.rest(), b"");
    }
}

#[test]
fn lines_and_lengths_for_a_backend_that_reads_now_and_then_stay_whole() {
    let messages = messages(MIXED);
    let lines: String = messages.iter().map(|text| format!("{text}\n")).collect();
    let mut lengths = Vec::new();
    for text in &messages {
        lengths.extend((text.len() as u32).to_be_bytes());
        lengths.push(TEXT);
        lengths.extend(text.as_bytes());
    }
    for (framing, wanted) in [("line", lines.into_bytes()), ("length", lengths)] {
        // The second server has memory for little: its threads wait.
        for memory in ["", "maxmemory = \"64K\";"] {
            let memory = if framing == "length" { "" } else { memory };
            let server = format!("{FEW} {memory}");
            let gateway = Gateway::with(&server, &format!("park = 1; framing = \"{framing}\";"));
            let backend = gateway.backend("deaf");
            let mut client = gateway.open("deaf");
            let mut connection = backend.accept();
            let speaker = say(&client, frames(&messages));
            let got = take_slowly(&mut connection, wanted.len());
            assert!(got == wanted, "{framing}: lost or moved");
            speaker.join().expect("no panic");
            leave(&mut client);
        }
    }
}

#[test]
fn a_message_that_is_held_whole_waits_whole_for_its_backend() {
    let gateway = Gateway::with(FEW, "park = 1; framing = \"length\";");
    let backend = gateway.backend("deaf");
    let mut client = gateway.open("deaf");
    let mut connection = backend.accept();
    let message = frames::noise(3 << 20);
    let (first, rest) = message.split_at(1 << 20);
    let mut bytes = frames::frame(BINARY, first);
    bytes.extend(frames::frame(FIN | CONTINUATION, rest));
    bytes.extend(frames::message(BINARY, b"and one more"));
    let speaker = say(&client, bytes);
    let head = connection.take(5);
    assert_eq!(head[..4], (message.len() as u32).to_be_bytes());
    assert!(take_slowly(&mut connection, message.len()) == message);
    assert_eq!(connection.take(17)[5..], *b"and one more");
    speaker.join().expect("no panic");
    leave(&mut client);
}

#[test]
fn packets_for_a_backend_that_reads_now_and_then_keep_their_bounds() {
    for (lengths, often) in [(MIXED, 60), (SHORT, 4000)] {
        let gateway = Gateway::with(FEW, "park = 1;");
        let backend = gateway.packet_backend("deaf");
        let mut client = gateway.open("deaf");
        let mut connection = backend.accept();
        let messages = messages(lengths);
        let speaker = say(&client, frames(&messages));
        for (number, text) in messages.iter().enumerate() {
            if number % often == 0 {
                sleep(PAUSE);
            }
            // A packet of 32 KiB does not end its message.
            for piece in text.as_bytes().chunks(32 << 10) {
                let packet = connection.packet().expect("a packet");
                assert!(packet == piece, "message {number}");
            }
            if text.len() % (32 << 10) == 0 {
                assert_eq!(connection.packet().as_deref(), Some(&b""[..]));
            }
        }
        speaker.join().expect("no panic");
        leave(&mut client);
    }
}

#[test]
fn a_client_that_leaves_while_its_backend_does_not_read_is_noticed() {
    let mut gateway = Gateway::with(FEW, "park = 1; ping = 1;");
    let backend = gateway.backend("deaf");
    let messages = messages(MIXED);
    let client = gateway.open("deaf");
    let mut connection = backend.accept();
    let speaker = say(&client, frames(&messages));
    connection.wait_readable();
    sleep(2 * PAUSE);
    client
        .stream
        .shutdown(std::net::Shutdown::Both)
        .expect("a socket");
    drop(client);
    speaker.join().expect("no panic");
    gateway.process.log_until("deaf: 1006, ");
    // What the backend then reads is the beginning of what was said.
    let got = connection.rest();
    assert!(messages.concat().as_bytes().starts_with(&got) && !got.is_empty());
    // Another one is still there, and does not hold up the stop.
    let client = gateway.open("deaf");
    let connection = backend.accept();
    let speaker = say(&client, frames(&messages));
    connection.wait_readable();
    gateway.process.signal(Signal::SIGTERM);
    assert!(gateway.process.wait().success());
    drop((client, connection));
    speaker.join().expect("no panic");
}

#[test]
fn clients_with_tls_of_backends_that_do_not_read_hold_no_thread_and_lose_nothing() {
    let files = Files::new();
    let gateway = files.gateway(FEW, "park = 1;");
    let backend = gateway.backend("deaf");
    let idle = gateway.process.threads();
    let messages = messages(MIXED);
    let open = |_| {
        let mut client = files.open(&gateway, "deaf");
        client.sock.set_write_timeout(None).expect("a socket");
        let bytes = frames(&messages);
        let speaker = spawn(move || {
            client.write_all(&bytes).expect("it is read");
            client.write_all(&frames::close(1000)).expect("it is read");
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).expect("an answer");
            assert!(rest.ends_with(&[0x88, 2, 3, 232]), "a Close");
        });
        (backend.accept(), speaker)
    };
    let connections: Vec<_> = (0..5).map(open).collect();
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    let whole = messages.concat();
    for (mut connection, speaker) in connections {
        let got = connection.take(whole.len());
        assert!(got == whole.as_bytes(), "lost or moved");
        assert_eq!(connection.rest(), b"");
        drop(connection);
        speaker.join().expect("no panic");
    }
}
