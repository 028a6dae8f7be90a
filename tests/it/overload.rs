//! More than there is room for: clients that dribble, descriptors and threads that run out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::faults::{NO_FAULTS, daemon_with};
use crate::frames::TEXT;
#[cfg(feature = "tls")]
use crate::frames::message;
use crate::gateway::{Gateway, free_address, is_emulated};
use crate::http::{Response, try_ask, upgrade};
use crate::process::{DEADLINE, figure, is_root, wait_until};

/// Clients that dribble.
const SLOW: usize = 500;

/// Sends one byte more on each connection that still takes it; how many those are.
fn dribble(slow: &[TcpStream], byte: u8) -> usize {
    let taken = |mut stream: &TcpStream| stream.write(&[byte]).is_ok();
    slow.iter().filter(|stream| taken(stream)).count()
}

/// Whether the other side has ended this connection.
fn is_over(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// 500 clients that never come to the end of `begin`, and send a byte after each `pause`;
/// `serve` must be served all the same. The slow ones have `limit` seconds.
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
    // Older than what may not give way; all of them are still at it.
    while start.elapsed() < connected + Duration::from_millis(700).max(pause) {
        dribble(&slow, b'x');
        std::thread::sleep(pause);
    }
    let asked = Instant::now();
    serve();
    let waited = asked.elapsed();
    let mut last = Instant::now();
    while slow.iter().any(|stream| !is_over(stream)) {
        assert!(start.elapsed() < DEADLINE, "slow clients are still there");
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
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    let limit = connected + Duration::from_secs(limit + 10);
    assert!(gone < limit, "{gone:?}");
    wait_until("the threads to end", || gateway.process.threads() < 20);
}

#[test]
fn a_burst_of_500_clients_fits_the_queue() {
    let gateway = Gateway::start("");
    // Nobody is accepted while it stands still; who does not fit gets no answer.
    gateway.process.signal(Signal::SIGSTOP);
    let connect = |_| TcpStream::connect_timeout(&gateway.address(), Duration::from_secs(10));
    let waiting: Vec<_> = (0..SLOW).map_while(|number| connect(number).ok()).collect();
    gateway.process.signal(Signal::SIGCONT);
    assert_eq!(waiting.len(), SLOW);
}

/// Seconds and pause, so that a test takes seconds.
const QUICK: (u64, Duration) = (3, Duration::from_millis(100));

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

fn greet(gateway: &Gateway) -> impl FnOnce() {
    || {
        let mut client = gateway.open("echo");
        client.text("served");
        assert_eq!(client.message().1, b"served");
    }
}

#[test]
fn row_26_500_dribbling_clients_do_not_keep_a_new_one_out() {
    let gateway = Gateway::with("maxclients = 600; keepalivetimeout = 3;", "");
    dribblers_keep_nobody_out(&gateway, HEAD, QUICK, greet(&gateway));
}

#[test]
fn at_maxclients_the_oldest_of_500_dribbling_clients_gives_way() {
    let gateway = Gateway::with("maxclients = 100; keepalivetimeout = 3;", "");
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
        let settings = format!("maxclients = {maxclients}; keepalivetimeout = 3;");
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

/// How one client's handshake ended.
fn outcome(stream: &mut TcpStream) -> &'static str {
    stream.set_nonblocking(false).expect("a socket");
    let mut answer = [0; 12];
    match stream.read_exact(&mut answer) {
        Ok(()) if answer == *b"HTTP/1.1 101" => "101",
        Ok(()) if answer == *b"HTTP/1.1 503" => "503",
        Ok(()) => panic!("{}", String::from_utf8_lossy(&answer)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => "end",
        // It was closed with our request unread.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => "end",
        Err(error) => panic!("neither an answer nor an end: {error}"),
    }
}

#[test]
fn with_64_descriptors_200_clients_get_an_answer_and_the_processor_rests() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    let gateway = Gateway::with("maxclients = 1000;", "");
    gateway.backend("echo").echo();
    let descriptors = gateway.process.descriptors();
    // Whether one of the 200 gets a backend depends on who is faster; this one has its own.
    let mut served = gateway.open("echo");
    gateway.process.limit_descriptors(64);
    let request = upgrade(&gateway, "/echo", "");
    let mut streams: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = gateway.connect();
            let _ = stream.write_all(request.as_bytes());
            stream
        })
        .collect();
    // Starved: while all are there, what does it do?
    let (used, start) = (gateway.process.processor_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(2));
    let (used, period) = (gateway.process.processor_time() - used, start.elapsed());
    let share = 100.0 * used.as_secs_f64() / period.as_secs_f64();
    let mut outcomes = std::collections::BTreeMap::new();
    for stream in &mut streams {
        *outcomes.entry(outcome(stream)).or_insert(0) += 1;
    }
    let answered = start.elapsed();
    // While some of them stay, and so the descriptors are gone.
    assert!(answered < Duration::from_secs(20), "{answered:?}");
    served.text("still here");
    assert_eq!(served.message(), (TEXT, b"still here".to_vec()));
    drop((served, streams));
    let start = Instant::now();
    wait_until("a client to be served again", || {
        try_ask(&gateway, upgrade(&gateway, "/absent", "").as_bytes())
            .is_some_and(|response: Response| response.status == 404)
    });
    let recovered = start.elapsed();
    wait_until("the descriptors to return", || {
        gateway.process.descriptors() == descriptors
    });
    figure(format!(
        "{share:.1} % of a processor while starved; 200 clients: {outcomes:?}, the last \
         after {answered:.1?}; recovered in {recovered:?}"
    ));
    assert!(share < 5.0, "{share} %");
}

/// A full turn of threads that cannot be created: each client gets a 503, nothing leaks.
fn refused_for_want_of_a_thread(gateway: &Gateway, rounds: usize) {
    let request = upgrade(gateway, "/echo", "");
    let mut refused = 0;
    for _ in 0..rounds {
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = Response::read_head(&mut stream).expect("an answer");
        match answer.status {
            503 => refused += 1,
            status => assert_eq!(status, 101),
        }
        if answer.status == 503 {
            assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        }
    }
    assert!(refused > 0, "nobody was refused");
    figure(format!("{refused} of {rounds} refused with 503"));
}

#[test]
fn a_client_whose_thread_cannot_be_created_gets_503() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    // The first thread of a client, then the second one, which reads the backend.
    for every in ["1", "2"] {
        let directory = crate::process::TempDir::new();
        let switch = directory.path().join("threads");
        let mut command = daemon_with("FAULT_THREADS", &switch);
        let gateway = Gateway::run(&mut command, free_address(), "", "");
        gateway.backend("echo").echo();
        let base = (gateway.process.descriptors(), gateway.process.threads());
        std::fs::write(&switch, every).unwrap();
        refused_for_want_of_a_thread(&gateway, 100);
        std::fs::remove_file(&switch).unwrap();
        greet(&gateway)();
        wait_until("descriptors and threads to return", || {
            (gateway.process.descriptors(), gateway.process.threads()) == base
        });
    }
}

#[test]
fn at_the_kernels_limit_of_threads_a_client_gets_503() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    if !is_root() {
        return;
    }
    // A user nobody else is: the limit counts all of a user's threads (RLIMIT_NPROC).
    let user = (1 << 24 | std::process::id()).to_string();
    let directory = crate::process::TempDir::new();
    let program = directory.path().join("ouistiti");
    std::fs::copy(env!("CARGO_BIN_EXE_ouistiti"), &program).unwrap();
    let mut command = std::process::Command::new("prlimit");
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    // Four threads of the daemon's own, and seven for clients.
    command.args(["--nproc=11:11", "setpriv", "--clear-groups"]);
    command.args(ids).arg(&program);
    let gateway = Gateway::run(&mut command, free_address(), "", "");
    let backend = gateway.backend("echo");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(gateway.path("run/echo"), all).unwrap();
    backend.echo();
    let base = (gateway.process.descriptors(), gateway.process.threads());
    assert_eq!(base.1, 4, "threads of an idle daemon");
    // Three pairs of threads, then a first without a second, then none.
    let clients: Vec<_> = (0..3).map(|_| gateway.open("echo")).collect();
    refused_for_want_of_a_thread(&gateway, 20);
    drop(clients);
    wait_until("a client to be served again", || {
        let mut stream = gateway.connect();
        let _ = stream.write_all(upgrade(&gateway, "/echo", "").as_bytes());
        Response::read_head(&mut stream).is_some_and(|response| response.status == 101)
    });
    wait_until("descriptors and threads to return", || {
        (gateway.process.descriptors(), gateway.process.threads()) == base
    });
}
