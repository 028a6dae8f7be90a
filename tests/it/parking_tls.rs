//! Silent clients with TLS hold no thread either: what `parking` proves for plain ones, and what
//! only TLS has: half a record, several in one read, new keys, close_notify.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::backend::Connection;
use crate::certificates::{Files, Tls};
use crate::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::gateway::Gateway;
use crate::parking::{AT_ONCE, MOMENT};
use crate::process::wait_until;

/// A gateway in which every direction is parked at once, and the client who has the only place.
fn sleepy(files: &Files, websocket: &str) -> (Gateway, Tls, Connection) {
    let gateway = files.gateway(AT_ONCE, &format!("park = 3600; {websocket}"));
    let backend = gateway.backend("first");
    let first = files.open(&gateway, "first");
    let connection = backend.accept();
    (gateway, first, connection)
}

/// The next frame, of 125 payload bytes at most: its opcode and payload.
fn frame(client: &mut Tls) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).expect("a frame");
    assert!(head[0] & FIN != 0 && head[1] < 126, "{head:?}");
    let mut payload = vec![0; usize::from(head[1])];
    client.read_exact(&mut payload).expect("a payload");
    (head[0] & 0x0f, payload)
}

/// The records that carry these pieces, one each, as bytes that have not been sent.
fn records(client: &mut Tls, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        client.conn.writer().write_all(piece).expect("memory");
        while client.conn.wants_write() {
            client.conn.write_tls(&mut bytes).expect("memory");
        }
    }
    bytes
}

fn send(client: &mut Tls, bytes: &[u8]) {
    client.sock.write_all(bytes).expect("the gateway reads");
}

fn say(client: &mut Tls, message: &[u8]) {
    client.write_all(message).expect("the gateway reads");
}

fn close_code(client: &mut Tls) -> u16 {
    let (opcode, payload) = frame(client);
    assert_eq!(opcode, CLOSE);
    u16::from_be_bytes([payload[0], payload[1]])
}

#[test]
fn silent_clients_with_tls_hold_no_thread() {
    let files = Files::new();
    let gateway = files.gateway("maxperip = 0;", "park = 1;");
    gateway.backend("echo").echo();
    let idle = gateway.process.threads();
    let mut clients: Vec<_> = (0..10).map(|_| files.open(&gateway, "echo")).collect();
    for _ in 0..2 {
        for client in &mut clients {
            say(client, &frames::message(TEXT, b"Hello"));
            assert_eq!(frame(client), (TEXT, b"Hello".to_vec()));
        }
        wait_until("the threads to end", || gateway.process.threads() <= idle);
    }
    for client in &mut clients {
        say(client, &frames::close(1000));
        assert_eq!(close_code(client), 1000);
        assert_eq!(client.read(&mut [0]).expect("a close_notify"), 0);
    }
}

#[test]
fn records_cut_at_each_byte_are_the_same_stream() {
    let files = Files::new();
    let (gateway, _first, _held) = sleepy(&files, "");
    let backend = gateway.backend("text");
    // One record each, so that the cut meets a message, a ping, a fragment, half a frame, half a
    // character and a pong, and half a record of each.
    let half = frames::message(TEXT, "ü".as_bytes());
    let (head, tail) = half.split_at(half.len() - 1);
    let pieces = [
        frames::message(TEXT, "Grüße".as_bytes()),
        frames::message(PING, b"1"),
        frames::frame(TEXT, "ß".as_bytes()),
        frames::message(PONG, b"nobody asked"),
        frames::frame(FIN | CONTINUATION, b"."),
        head.to_vec(),
        tail.to_vec(),
    ];
    let wanted = "Grüßeß.ü".as_bytes();
    let mut client = files.open(&gateway, "text");
    let mut served = backend.accept();
    for cut in 1.. {
        let bytes = records(&mut client, &pieces);
        if cut == bytes.len() {
            break;
        }
        send(&mut client, &bytes[..cut]);
        std::thread::sleep(MOMENT);
        send(&mut client, &bytes[cut..]);
        assert_eq!(served.take(wanted.len()), wanted, "cut at {cut}");
        assert_eq!(frame(&mut client), (PONG, b"1".to_vec()));
    }
}

#[test]
fn many_messages_in_one_record_and_one_in_many_wake_a_client_once() {
    let files = Files::new();
    let (gateway, _first, _held) = sleepy(&files, "");
    gateway.backend("echo").echo();
    let mut client = files.open(&gateway, "echo");
    for round in 0..100_u8 {
        let message = frames::message(BINARY, &[round; 100]);
        // Ten in one record, behind a pong, which may not take them along when it is dropped.
        let many = [frames::message(PONG, b""), message.repeat(10)].concat();
        say(&mut client, &many);
        std::thread::sleep(Duration::from_micros(u64::from(round) * 10));
        let single: Vec<_> = message.iter().map(|byte| vec![*byte]).collect();
        let bytes = records(&mut client, &single);
        send(&mut client, &bytes);
        let mut got = Vec::new();
        while got.len() < 1100 {
            let mut head = [0; 4];
            client.read_exact(&mut head[..2]).expect("a frame");
            let length = match head[1] {
                126 => {
                    client.read_exact(&mut head[2..]).expect("a length");
                    usize::from(u16::from_be_bytes([head[2], head[3]]))
                }
                short => usize::from(short),
            };
            let start = got.len();
            got.resize(start + length, 0);
            client.read_exact(&mut got[start..]).expect("a payload");
        }
        assert!(got == [round; 1100], "round {round}");
    }
}

#[test]
fn half_a_record_holds_no_thread_and_wakes_nobody() {
    let files = Files::new();
    let gateway = files.gateway("maxperip = 0;", "park = 1;");
    gateway.backend("echo").echo();
    let idle = gateway.process.threads();
    let mut clients: Vec<_> = (0..10).map(|_| files.open(&gateway, "echo")).collect();
    let mut rests = Vec::new();
    for client in &mut clients {
        let bytes = records(client, &[frames::message(TEXT, b"Hello")]);
        send(client, &bytes[..bytes.len() / 2]);
        rests.push(bytes[bytes.len() / 2..].to_vec());
    }
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    for (client, rest) in clients.iter_mut().zip(&rests) {
        for byte in &rest[..rest.len() - 1] {
            send(client, &[*byte]);
        }
        assert!(gateway.process.threads() <= idle, "somebody is woken");
    }
    for (client, rest) in clients.iter_mut().zip(&rests) {
        send(client, &rest[rest.len() - 1..]);
        assert_eq!(frame(client), (TEXT, b"Hello".to_vec()));
    }
}

#[test]
fn parked_clients_with_tls_are_pinged_and_their_pongs_wake_nobody() {
    let files = Files::new();
    let gateway = files.gateway("", "park = 1; ping = 3;");
    let backend = gateway.backend("quiet");
    let idle = gateway.process.threads();
    let mut client = files.open(&gateway, "quiet");
    let mut served = backend.accept();
    let mut answer = || {
        let (opcode, payload) = frame(&mut client);
        assert_eq!(opcode, PING);
        say(&mut client, &frames::message(PONG, &payload));
    };
    wait_until("the threads to end", || {
        answer();
        gateway.process.threads() <= idle
    });
    for _ in 0..4 {
        answer();
        assert!(gateway.process.threads() <= idle, "somebody is woken");
    }
    served.give(b"Hello");
    while frame(&mut client) != (TEXT, b"Hello".to_vec()) {}
    // One that answers no more is cut.
    assert_eq!(served.rest(), b"");
}

#[test]
fn new_keys_are_taken_and_answered_while_a_client_sleeps() {
    let files = Files::new();
    let (gateway, _first, _held) = sleepy(&files, "");
    gateway.backend("echo").echo();
    let mut client = files.open(&gateway, "echo");
    for _ in 0..50 {
        client.conn.refresh_traffic_keys().expect("TLS 1.3");
        client.flush().expect("the gateway reads");
        std::thread::sleep(MOMENT);
        say(&mut client, &frames::message(TEXT, b"Hello"));
        assert_eq!(frame(&mut client), (TEXT, b"Hello".to_vec()));
    }
}

#[test]
fn ends_and_resets_of_parked_sides_arrive_over_tls() {
    let files = Files::new();
    let (gateway, _first, _held) = sleepy(&files, "");
    let backend = gateway.backend("x");
    let open = || {
        let pair = (files.open(&gateway, "x"), backend.accept());
        std::thread::sleep(MOMENT);
        pair
    };
    // The client ends: with close_notify alone, and without.
    let (mut client, mut served) = open();
    client.conn.send_close_notify();
    client.flush().expect("the gateway reads");
    assert_eq!(served.rest(), b"");
    drop((client, served));
    let (client, mut served) = open();
    client.sock.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(served.rest(), b"");
    drop((client, served));
    // The client is gone, with a reset: it has not read its frame.
    let (client, mut served) = open();
    served.give(b"unread");
    client.sock.peek(&mut [0]).expect("a frame");
    drop(client);
    assert_eq!(served.rest(), b"");
    drop(served);
    // Bytes that are no record.
    let (mut client, mut served) = open();
    send(&mut client, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(served.rest(), b"");
    drop((client, served));
    // The client closes.
    let (mut client, mut served) = open();
    say(&mut client, &frames::close(3000));
    assert_eq!(served.rest(), b"");
    drop(served);
    assert_eq!(close_code(&mut client), 3000);
    assert_eq!(client.read(&mut [0]).expect("a close_notify"), 0);
    // The backend says something and ends.
    let (mut client, mut served) = open();
    served.give(b"last");
    drop(served);
    assert_eq!(frame(&mut client), (TEXT, b"last".to_vec()));
    assert_eq!(close_code(&mut client), 1000);
    say(&mut client, &frames::close(1000));
    assert_eq!(client.read(&mut [0]).expect("a close_notify"), 0);
}

#[test]
fn parked_clients_with_tls_survive_a_reload_and_are_told_of_a_stop() {
    let files = Files::new();
    let (mut gateway, mut first, _held) = sleepy(&files, "");
    gateway.backend("echo").echo();
    let mut clients: Vec<_> = (0..10).map(|_| files.open(&gateway, "echo")).collect();
    gateway.process.signal(Signal::SIGHUP);
    (gateway.process)
        .find_line(|line| line.contains("configuration read again"))
        .expect("a line");
    for client in &mut clients {
        say(client, &frames::message(TEXT, b"still here"));
        assert_eq!(frame(client), (TEXT, b"still here".to_vec()));
    }
    gateway.process.signal(Signal::SIGTERM);
    for client in clients.iter_mut().chain([&mut first]) {
        assert_eq!(close_code(client), 1001);
        say(client, &frames::close(1001));
    }
    assert!(gateway.process.wait().success());
}
