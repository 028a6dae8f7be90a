//! The Rust crate where a signal or another thread comes in between.

mod support;

use std::io::{IoSlice, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt;
use std::time::Duration;

use libwebsocket::{Accepted, WebSocket, accept};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use support::{Client, DEADLINE, hand_over};

/// Both ends of a TCP connection: the client's, and the one to hand over.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a client");
    (client, listener.accept().expect("it waits").0)
}

extern "C" fn nothing(_: libc::c_int) {}

#[test]
fn a_signal_does_not_lose_a_hand_over() {
    let action = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a handler");
    let (gateway, connection) = UnixStream::pair().expect("a pair");
    let (client, theirs) = tcp();
    let accepting = std::thread::spawn(|| accept(connection));
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(20));
        // SAFETY: the thread has not been joined.
        unsafe { libc::pthread_kill(accepting.as_pthread_t(), libc::SIGUSR1) };
    }
    hand_over(&theirs, &gateway, &client, &[]);
    let accepted = accepting.join().expect("no panic");
    assert!(
        matches!(accepted, Ok(Accepted::WebSocket(_))),
        "{accepted:?}"
    );
}

/// How many descriptors of this process are this file.
fn descriptors_of(file: &impl AsFd) -> usize {
    let path =
        |fd: std::ffi::OsString| std::fs::read_link(format!("/proc/self/fd/{}", fd.display()));
    let wanted = path(file.as_fd().as_raw_fd().to_string().into()).expect("it is open");
    let all = std::fs::read_dir("/proc/self/fd").expect("proc(5)");
    all.flatten()
        .filter(|entry| path(entry.file_name()).is_ok_and(|link| link == wanted))
        .count()
}

/// The data of a hand-over, a client's IPv4 address.
fn address() -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    bytes
}

#[test]
fn a_message_with_too_many_descriptors_leaves_none_behind() {
    // The kernel takes up to 253 (unix(7)).
    for count in [2, 17, 253] {
        let (pipe, _writer) = std::io::pipe().expect("a pipe");
        let before = descriptors_of(&pipe);
        let (gateway, connection) = UnixStream::pair().expect("a pair");
        let descriptors = vec![pipe.as_raw_fd(); count];
        let sent = sendmsg::<()>(
            gateway.as_raw_fd(),
            &[IoSlice::new(&address())],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent, Ok(16));
        let error = accept(connection).expect_err("it is no hand-over");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
        assert_eq!(descriptors_of(&pipe), before, "of {count}");
    }
}

#[test]
fn the_gateway_gets_one_byte_and_the_end_with_the_client() {
    let (mut gateway, connection) = UnixStream::pair().expect("a pair");
    gateway.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let (client, theirs) = tcp();
    hand_over(&theirs, &gateway, &client, &[]);
    let accepted = accept(connection).expect("a client");
    let mut answer = [0; 2];
    assert_eq!(gateway.read(&mut answer).expect("an answer"), 1);
    gateway.set_nonblocking(true).expect("a flag");
    let silent = gateway.read(&mut answer).expect_err("it is open");
    assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock);
    gateway.set_nonblocking(false).expect("a flag");
    drop(accepted);
    assert_eq!(gateway.read(&mut answer).expect("an end"), 0);
}

#[test]
fn a_gateway_that_has_closed_its_connection_has_no_answer_and_the_client_is_served() {
    let (gateway, connection) = UnixStream::pair().expect("a pair");
    let (client, theirs) = tcp();
    // What a later gateway may say of it changes nothing either.
    hand_over(&theirs, &gateway, &client, b"WS\x01\x70\0\x02??");
    drop(gateway);
    let Ok(Accepted::WebSocket(server)) = accept(connection) else {
        panic!("no client");
    };
    let mut client = Client::new(client);
    client.send(0x81, b"hello");
    let mut message = Vec::new();
    server.read_message(&mut message, 10).expect("a message");
    assert_eq!(message, b"hello");
}

#[test]
fn a_pong_goes_out_behind_pings() {
    const PINGS: usize = 60_000;
    let (client, theirs) = tcp();
    let server = WebSocket::new(theirs, None).expect("a socket");
    std::thread::scope(|scope| {
        // In here, so that a failure hangs up.
        let mut client = Client::new(client);
        scope.spawn(|| server.read(&mut [0; 16]));
        scope.spawn(|| {
            for _ in 0..PINGS {
                server.ping(&[b'x'; 125]).expect("room in the end");
            }
        });
        // By now the pings have filled the socket.
        std::thread::sleep(Duration::from_secs(1));
        client.send(0x89, b"?");
        let mut pings = 0;
        let mut pongs = 0;
        while pings < PINGS || pongs < 1 {
            match client.frame() {
                (0x89, _) => pings += 1,
                frame => {
                    assert_eq!(frame, (0x8a, b"?".to_vec()));
                    pongs += 1;
                }
            }
        }
        client.send(0x88, b"");
    });
}
