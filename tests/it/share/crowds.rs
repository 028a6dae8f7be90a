//! Many clients of one backend: those that keep up get all, and the others cost them nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt,
};

use super::shared_with;
use crate::backend::Connection;
use crate::client::Client;
use crate::frames::{self, TEXT};
use crate::gateway::Gateway;
use crate::http::upgrade;
use crate::process::{DEADLINE, figure, terminal};

/// More lines than any socket holds (tcp(7)).
const LINES: usize = 120_000;

/// A numbered line of 100 bytes, without its end.
fn line(number: usize) -> String {
    format!("{number:07} {}", "x".repeat(92))
}

/// A client that reads nothing by itself, and whose socket holds little.
pub(super) fn stalled(gateway: &Gateway) -> Client {
    stalled_with(gateway, 4096)
}

/// A client that reads nothing by itself, and whose socket holds so many bytes.
pub(super) fn stalled_with(gateway: &Gateway, buffer: usize) -> Client {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    setsockopt(&socket, sockopt::RcvBuf, &buffer).expect("a small buffer");
    let std::net::SocketAddr::V4(address) = gateway.address() else {
        panic!("tests listen on 127.0.0.0/8");
    };
    connect(socket.as_raw_fd(), &SockaddrIn::from(address)).expect("the gateway listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).expect("above zero");
    Client::over(stream, &upgrade(gateway, "/line", ""))
}

#[test]
fn each_of_500_clients_gets_each_of_10000_lines_once_and_in_order() {
    const CLIENTS: usize = 500;
    const LINES: usize = 10_000;
    let (mut master, path) = terminal();
    let gateway = Gateway::with(
        "maxclients = 600;",
        &format!(
            "links = ( {{ origin = \"line\"; type = \"tty\"; destination = \"{path}\"; \
             framing = \"line\"; }} );"
        ),
    );
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gateway.open("line")).collect();
    let before = gateway.process.memory();
    let start = Instant::now();
    let said = thread::spawn(move || {
        for number in 0..LINES {
            master
                .write_all(format!("{number:07}\n").as_bytes())
                .expect("a reader");
        }
        master
    });
    let wanted: Vec<u8> = (0..LINES)
        .flat_map(|number| [&[0x81, 7], format!("{number:07}").as_bytes()].concat())
        .collect();
    for client in &mut clients {
        let mut got = vec![0; wanted.len()];
        client.stream.read_exact(&mut got).expect("all lines");
        assert!(got == wanted, "each line once, in order");
    }
    drop(said.join().expect("all said"));
    let after = gateway.process.memory();
    figure(format!(
        "{CLIENTS} clients x {LINES} lines in {:.1?}; memory {before} to {after} KB",
        start.elapsed()
    ));
    assert!(after < before + 8_000, "from {before} to {after} KB");
}

#[test]
fn clients_that_do_not_read_are_told_1013_and_cost_the_others_nothing() {
    const STALLED: usize = 50;
    let (gateway, backend) = shared_with("maxclients = 100;", "share = \"all\";");
    let mut reader = gateway.open("line");
    let mut connection = backend.accept();
    let stuck: Vec<_> = (0..STALLED).map(|_| stalled(&gateway)).collect();
    let before = gateway.process.memory();
    thread::scope(|scope| {
        let connection = &mut connection;
        scope.spawn(move || {
            for number in 0..LINES {
                connection.give(format!("{}\n", line(number)).as_bytes());
            }
        });
        for number in 0..LINES {
            let (opcode, payload) = reader.message();
            assert!(
                opcode == TEXT && payload == line(number).as_bytes(),
                "line {number}"
            );
        }
    });
    let after = gateway.process.memory();
    figure(format!(
        "memory {before} to {after} KB after {} MB past {STALLED} that do not read",
        LINES * 101 / 1_000_000
    ));
    assert!(after < before + 8_000, "from {before} to {after} KB");
    let told = gateway
        .process
        .find_line(|line| line.contains("bytes behind"));
    assert!(
        told.is_some_and(|line| line.contains("closed with 1013")),
        "the log says why"
    );
    drop(stuck);
    connection.give(b"the others go on\n");
    assert_eq!(reader.message().1, b"the others go on");
}

#[test]
fn a_backend_that_can_wait_is_paced_by_the_client_that_is_furthest() {
    const LINES: usize = 60_000;
    let (gateway, backend) = shared_with("", "share = \"all\";");
    let mut reader = stalled(&gateway);
    let mut connection = backend.accept();
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..LINES {
                connection.give(format!("{}\n", line(number)).as_bytes());
            }
        });
        for number in 0..LINES {
            assert!(
                reader.message().1 == line(number).as_bytes(),
                "line {number}"
            );
        }
    });
}

#[cfg(feature = "tls")]
#[test]
fn clients_with_tls_share_too() {
    // What the kernel holds for a client that is slow to read, and what it does not.
    const FEW: usize = 5_000;
    const MANY: usize = 60_000;
    let files = crate::certificates::Files::new();
    let gateway = files.gateway(
        "",
        "links = ( { origin = \"line\"; destination = \"DIR/run/server\"; framing = \"line\"; \
         share = \"all\"; } );",
    );
    let backend = gateway.backend("server");
    let mut clients = [files.open(&gateway, "line"), files.open(&gateway, "line")];
    let mut connection = backend.accept();
    clients[0]
        .write_all(&frames::message(TEXT, b"hello"))
        .expect("the gateway reads");
    assert_eq!(connection.take(6), b"hello\n");
    let said = |lines: usize, mut connection: Connection| {
        thread::spawn(move || {
            for number in 0..lines {
                connection.give(format!("{}\n", line(number)).as_bytes());
            }
            connection
        })
    };
    let wanted = |lines: usize| -> Vec<u8> {
        let frame = |number| [&[0x81, 100], line(number).as_bytes()].concat();
        (0..lines).flat_map(frame).collect()
    };
    let speaker = said(FEW, connection);
    for client in &mut clients {
        let mut got = vec![0; 102 * FEW];
        client.read_exact(&mut got).expect("all lines");
        assert!(got == wanted(FEW), "each line once, in order");
    }
    let [mut client, other] = clients;
    drop(other);
    let speaker = said(MANY, speaker.join().expect("all said"));
    let mut got = vec![0; 102 * MANY];
    client.read_exact(&mut got).expect("all lines");
    assert!(got == wanted(MANY), "each line once, in order");
    speaker.join().expect("all said");
}

#[test]
fn one_message_to_100_clients_costs_about_what_100_sends_cost() {
    const CLIENTS: usize = 100;
    const MESSAGES: usize = 1000;
    let (gateway, backend) = shared_with("", "share = \"all\";");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| gateway.open("line")).collect();
    let mut connection = backend.accept();
    let payload = "x".repeat(125);
    let said = format!("{payload}\n");
    let frame = [&[0x81, 125], payload.as_bytes()].concat();
    let mut got = vec![0; frame.len()];
    let before = gateway.process.processor_time();
    for _ in 0..MESSAGES {
        connection.give(said.as_bytes());
        for client in &mut clients {
            client.stream.read_exact(&mut got).expect("a message");
            assert!(got == frame);
        }
    }
    let daemon = gateway.process.processor_time() - before;
    // The roofline: a thread that reads a socket and writes to 100 others, and nothing else.
    let (mut near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("bound");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        ours.push(TcpStream::connect(address).expect("it listens"));
        let (stream, _) = listener.accept().expect("it came");
        stream.set_nodelay(true).expect("a TCP socket");
        theirs.push(stream);
    }
    let sent = frame.clone();
    let relay = thread::spawn(move || {
        let mut buffer = [0; 4096];
        for _ in 0..MESSAGES {
            let count = far.read(&mut buffer).expect("a message");
            assert_eq!(count, 126);
            for stream in &mut theirs {
                stream.write_all(&sent).expect("a reader");
            }
        }
        // Nanoseconds on a processor (proc(5)).
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").expect("proc(5)");
        let spent = spent.split(' ').next().and_then(|it| it.parse().ok());
        Duration::from_nanos(spent.expect("a number"))
    });
    for _ in 0..MESSAGES {
        near.write_all(said.as_bytes()).expect("a reader");
        for stream in &mut ours {
            stream.read_exact(&mut got).expect("a message");
        }
    }
    let roofline = relay.join().expect("all sent");
    figure(format!(
        "{MESSAGES} messages to {CLIENTS} clients: {daemon:.2?} of a processor, {roofline:.2?} for the \
         sends alone"
    ));
}
