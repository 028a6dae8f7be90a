//! The Rust crate where a signal or another thread comes in between.

mod support;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt;
use std::time::Duration;

use libwebsocket::{Accepted, WebSocket, accept};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use support::{Client, hand_over};

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
    hand_over(&theirs, &gateway, &client);
    let accepted = accepting.join().expect("no panic");
    assert!(
        matches!(accepted, Ok(Accepted::WebSocket(_))),
        "{accepted:?}"
    );
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
