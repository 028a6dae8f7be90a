//! How connections end: the close table, and what each side sees of it.

use std::io::Write;
use std::net::Shutdown;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};

use crate::frames::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, message, noise};
use crate::gateway::{Gateway, is_emulated};
use crate::process::wait_until;

#[test]
fn each_valid_close_code_is_echoed_and_the_backend_sees_the_end() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let codes: [u16; 16] = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    for code in codes {
        let mut client = gateway.open("sink");
        let mut connection = backend.accept();
        client.text("earlier");
        client.send(&frames::frame(
            FIN | CLOSE,
            &[&code.to_be_bytes()[..], b"why"].concat(),
        ));
        assert_eq!(connection.rest(), b"earlier");
        drop(connection);
        client.expect_close(code);
        client.expect_end();
    }
}

#[test]
fn a_close_without_a_code_is_answered() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    client.send(&frames::frame(FIN | CLOSE, b""));
    assert_eq!(backend.accept().rest(), b"");
    let answer = client.frame();
    assert_eq!(answer.opcode, CLOSE);
    assert!(answer.payload.is_empty() || answer.payload == 1000_u16.to_be_bytes());
    client.expect_end();
}

#[test]
fn close_codes_that_may_not_be_sent_close_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        let mut client = gateway.open("sink");
        client.send(&frames::close(code));
        client.expect_close(1002);
    }
    let mut client = gateway.open("sink");
    client.send(&frames::frame(FIN | CLOSE, &[3]));
    client.expect_close(1002);
}

#[test]
fn a_close_reason_that_is_not_utf_8_closes_with_1007() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    client.send(&frames::frame(FIN | CLOSE, &[3, 0xe8, 0xff]));
    client.expect_close(1007);
}

#[test]
fn broken_control_frames_close_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let broken = [
        ("a fragmented ping", frames::frame(PING, b"")),
        ("a ping of 126 bytes", message(PING, &[0; 126])),
        ("a fragmented close", frames::frame(CLOSE, &[3, 0xe8])),
        ("a close of 126 bytes", message(CLOSE, &[b'a'; 126])),
    ];
    for (what, bytes) in broken {
        let mut client = gateway.open("sink");
        client.send(&bytes);
        assert_eq!(client.expect_close(1002), "", "the reason after {what}");
    }
}

#[test]
fn fragments_out_of_order_close_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let mut client = gateway.open("sink");
    client.send(&frames::frame(FIN | CONTINUATION, b"of nothing"));
    client.expect_close(1002);
    let mut client = gateway.open("sink");
    client.send(&frames::frame(TEXT, b"begun"));
    client.send(&frames::frame(FIN | TEXT, b"and begun again"));
    client.expect_close(1002);
}

#[test]
fn lengths_written_longer_than_needed_close_with_1002() {
    let gateway = Gateway::start("");
    gateway.backend("sink").drain();
    let short_as_16 = [0x82, 0x80 | 126, 0, 125];
    let short_as_64 = [0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    for head in [&short_as_16[..], &short_as_64[..]] {
        let mut client = gateway.open("sink");
        client.send(&[head, &frames::KEY].concat());
        client.expect_close(1002);
    }
}

#[test]
fn a_client_that_vanishes_is_the_end_for_the_backend() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let client = gateway.open("sink");
    drop(client);
    assert_eq!(backend.accept().rest(), b"");

    let client = gateway.open("sink");
    let mut connection = backend.accept();
    let reset = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&client.stream, sockopt::Linger, &reset).unwrap();
    drop(client);
    assert_eq!(connection.rest(), b"");
}

#[test]
fn a_backend_that_resets_closes_with_1011() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("crash");
    let mut client = gateway.open("crash");
    client.text("never read");
    let connection = backend.accept();
    connection.wait_readable();
    // Closing a UNIX socket with unread bytes resets it (unix(7)).
    drop(connection);
    client.expect_close(1011);
}

#[test]
fn a_backend_that_turns_the_client_away_closes_with_1013() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("full");
    let mut client = gateway.open("full");
    drop(backend.accept());
    client.expect_close(1013);
    // One that has been told something has taken the client.
    let mut client = gateway.open("full");
    let mut connection = backend.accept();
    client.text("go");
    assert_eq!(connection.take(2), b"go");
    drop(connection);
    client.expect_close(1000);
}

#[test]
fn bytes_the_backend_wrote_before_its_end_all_arrive() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let bytes = noise(3_000_000);
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || connection.give(&sent));
    assert!(client.bytes(bytes.len()) == bytes);
    client.expect_close(1000);
    sender.join().unwrap();
}

#[test]
fn our_close_is_not_lost_to_a_client_that_is_still_sending() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    let _connection = backend.accept();
    client.send(&frames::frame(FIN | 3, b"a reserved opcode"));
    let writer = client.stream.try_clone().unwrap();
    let flood = message(BINARY, &noise(4_000_000));
    let sender = std::thread::spawn(move || (&writer).write_all(&flood));
    client.expect_close(1002);
    sender
        .join()
        .unwrap()
        .expect("the gateway reads on until the client's Close");
    client.send(&frames::close(1002));
    client.expect_end();
}

#[test]
fn nothing_follows_a_close() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("talker");
    let mut client = gateway.open("talker");
    let mut connection = backend.accept();
    let talker = std::thread::spawn(move || {
        while connection.stream.write_all(&[b'x'; 1000]).is_ok() {
            // The gateway ends this after seconds, in which it need not fill a processor.
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    client.message();
    client.send(&frames::close(1000));
    while client.message_or_close() {}
    client.expect_end();
    talker.join().unwrap();
}

#[test]
fn a_client_that_never_answers_our_close_is_let_go() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("short");
    let mut client = gateway.open("short");
    drop(backend.accept());
    client.expect_close(1013);
    client.expect_end();
}

#[test]
fn a_silent_client_is_pinged_and_kept_while_it_answers() {
    let gateway = Gateway::start("ping = 3;");
    let backend = gateway.backend("quiet");
    let mut client = gateway.open("quiet");
    let mut connection = backend.accept();
    for _ in 0..2 {
        let ping = client.frame();
        assert_eq!(ping.opcode, PING);
        client.send(&message(PONG, &ping.payload));
    }
    client.text("still here");
    assert_eq!(connection.take(10), b"still here");
}

#[test]
fn a_client_that_answers_no_ping_is_let_go() {
    let gateway = Gateway::start("ping = 1;");
    let backend = gateway.backend("quiet");
    let mut client = gateway.open("quiet");
    assert_eq!(client.frame().opcode, PING);
    assert_eq!(backend.accept().rest(), b"");
}

#[test]
fn a_pong_nobody_asked_for_is_ignored() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    client.send(&message(PONG, b"hello"));
    client.text("data");
    assert_eq!(backend.accept().take(4), b"data");
}

#[test]
fn sigterm_closes_with_1001_and_the_daemon_ends_with_0() {
    let mut gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let clients: Vec<_> = (0..3).map(|_| gateway.open("echo")).collect();
    gateway.process.signal(Signal::SIGTERM);
    for mut client in clients {
        client.expect_close(1001);
        client.send(&frames::close(1001));
        client.expect_end();
    }
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn a_client_that_answers_nothing_does_not_hold_up_the_end() {
    let mut gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    gateway.process.signal(Signal::SIGTERM);
    client.expect_close(1001);
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_the_daemon_at_once() {
    let mut gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let peer = client.stream.local_addr().unwrap().to_string();
    gateway.process.signal(Signal::SIGTERM);
    client.expect_close(1001);
    gateway.process.signal(Signal::SIGTERM);
    // After one signal the daemon waits up to 5 s for the client's Close, and logs the end of the
    // connection. After two it does neither.
    let end = gateway.process.find_line(|line| line.contains(&peer));
    assert_eq!(end, None, "it waited for the client");
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn descriptors_and_threads_are_given_back() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let (descriptors, threads) = (gateway.process.descriptors(), gateway.process.threads());
    for round in 0..60 {
        let mut client = gateway.open("sink");
        let connection = backend.accept();
        match round % 3 {
            0 => drop(connection),
            1 => client.send(&frames::close(1000)),
            _ => client.stream.shutdown(Shutdown::Both).unwrap(),
        }
    }
    wait_until("descriptors and threads to return", || {
        (gateway.process.descriptors(), gateway.process.threads()) == (descriptors, threads)
    });
}

#[test]
fn a_slow_client_that_goes_on_talking_gets_all_that_the_backend_said_before_its_end() {
    if is_emulated("the emulator does not tell what a client has not read") {
        return;
    }
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut client = gateway.open("sink");
    setsockopt(&client.stream, sockopt::RcvBuf, &(64 << 10)).expect("a small buffer");
    let mut connection = backend.accept();
    let said = noise(1 << 20);
    connection.give(&said);
    let listener = spawn(move || {
        let _ = connection.stream.shutdown(Shutdown::Write);
        connection.rest()
    });
    let (mut got, mut talk, begun) = (Vec::<u8>::new(), String::new(), Instant::now());
    loop {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload, 1000_u16.to_be_bytes());
            break;
        }
        got.extend(&frame.payload);
        client.text("a");
        talk.push('a');
        // The Close waits behind the rest for longer than a client that takes nothing may.
        if begun.elapsed() < Duration::from_secs(7) {
            sleep(Duration::from_micros(frame.payload.len() as u64 * 12));
        }
    }
    client.send(&frames::close(1000));
    client.expect_end();
    assert!(got == said, "bytes came as others");
    assert_eq!(listener.join().expect("no panic"), talk.as_bytes());
}
