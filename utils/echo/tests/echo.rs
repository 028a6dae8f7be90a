//! The built websocket_echo over UNIX sockets: what it answers.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;

use nix::sys::socket::{MsgFlags, SockType, send};
use servertest::{Server, client, is_ended, read_text};

const ECHO: &str = env!("CARGO_BIN_EXE_websocket_echo");

#[test]
fn bytes_come_back_in_order() {
    let server = Server::start(ECHO, &[]);
    let client = server.connect();
    for text in ["hello", "\0\u{1f412}\r\n", "x"] {
        (&client).write_all(text.as_bytes()).unwrap();
        assert_eq!(read_text(&client, text.len()), text);
    }
}

#[test]
fn what_was_sent_before_the_end_still_comes_back() {
    let server = Server::start(ECHO, &[]);
    let client = server.connect();
    let sent: Vec<u8> = (0..5_000_000u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&client).read_to_end(&mut back).unwrap();
        assert!(back == sent);
    });
}

#[test]
fn packets_keep_their_boundaries_and_empty_ones_come_back() {
    let server = Server::start(ECHO, &["-q"]);
    let client = server.connect_packets();
    let lengths = [5, 0, 0, 32 * 1024, 0, 1];
    for length in lengths {
        send(client.as_raw_fd(), &vec![7; length], MsgFlags::empty()).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    for length in lengths {
        assert_eq!((&client).read(&mut [0; 40_000]).unwrap(), length);
    }
    assert!(is_ended(&client));
}

#[test]
fn one_exchange_ends_a_transaction_without_a_reset() {
    for options in [["-t"].as_slice(), &["-t", "-q"]] {
        let server = Server::start(ECHO, options);
        let kind = if options.len() == 2 {
            SockType::SeqPacket
        } else {
            SockType::Stream
        };
        let client = client(&server.socket(), kind);
        (&client).write_all(b"once").unwrap();
        assert_eq!(read_text(&client, 4), "once");
        let _ = (&client).write_all(b"more");
        assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn a_client_too_many_is_closed_and_the_slot_is_free_again_later() {
    let server = Server::start(ECHO, &["-m", "2"]);
    let clients = [server.connect(), server.connect()];
    for mut client in &clients {
        client.write_all(b"in").unwrap();
        assert_eq!(read_text(client, 2), "in");
    }
    assert!(is_ended(&server.connect()));
    server.wait_for_line("2 clients are here");
    drop(clients);
    let served = std::iter::repeat_with(|| server.connect())
        .find(is_served)
        .unwrap();
    assert!(is_served(&served));
}

#[test]
fn a_server_out_of_descriptors_says_so_once_and_recovers() {
    let server = Server::start(ECHO, &[]);
    let pid = server.pid().to_string();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, "--nofile=12:12"])
        .status();
    assert!(limited.unwrap().success());
    let clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    server.wait_for_line("cannot accept clients for now");
    drop(clients);
    assert!(is_served(&server.connect()));
}

#[test]
fn a_proxy_header_is_not_sent_back() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\xc0\0\0\x50";
    let server = Server::start(ECHO, &["-P"]);
    let client = server.connect();
    for byte in header {
        (&client).write_all(&[*byte]).unwrap();
    }
    (&client).write_all(b"after").unwrap();
    assert_eq!(read_text(&client, 5), "after");
    let liar = server.connect();
    (&liar).write_all(b"no header at all").unwrap();
    assert!(is_ended(&liar));
    server.wait_for_line("no PROXY v2 header");
}

/// Whether the server has a slot for this client.
fn is_served(client: &UnixStream) -> bool {
    let mut client = client;
    client.write_all(b"?").is_ok() && client.read(&mut [0]).is_ok_and(|length| length == 1)
}
