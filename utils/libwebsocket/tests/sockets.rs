//! What programs ask of their sockets, and by which calls they reach them beside read and write:
//! each works, or is refused.

mod linked;
mod support;

use std::time::Duration;

use linked::{TEXT, ask, ask_with_gateway, expect_ok};
use support::Server;

fn server() -> Server {
    linked::server("tests/servers/sockets.c")
}

#[test]
fn a_client_looks_like_a_unix_socket_but_to_who_asks_for_its_address() {
    expect_ok(ask_with_gateway(&server(), "addresses"));
}

#[test]
fn closing_all_descriptors_takes_nobody_elses() {
    expect_ok(ask_with_gateway(&server(), "closed_all"));
}

#[test]
fn sendfile_sends_frames_from_where_it_is_told() {
    let server = server();
    let mut client = ask(&server, "send_files", &[]);
    assert_eq!(client.frame(), (TEXT, b"5678901234".to_vec()));
    assert_eq!(client.frame(), (TEXT, b"3456".to_vec()));
    let file: Vec<u8> = b"0123456789".repeat(4000);
    for part in file.chunks(16 << 10) {
        assert_eq!(client.frame(), (TEXT, part.to_vec()));
    }
    expect_ok(client);
}

#[test]
fn sendfile_to_a_full_socket_loses_and_repeats_nothing() {
    let server = server();
    let mut client = ask(&server, "send_file_in_parts", &[]);
    // Let it run into a full socket first.
    std::thread::sleep(Duration::from_millis(200));
    let data = client.payload(TEXT, 8 << 20);
    let is_right = |(at, byte): (usize, &u8)| *byte == b'a' + (at % 23) as u8;
    assert!(data.iter().enumerate().all(is_right));
    expect_ok(client);
}

#[test]
fn what_would_bypass_the_frames_is_refused_and_takes_nothing() {
    let words = [(TEXT, &b"abc"[..]), (TEXT, b"def"), (TEXT, b"ghi")];
    expect_ok(ask(&server(), "refusals", &words));
}

#[test]
fn the_other_waits_know_a_ping_from_a_message() {
    let server = server();
    let mut client = ask(&server, "other_waits", &[]);
    for word in ["one", "two", "three"] {
        client.send(0x89, b"?");
        assert_eq!(client.frame(), (0x8a, b"?".to_vec()));
        client.send(TEXT, word.as_bytes());
    }
    expect_ok(client);
}

#[test]
fn stdio_reads_and_writes_messages() {
    let server = server();
    let lines = [(TEXT, &b"fir"[..]), (TEXT, b"st\nsecond"), (TEXT, b"\n")];
    let mut client = ask(&server, "streams", &lines);
    assert_eq!(client.frame(), (TEXT, b"2 lines\n".to_vec()));
    expect_ok(client);
}
