//! Silent directions hold no thread, and nobody can tell: at the edge between silence and talk no
//! byte is lost, changed or moved.
//!
//! With `maxthreads = 2` one direction may wait with a thread in hand. Where a first connection has
//! that place, every other direction is parked as soon as there is nothing to read.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::backend::Connection;
use crate::client::Client;
use crate::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::gateway::Gateway;
use crate::process::wait_until;

/// A server in which every direction is parked at once, but one of the first client's.
pub(crate) const AT_ONCE: &str = "maxthreads = 2; maxperip = 0;";

/// For a direction to be parked, where a byte must not come too early to test anything. Nothing
/// fails if it takes longer.
pub(crate) const MOMENT: Duration = Duration::from_millis(3);

/// A gateway in which every direction is parked at once, and the client who has the only place.
fn sleepy() -> (Gateway, Client, Connection) {
    let gateway = Gateway::with(AT_ONCE, "park = 3600;");
    let backend = gateway.backend("first");
    let first = gateway.open("first");
    let connection = backend.accept();
    (gateway, first, connection)
}

#[test]
fn silent_clients_hold_no_thread() {
    let gateway = Gateway::with("maxperip = 0;", "park = 1;");
    gateway.backend("echo").echo();
    let idle = gateway.process.threads();
    let mut clients: Vec<_> = (0..40).map(|_| gateway.open("echo")).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.text("Hello");
            assert_eq!(client.message(), (TEXT, b"Hello".to_vec()));
        }
        wait_until("the threads to end", || gateway.process.threads() <= idle);
    }
    for client in &mut clients {
        client.send(&frames::message(CLOSE, &1000_u16.to_be_bytes()));
        client.expect_close(1000);
        client.expect_end();
    }
}

#[test]
fn a_stream_cut_at_each_byte_is_the_same_stream() {
    let (gateway, _first, _held) = sleepy();
    let backend = gateway.backend("echo");
    let pieces = [
        frames::message(TEXT, "Grüße".as_bytes()),
        frames::message(PING, b"1"),
        frames::frame(TEXT, "ü".as_bytes()),
        frames::message(PONG, b"nobody asked"),
        frames::frame(FIN | CONTINUATION, "ß".as_bytes()),
        frames::message(BINARY, &[0xff; 130]),
    ]
    .concat();
    let wanted = ["Grüßeüß".as_bytes(), &[0xff; 130]].concat();
    for cut in 1..pieces.len() {
        let mut client = gateway.open("echo");
        let mut served = backend.accept();
        client.send(&pieces[..cut]);
        std::thread::sleep(MOMENT);
        client.send(&pieces[cut..]);
        assert_eq!(served.take(wanted.len()), wanted, "cut at {cut}");
        let pong = client.frame();
        assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"1"[..]));
    }
}

#[test]
fn a_backends_character_cut_at_each_byte_is_one_text() {
    let (gateway, _first, _held) = sleepy();
    let backend = gateway.backend("text");
    let text = "aé€😀";
    let mut client = gateway.open("text");
    let mut served = backend.accept();
    for cut in 1..text.len() {
        let (one, two) = text.as_bytes().split_at(cut);
        served.give(one);
        std::thread::sleep(MOMENT);
        served.give(two);
        let mut got = Vec::new();
        while got.len() < text.len() {
            let (opcode, bytes) = client.message();
            assert_eq!(opcode, TEXT, "cut at {cut}");
            got.extend(bytes);
        }
        assert_eq!(got, text.as_bytes(), "cut at {cut}");
    }
}

#[test]
fn many_messages_at_any_moment_of_sleep_arrive_in_order() {
    let (gateway, _first, _held) = sleepy();
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let mut other = client.stream.try_clone().expect("a descriptor");
    let rounds = 2000_u32;
    let sender = std::thread::spawn(move || {
        for number in 0..rounds {
            let message = frames::message(BINARY, &number.to_be_bytes());
            let cut = (number as usize * 7) % message.len();
            other.write_all(&message[..cut]).expect("it is read");
            // From nothing to twice what a wake-up takes.
            let pause = Instant::now() + Duration::from_micros(u64::from(number % 200));
            while Instant::now() < pause {
                std::hint::spin_loop();
            }
            other.write_all(&message[cut..]).expect("it is read");
        }
    });
    let got = client.bytes(4 * rounds as usize);
    let wanted: Vec<u8> = (0..rounds).flat_map(u32::to_be_bytes).collect();
    assert!(got == wanted, "lost or moved");
    sender.join().expect("no panic");
}

#[test]
fn ends_and_resets_of_parked_sides_arrive() {
    let (gateway, _first, _held) = sleepy();
    let backend = gateway.backend("x");
    let open = || (gateway.open("x"), backend.accept());
    // The client ends.
    let (client, mut served) = open();
    client.stream.shutdown(Shutdown::Write).expect("a socket");
    assert_eq!(served.rest(), b"");
    drop((client, served));
    // The client is gone, with a reset: it has not read its frame.
    let (client, mut served) = open();
    served.give(b"unread");
    client.stream.peek(&mut [0]).expect("a frame");
    drop(client);
    assert_eq!(served.rest(), b"");
    drop(served);
    // The client closes.
    let (mut client, mut served) = open();
    client.send(&frames::message(CLOSE, &3000_u16.to_be_bytes()));
    assert_eq!(served.rest(), b"");
    drop(served);
    client.expect_close(3000);
    client.expect_end();
    // The backend ends, after a word: one that leaves at once has no room.
    let (mut client, mut served) = open();
    client.text("a");
    assert_eq!(served.take(1), b"a");
    std::thread::sleep(MOMENT);
    drop(served);
    client.expect_close(1000);
    client.send(&frames::message(CLOSE, &1000_u16.to_be_bytes()));
    client.expect_end();
    // The backend says something and ends.
    let (mut client, mut served) = open();
    served.give(b"last");
    drop(served);
    assert_eq!(client.message().1, b"last");
    client.expect_close(1000);
}

#[test]
fn packets_of_a_parked_backend_are_messages() {
    let (gateway, _first, _held) = sleepy();
    let backend = gateway.packet_backend("packets");
    let mut client = gateway.open("packets");
    let mut served = backend.accept();
    for number in 0..200_usize {
        let text = "x".repeat(number);
        client.text(&text);
        assert_eq!(served.packet().expect("a packet"), text.as_bytes());
        served.give(text.as_bytes());
        assert_eq!(client.message().1, text.as_bytes());
    }
    drop(served);
    client.expect_close(1000);
}

#[test]
fn parked_clients_are_pinged_and_their_pongs_wake_nobody() {
    let gateway = Gateway::with("maxperip = 0;", "park = 1; ping = 3;");
    let backend = gateway.backend("quiet");
    let idle = gateway.process.threads();
    let mut client = gateway.open("quiet");
    let mut served = backend.accept();
    let mut answer = || {
        let ping = client.frame();
        assert_eq!(ping.opcode, PING);
        client.send(&frames::message(PONG, &ping.payload));
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
    while client.message().1 != b"Hello" {}
    // One that answers no more is cut.
    assert_eq!(served.rest(), b"");
}

#[test]
fn a_client_that_is_parked_after_its_message_and_answers_no_ping_is_cut() {
    let gateway = Gateway::with(AT_ONCE, "park = 3600; ping = 4;");
    let held = gateway.backend("first");
    let mut first = gateway.open("first");
    let _held = held.accept();
    let backend = gateway.backend("quiet");
    let mut client = gateway.open("quiet");
    let mut served = backend.accept();
    client.text("Hello");
    assert_eq!(served.take(5), b"Hello");
    // Its thread has left once there was nothing more to read.
    assert_eq!(served.rest(), b"");
    assert_eq!(client.frame().opcode, PING);
    assert_eq!(first.frame().opcode, PING);
}

#[test]
fn parked_clients_survive_a_reload_and_are_told_of_a_stop() {
    let (mut gateway, mut first, _held) = sleepy();
    gateway.backend("echo").echo();
    let mut clients: Vec<_> = (0..50).map(|_| gateway.open("echo")).collect();
    gateway.process.signal(Signal::SIGHUP);
    (gateway.process)
        .find_line(|line| line.contains("configuration read again"))
        .expect("a line");
    for client in &mut clients {
        client.text("still here");
        assert_eq!(client.message().1, b"still here");
    }
    gateway.process.signal(Signal::SIGTERM);
    for client in clients.iter_mut().chain([&mut first]) {
        client.expect_close(1001);
        client.send(&frames::message(CLOSE, &1001_u16.to_be_bytes()));
    }
    assert!(gateway.process.wait().success());
}

#[test]
fn a_broadcast_reaches_all_but_those_who_do_not_read() {
    let (gateway, _first, _held) = sleepy();
    let backend = gateway.backend("news");
    let mut served = Vec::new();
    let mut clients: Vec<_> = (0..100)
        .map(|_| {
            let client = gateway.open("news");
            served.push(backend.accept());
            client
        })
        .collect();
    // Ten of them do not read: their sockets are full, and what copies for them is stuck.
    let deaf: Vec<_> = clients.drain(..10).collect();
    let floods: Vec<_> = served.drain(..10).collect();
    let floods = floods.into_iter().map(|mut connection| {
        std::thread::spawn(move || {
            // Ends when the client does.
            while connection.stream.write_all(&[b'x'; 65_536]).is_ok() {}
        })
    });
    let floods: Vec<_> = floods.collect();
    for round in 0..5 {
        let text = format!("round {round}");
        for connection in &mut served {
            connection.give(text.as_bytes());
        }
        for client in &mut clients {
            assert_eq!(client.message().1, text.as_bytes());
        }
    }
    drop(deaf);
    for flood in floods {
        flood.join().expect("no panic");
    }
}

#[test]
fn half_messages_hold_up_nobody() {
    let (gateway, _first, _held) = sleepy();
    gateway.backend("echo").echo();
    let half = frames::frame(TEXT, b"half a message");
    let mut clients: Vec<_> = (0..20).map(|_| gateway.open("echo")).collect();
    for client in &mut clients {
        client.send(&half);
        client.send(&[FIN | CONTINUATION, 0x80]);
    }
    let mut other = gateway.open("echo");
    for _ in 0..20 {
        other.text("whole");
        assert_eq!(other.message().1, b"whole");
    }
    for client in &mut clients {
        client.send(&[1, 2, 3, 4]);
        assert_eq!(client.message().1, b"half a message");
    }
}
