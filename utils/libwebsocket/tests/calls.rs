//! The calls that servers make rarely, one by one, from a C program that is linked with the
//! library instead of having it preloaded.

mod linked;
mod support;

use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use linked::{TEXT, ask, expect_ok};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use support::{Client, DEADLINE, Server, masked};

const BINARY: u8 = 0x82;

fn server() -> Server {
    linked::server("tests/servers/calls.c")
}

#[test]
fn peeking_takes_nothing() {
    expect_ok(ask(&server(), "peek", &[(TEXT, b"abcdef")]));
}

#[test]
fn what_there_is_of_a_message_is_received_as_a_piece() {
    let server = server();
    let mut client = server.client();
    let frame = masked(TEXT, b"halfmore and the rest");
    client.send(TEXT, b"pieces");
    client.raw(&frame[..6 + 4]);
    assert_eq!(client.frame(), (TEXT, b"go".to_vec()));
    client.raw(&frame[6 + 4..6 + 8]);
    expect_ok(client);
}

#[test]
fn an_old_kernel_is_not_asked_to_wait_for_more_than_it_can() {
    let server = server();
    let mut client = server.client();
    let frame = masked(BINARY, &[b'x'; 60_000]);
    client.send(TEXT, b"old_kernel");
    client.raw(&frame[..8 + 40_000]);
    assert_eq!(client.frame(), (BINARY, b"go".to_vec()));
    client.raw(&frame[8 + 40_000..]);
    let (_, answer) = client.frame();
    assert_eq!(String::from_utf8_lossy(&answer), "ok");
}

#[test]
fn waiting_for_all_reads_over_frames() {
    let frames = [
        (TEXT, &b"ab"[..]),
        (0x89, b""),
        (0x01, b"cd"),
        (0x80, b"ef"),
    ];
    let server = server();
    let mut client = ask(&server, "waitall", &frames);
    assert_eq!(client.frame(), (0x8a, vec![]));
    expect_ok(client);
}

#[test]
fn fionread_tells_what_a_read_gives() {
    expect_ok(ask(
        &server(),
        "fionread",
        &[(TEXT, b"12345"), (TEXT, b"67")],
    ));
}

#[test]
fn all_descriptors_of_a_client_share_it() {
    let server = server();
    let mut client = server.client();
    client.send(TEXT, b"dup");
    for word in ["one", "two", "three", "four"] {
        client.send(TEXT, word.as_bytes());
    }
    expect_ok(client);
}

#[test]
fn pings_do_not_shorten_or_lengthen_a_wait() {
    let server = server();
    let mut client = server.client();
    client.send(TEXT, b"timeouts");
    client.stream.set_nonblocking(false).expect("blocking");
    let mut pings = client.stream.try_clone().expect("a second handle");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed)
                && pings.write_all(&masked(0x89, b"?")).is_ok()
            {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let answer = loop {
            match client.frame() {
                (0x8a, payload) => assert_eq!(payload, b"?"),
                answer => break answer,
            }
        };
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(
            (answer.0, String::from_utf8_lossy(&answer.1).as_ref()),
            (TEXT, "ok")
        );
    });
}

#[test]
fn a_gathered_write_is_one_message() {
    let server = server();
    let mut client = ask(&server, "vectors", &[(TEXT, b"abc")]);
    assert_eq!(client.frame(), (TEXT, b"xyz".to_vec()));
    expect_ok(client);
}

#[test]
fn nothing_bypasses_the_frames() {
    expect_ok(ask(&server(), "bypass", &[]));
}

#[test]
fn a_closed_descriptor_is_no_clients_and_messages_come_one_at_a_time() {
    let server = server();
    let mut client = ask(&server, "closings", &[(TEXT, b"one"), (TEXT, b"two")]);
    assert_eq!(client.frame(), (TEXT, b"one".to_vec()));
    expect_ok(client);
}

#[test]
fn only_text_goes_out_as_text() {
    let server = server();
    let mut client = ask(&server, "types", &[]);
    assert_eq!(client.frame(), (BINARY, vec![0xff]));
    assert_eq!(client.frame(), (TEXT, "\u{20ac}".as_bytes().to_vec()));
    expect_ok(client);
}

#[test]
fn after_its_shutdown_a_server_still_reads() {
    let server = server();
    let mut client = ask(&server, "half_close", &[]);
    let (kind, payload) = client.frame();
    assert_eq!((kind, &payload[..]), (0x88, &1000u16.to_be_bytes()[..]));
    client.send(TEXT, b"later");
    client.send(0x88, &payload);
    client.at_end();
}

#[test]
fn partial_writes_lose_and_repeat_nothing() {
    let server = server();
    let mut client = ask(&server, "partial", &[]);
    // Let it run into a full socket first.
    std::thread::sleep(Duration::from_millis(200));
    let data = client.payload(TEXT, 8 << 20);
    assert!(
        data.iter()
            .enumerate()
            .all(|(at, byte)| *byte == b'a' + (at % 23) as u8)
    );
    assert_eq!(data.len(), 8 << 20);
    expect_ok(client);
}

#[test]
fn a_child_that_closes_leaves_its_parents_epoll_alone() {
    expect_ok(ask(&server(), "fork_epoll", &[(TEXT, b"after the fork")]));
}

#[test]
fn a_fork_does_not_take_the_parents_close_away() {
    let server = server();
    let mut client = server.client();
    client.send(TEXT, b"fork_in_read");
    std::thread::sleep(Duration::from_secs(1));
    client.send(0x88, &1001u16.to_be_bytes());
    assert_eq!(client.closed(), Some(1001));
    for name in ["fork_then_poll", "fork_then_select", "fork_with_epoll"] {
        let mut client = ask(&server, name, &[]);
        assert_eq!(
            client.frame(),
            (0x88, 1000u16.to_be_bytes().to_vec()),
            "{name}"
        );
    }
    ask(&server, "fork_alone", &[]).at_end();
}

/// The first frame behind those that filled the socket.
fn behind_the_filling(server: &Server, client: &mut Client) -> (u8, Vec<u8>) {
    let full = server.socket.with_extension("full");
    let started = Instant::now();
    while !full.exists() {
        assert!(started.elapsed() < DEADLINE, "it never fills");
        std::thread::sleep(Duration::from_millis(10));
    }
    loop {
        match client.frame() {
            (0x89, payload) => assert_eq!(payload, b"x"),
            other => return other,
        }
    }
}

#[test]
fn a_pong_that_finds_no_room_goes_as_soon_as_there_is() {
    let server = server();
    let mut client = ask(&server, "full_pong", &[(0x89, b"?")]);
    assert_eq!(
        behind_the_filling(&server, &mut client),
        (0x8a, b"?".to_vec())
    );
    client.send(TEXT, b"done");
    assert_eq!(client.closed(), Some(1000));
}

#[test]
fn a_close_that_finds_no_room_goes_once_and_as_soon_as_there_is() {
    let server = server();
    let mut client = ask(&server, "full_close", &[]);
    let half = (BINARY, vec![0xe2, 0x82]);
    assert_eq!(behind_the_filling(&server, &mut client), half);
    let close = (0x88, 1000u16.to_be_bytes().to_vec());
    assert_eq!(client.frame(), close);
    client.send(0x88, &close.1);
    client.at_end();
}

#[test]
fn a_close_that_finds_no_room_needs_no_further_call_of_a_blocking_server() {
    let server = server();
    let mut client = ask(&server, "full_then_close", &[]);
    let close = (0x88, 1000u16.to_be_bytes().to_vec());
    assert_eq!(behind_the_filling(&server, &mut client), close);
    client.send(0x88, &close.1);
    client.at_end();
}

#[test]
fn two_threads_write_whole_messages() {
    let server = server();
    for name in ["two_writers", "two_nonblocking_writers"] {
        for _ in 0..20 {
            let mut client = ask(&server, name, &[]);
            for _ in 0..2 * 200 {
                assert_eq!(client.frame(), (TEXT, b"some".to_vec()), "{name}");
            }
            client.send(0x88, b"");
            assert_eq!(client.closed(), Some(1000));
        }
    }
}

#[test]
fn a_fragment_that_found_no_room_is_sent_again() {
    let server = server();
    let mut client = ask(&server, "full_fragment", &[(0x89, b"?")]);
    let mut frames = vec![behind_the_filling(&server, &mut client)];
    frames.extend([client.frame(), client.frame()]);
    // The pong has no place among the others.
    frames.retain(|frame| *frame != (0x8a, b"?".to_vec()));
    assert_eq!(frames, [(0x01, b"begin".to_vec()), (0x80, b"end".to_vec())]);
}

#[test]
fn plain_clients_may_have_credentials_and_pass_descriptors() {
    let server = server();
    let null = std::fs::File::open("/dev/null").expect("a file");
    let descriptors = [null.as_raw_fd()];
    let rights = ControlMessage::ScmRights(&descriptors);
    // The last two are as long as what the gateway sends, or begin as it does.
    for (message, passes) in [
        (&b"hello"[..], false),
        (b"here is my log file", true),
        (b"sixteen bytes it", true),
        (b"\x02\0 and so on, but longer than it", true),
    ] {
        let mut plain = server.plain();
        let rights: &[_] = if passes { &[rights] } else { &[] };
        let sent = sendmsg::<()>(
            plain.as_raw_fd(),
            &[IoSlice::new(message)],
            rights,
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent, Ok(message.len()));
        let mut answer = String::new();
        plain.read_to_string(&mut answer).expect("an answer");
        let told = format!("{} bytes, {} descriptors", message.len(), i32::from(passes));
        assert_eq!(answer, told);
    }
    // And the gateway's message has credentials here, too.
    expect_ok(ask(&server, "bypass", &[]));
}
