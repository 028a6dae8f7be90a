//! More clients than there are slots for: clients that dribble, and bursts.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

#[cfg(feature = "tls")]
use crate::frames::{TEXT, message};
use crate::gateway::Gateway;
use crate::process::{DEADLINE, figure, wait_until};

/// Clients that dribble.
const SLOW: usize = 500;

/// Sends one byte more on each connection that still takes it. Returns how many do.
fn dribble(slow: &[TcpStream], byte: u8) -> usize {
    let taken = |mut stream: &TcpStream| stream.write(&[byte]).is_ok();
    slow.iter().filter(|stream| taken(stream)).count()
}

/// Whether the other side has ended this connection.
pub(crate) fn is_over(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// 500 clients that never come to the end of `begin`, and send a byte after each `pause`; `serve`
/// must be served all the same. The slow ones have `limit` seconds.
fn dribblers_keep_nobody_out(
    gateway: &Gateway,
    begin: &[u8],
    (limit, pause): (u64, Duration),
    serve: impl FnOnce(),
) {
    gateway.backend("echo").echo();
    let start = Instant::now();
    let slow: Vec<_> = (0..SLOW)
        .map(|_| {
            let mut stream = gateway.connect();
            let _ = stream.write_all(begin);
            stream
        })
        .collect();
    wait_until("each to have a thread, or its end", || {
        let over = slow.iter().filter(|stream| is_over(stream)).count();
        gateway.process.threads() + over >= SLOW
    });
    let connected = start.elapsed();
    // All are old enough to give way, and still dribble.
    while start.elapsed() < connected + Duration::from_millis(700).max(pause) {
        dribble(&slow, b'x');
        std::thread::sleep(pause);
    }
    let asked = Instant::now();
    serve();
    let waited = asked.elapsed();
    let mut last = Instant::now();
    while slow.iter().any(|stream| !is_over(stream)) {
        assert!(asked.elapsed() < DEADLINE, "slow clients are still there");
        if last.elapsed() >= pause {
            last = Instant::now();
            dribble(&slow, b'x');
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let gone = start.elapsed();
    figure(format!(
        "{SLOW} clients in {connected:?}; a new one served in {waited:?}; all slow ones gone \
         after {gone:?}, where they have {limit} s"
    ));
    assert!(waited < DEADLINE / 2, "{waited:?}");
    wait_until("the threads to end", || gateway.process.threads() < 20);
}

#[test]
fn a_burst_of_500_clients_fits_the_queue() {
    let gateway = Gateway::start("");
    // A stopped daemon accepts nobody. A client that does not fit into the queue gets no answer.
    gateway.process.signal(Signal::SIGSTOP);
    let connect = |_| TcpStream::connect_timeout(&gateway.address(), Duration::from_secs(10));
    let waiting: Vec<_> = (0..SLOW).map_while(|number| connect(number).ok()).collect();
    gateway.process.signal(Signal::SIGCONT);
    assert_eq!(waiting.len(), SLOW);
}

/// Seconds and pause, so that a test takes seconds. A new client has no more of them, and in an emulator
/// on a busy machine it has waited for six.
const QUICK: (u64, Duration) = (15, Duration::from_millis(100));

#[test]
#[ignore = "it takes 15 seconds: a byte every 5 s, and 10 s for each, as by default"]
fn at_full_length_500_dribbling_clients_do_not_keep_a_new_one_out() {
    for maxclients in [600, 200] {
        let gateway = Gateway::with(&format!("maxclients = {maxclients};"), "");
        let pace = (10, Duration::from_secs(5));
        dribblers_keep_nobody_out(&gateway, HEAD, pace, greet(&gateway));
    }
}

/// What each head begins with.
const HEAD: &[u8] = b"GET /echo HTTP/1.1\r\nX: ";

pub(crate) fn greet(gateway: &Gateway) -> impl FnOnce() {
    || {
        let mut client = gateway.open("echo");
        client.text("served");
        assert_eq!(client.message().1, b"served");
    }
}

#[test]
fn row_26_500_dribbling_clients_do_not_keep_a_new_one_out() {
    let gateway = Gateway::with("maxclients = 600; keepalivetimeout = 15;", "");
    dribblers_keep_nobody_out(&gateway, HEAD, QUICK, greet(&gateway));
}

#[test]
fn at_maxclients_the_oldest_of_500_dribbling_clients_gives_way() {
    let gateway = Gateway::with("maxclients = 100; keepalivetimeout = 15;", "");
    dribblers_keep_nobody_out(&gateway, HEAD, QUICK, greet(&gateway));
}

/// The first bytes of a ClientHello of 508 bytes (RFC 8446, section 4).
#[cfg(feature = "tls")]
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[cfg(feature = "tls")]
#[test]
fn the_same_over_tls() {
    let files = crate::certificates::Files::new();
    for maxclients in [600, 100] {
        let settings = format!("maxclients = {maxclients}; keepalivetimeout = 15;");
        let gateway = files.gateway(&settings, "");
        dribblers_keep_nobody_out(&gateway, HELLO, QUICK, || {
            let mut client = files.open(&gateway, "echo");
            client.write_all(&message(TEXT, b"served")).unwrap();
            let mut answer = [0; 8];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"\x81\x06served");
        });
    }
}
