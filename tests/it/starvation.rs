//! Descriptors and threads that run out: who is admitted, and that all of them are served.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::faults::{NO_FAULTS, daemon_with};
use crate::gateway::{Gateway, free_address, is_emulated};
use crate::http::{Response, try_ask, upgrade};
use crate::overload::{greet, is_over};
use crate::process::{TempDir, copy, figure, is_root, wait_until};

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

/// A gateway that may have 64 descriptors, in a directory of its own.
fn gateway_of_64_descriptors() -> Gateway {
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=64:64");
    command.arg(env!("CARGO_BIN_EXE_ouistiti"));
    let settings = "maxclients = 1000; maxperip = 0;";
    let gateway = Gateway::run(&mut command, free_address(), settings, "");
    gateway.backend("echo").echo();
    gateway
}

/// How the handshakes of 200 clients at once end, and those who are served: all stay.
fn outcomes_of_200(gateway: &Gateway) -> (BTreeMap<&'static str, usize>, Vec<TcpStream>) {
    let request = upgrade(gateway, "/echo", "");
    let mut streams: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = gateway.connect();
            let _ = stream.write_all(request.as_bytes());
            stream
        })
        .collect();
    let mut outcomes = BTreeMap::new();
    streams.retain_mut(|stream| {
        let outcome = outcome(stream);
        *outcomes.entry(outcome).or_insert(0) += 1;
        outcome == "101"
    });
    (outcomes, streams)
}

#[test]
fn with_64_descriptors_as_many_clients_are_served_in_each_run() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    let mut served = Vec::new();
    for _ in 0..4 {
        let gateway = gateway_of_64_descriptors();
        let base = gateway.process.descriptors();
        let (outcomes, streams) = outcomes_of_200(&gateway);
        served.push(outcomes.get("101").copied().unwrap_or(0));
        figure(format!("{base} descriptors of its own; {outcomes:?}"));
        assert!(!streams.iter().any(is_over), "those who are admitted stay");
    }
    assert!(served[0] >= 17, "{served:?}");
    assert!(served.iter().all(|count| *count == served[0]), "{served:?}");
}

#[test]
fn with_64_descriptors_the_processor_rests_and_descriptors_return() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    let gateway = gateway_of_64_descriptors();
    let descriptors = gateway.process.descriptors();
    let start = Instant::now();
    let (outcomes, streams) = outcomes_of_200(&gateway);
    let answered = start.elapsed();
    // Starved: while those who are served stay, and so the descriptors are gone, what does it do?
    // What the others have left to do may take a moment.
    let share_of_a_period = || {
        let (used, start) = (gateway.process.processor_time(), Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let (used, period) = (gateway.process.processor_time() - used, start.elapsed());
        100.0 * used.as_secs_f64() / period.as_secs_f64()
    };
    let mut share = 0.0;
    wait_until("the processor to rest", || {
        share = share_of_a_period();
        share < 5.0
    });
    assert!(!streams.iter().any(is_over), "those who are admitted stay");
    drop(streams);
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
}

/// A full turn of clients while threads cannot be created: each gets a 101 or a 503, nothing leaks.
/// Returns how many were refused.
fn refused_for_want_of_a_thread(gateway: &Gateway, rounds: usize) -> usize {
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
    figure(format!("{refused} of {rounds} refused with 503"));
    refused
}

#[test]
fn a_client_whose_thread_cannot_be_created_gets_503() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    // No thread at all; then each second one, so that who opens waits for the thread of another.
    for every in ["1", "2"] {
        let directory = TempDir::new();
        let switch = directory.path().join("threads");
        let mut command = daemon_with("FAULT_THREADS", &switch);
        let gateway = Gateway::run(&mut command, free_address(), "", "");
        gateway.backend("echo").echo();
        let base = (gateway.process.descriptors(), gateway.process.threads());
        std::fs::write(&switch, every).unwrap();
        let refused = refused_for_want_of_a_thread(&gateway, 100);
        assert!(refused == 100 || every == "2", "served without a thread");
        std::fs::remove_file(&switch).unwrap();
        greet(&gateway)();
        wait_until("descriptors and threads to return", || {
            (gateway.process.descriptors(), gateway.process.threads()) == base
        });
    }
}

/// A gateway whose user may have 14 threads, and its program: four are the daemon's own, four are
/// kept for it, and six are for clients. `number` tells the user from that of another test.
fn gateway_of_14_threads(number: u32, websocket: &str) -> (TempDir, Gateway) {
    // A user nobody else is: the limit counts all of a user's threads (RLIMIT_NPROC).
    let user = (number + 1) << 24 | std::process::id();
    let directory = TempDir::new();
    let program = directory.path().join("ouistiti");
    copy(Path::new(env!("CARGO_BIN_EXE_ouistiti")), &program);
    let mut command = std::process::Command::new("prlimit");
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    command.args(["--nproc=14:14", "setpriv", "--clear-groups"]);
    command.args(ids).arg(&program);
    let gateway = Gateway::run(&mut command, free_address(), "maxperip = 0;", websocket);
    let backend = gateway.backend("echo");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(gateway.path("run/echo"), all).unwrap();
    backend.echo();
    (directory, gateway)
}

#[test]
fn at_the_kernels_limit_of_threads_a_burst_is_served_in_turn() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    if !is_root() {
        return;
    }
    let (_program, gateway) = gateway_of_14_threads(1, "park = 1;");
    let log = gateway.process.log();
    for word in ["too few", "maxthreads", "ulimit -u"] {
        assert!(log.contains(word), "{log}");
    }
    let (outcomes, streams) = outcomes_of_200(&gateway);
    assert_eq!(outcomes.get("101"), Some(&200), "{outcomes:?}");
    assert!(!streams.iter().any(is_over), "those who are admitted stay");
    let hello = crate::frames::message(crate::frames::TEXT, b"Hello");
    for stream in &streams {
        stream.set_nonblocking(false).expect("a socket");
    }
    for _ in 0..2 {
        for mut stream in &streams {
            stream.write_all(&hello).expect("it is read");
        }
        for mut stream in &streams {
            let mut echo = [0; 7];
            stream.read_exact(&mut echo).expect("the echo");
            assert_eq!(&echo, b"\x81\x05Hello");
        }
    }
}

#[test]
fn at_the_kernels_limit_of_threads_those_admitted_are_served() {
    if is_emulated("descriptors, threads and times would be the emulator's") {
        return;
    }
    if !is_root() {
        return;
    }
    let (_program, gateway) = gateway_of_14_threads(0, "park = 0;");
    let base = (gateway.process.descriptors(), gateway.process.threads());
    assert_eq!(base.1, 4, "threads of an idle daemon");
    for _ in 0..2 {
        let (outcomes, streams) = outcomes_of_200(&gateway);
        assert_eq!(outcomes.get("101"), Some(&3), "{outcomes:?}");
        assert!(!streams.iter().any(is_over), "those who are admitted stay");
        drop(streams);
        wait_until("descriptors and threads to return", || {
            (gateway.process.descriptors(), gateway.process.threads()) == base
        });
    }
}
