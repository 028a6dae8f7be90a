//! Who takes a slot among `maxclients`, and for how long: attackers beside normal clients.

use std::io::Write;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, UnixAddr, bind, connect, listen, socket,
};

use crate::gateway::{Gateway, free_address};
use crate::http::{Response, upgrade};
use crate::overload::{greet, is_over};
use crate::process::{DEADLINE, figure, wait_until};

/// A connection to the gateway from this address of the loopback.
fn connect_from(gateway: &Gateway, ip: [u8; 4]) -> TcpStream {
    let kind = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    let fd = socket(AddressFamily::Inet, kind.0, kind.1, None).expect("a socket");
    let from = SockaddrIn::from(SocketAddrV4::new(ip.into(), 0));
    bind(fd.as_raw_fd(), &from).expect("a loopback address");
    let SocketAddr::V4(address) = gateway.address() else {
        unreachable!("an IPv4 address");
    };
    let to = SockaddrIn::from(address);
    connect(fd.as_raw_fd(), &to).expect("it listens");
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    stream
}

/// The status of the answer to a handshake on this connection.
fn status(gateway: &Gateway, mut stream: &TcpStream) -> u16 {
    let request = upgrade(gateway, "/echo", "");
    stream.write_all(request.as_bytes()).expect("it is read");
    let mut stream = stream.try_clone().expect("a descriptor");
    Response::read_head(&mut stream).expect("an answer").status
}

#[test]
fn clients_that_have_their_page_and_do_not_close_take_no_slot() {
    // More than those who are on their way out on a slow machine.
    let settings = "maxclients = 50; maxperip = 0; document = { docroot = \"DIR/www\"; };";
    let gateway = Gateway::with(settings, "");
    gateway.backend("echo").echo();
    std::fs::write(gateway.path("www/page"), "here").unwrap();
    let request = "GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut idle = Vec::new();
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..150 {
        let mut stream = gateway.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = Response::read_head(&mut stream).expect("an answer");
        assert_eq!(answer.status, 200, "after {} others", idle.len());
        idle.push(stream);
        let asked = Instant::now();
        greet(&gateway)();
        longest = longest.max(asked.elapsed());
    }
    figure(format!(
        "150 clients that do not close in {:.1?}: none of 150 others refused, the longest wait \
         {longest:.1?}",
        start.elapsed()
    ));
}

#[test]
fn with_one_client_allowed_one_is_served() {
    let gateway = Gateway::with("maxclients = 1; maxperip = 0;", "");
    gateway.backend("echo").echo();
    let client = gateway.open("echo");
    let others: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for other in &others {
        assert_eq!(status(&gateway, other), 503);
    }
    drop(client);
    wait_until("the slot to be free", || {
        status(&gateway, &gateway.connect()) == 101
    });
}

#[test]
fn an_address_beyond_maxperip_keeps_no_other_out() {
    let gateway = Gateway::with("maxclients = 200; maxperip = 2;", "");
    gateway.backend("echo").echo();
    let crowd: Vec<_> = (0..2)
        .map(|_| connect_from(&gateway, [127, 9, 9, 9]))
        .collect();
    for client in &crowd {
        assert_eq!(status(&gateway, client), 101);
    }
    // Each refused one stays as long as it can, with nothing sent.
    let mut refused = Vec::new();
    for _ in 0..300 {
        refused.push(connect_from(&gateway, [127, 9, 9, 9]));
    }
    let start = Instant::now();
    for number in 0..50 {
        let other = connect_from(&gateway, [127, 9, 8, number]);
        assert_eq!(status(&gateway, &other), 101, "after {number}");
    }
    let waited = start.elapsed();
    figure(format!(
        "300 connections of one address beyond its 2: 50 others in {waited:.1?}, none refused"
    ));
    assert_eq!(
        status(&gateway, &connect_from(&gateway, [127, 9, 9, 9])),
        503
    );
}

#[test]
fn by_default_one_address_takes_a_quarter_of_the_slots() {
    let gateway = Gateway::with("maxclients = 8; trusted = \"127.0.0.0/8\";", "");
    gateway.backend("echo").echo();
    let from = |ip: &str| {
        let mut stream = gateway.connect();
        let header = format!("PROXY TCP{} {ip}\r\n", if ip.contains(':') { 6 } else { 4 });
        stream.write_all(header.as_bytes()).expect("it is read");
        let status = status(&gateway, &stream);
        (stream, status)
    };
    let v4 = "192.0.2.1 198.51.100.1 1 80";
    let kept: Vec<_> = (0..2).map(|_| from(v4)).collect();
    assert!(kept.iter().all(|(_, status)| *status == 101));
    assert_eq!(from(v4).1, 503);
    // One subscriber has a network of 64 bits.
    let v6 = |host: u8| from(&format!("2001:db8:1:2::{host:x} 2001:db8::1 1 80"));
    let more: Vec<_> = (1..=2).map(v6).collect();
    assert!(more.iter().all(|(_, status)| *status == 101));
    assert_eq!(v6(3).1, 503);
    assert_eq!(from("2001:db8:1:3::1 2001:db8::1 1 80").1, 101);
    // The loopback is exempt.
    let own: Vec<_> = (0..3).map(|_| from("127.0.0.1 127.0.0.1 1 80")).collect();
    assert!(own.iter().all(|(_, status)| *status == 101));
}

/// A UNIX socket whose queue is full: connect(2) to it would wait.
fn full_backend(gateway: &Gateway, name: &str) -> (UnixListener, Vec<OwnedFd>) {
    let path = gateway.path("run").join(name);
    let listener = UnixListener::bind(&path).expect("a free name");
    listen(&listener, Backlog::new(0).expect("a small number")).expect("it listens");
    let address = UnixAddr::new(&path).expect("a short path");
    let mut queued = Vec::new();
    loop {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a socket");
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => queued.push(fd),
            Err(_) => return (listener, queued),
        }
    }
}

#[test]
fn a_backend_that_accepts_nobody_takes_half_of_the_slots() {
    let gateway = Gateway::with("maxclients = 8; maxperip = 0;", "ping = 120;");
    gateway.backend("echo").echo();
    let full = full_backend(&gateway, "full");
    let request = upgrade(&gateway, "/full", "");
    let mut waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = gateway.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Those beyond a half are told so, and leave their slots to others.
    wait_until("all but four to have an answer", || {
        waiting.iter().filter(|stream| is_over(stream)).count() == 16
    });
    greet(&gateway)();
    // Those that leave are not waited with.
    waiting.clear();
    wait_until("their threads to end", || gateway.process.threads() < 8);
    let mut patient = gateway.connect();
    patient.write_all(request.as_bytes()).unwrap();
    drop(full.1);
    let accepted = std::iter::repeat_with(|| full.0.accept()).take(2);
    let _backends: Vec<_> = accepted.map(|backend| backend.expect("one more")).collect();
    let answer = Response::read_head(&mut patient).expect("an answer");
    assert_eq!(answer.status, 101, "it is connected when there is room");
}

#[test]
fn the_servers_of_a_split_configuration_have_clients_of_their_own() {
    let (first, second) = (free_address(), free_address());
    let (one, other) = (first.ip().to_string(), second.ip().to_string());
    let port = first.port();
    // Both addresses have this port free: nobody else uses them.
    drop(TcpListener::bind((second.ip(), port)).expect("a free port"));
    let server = "maxclients = 3; maxperip = 0;";
    let gateway = Gateway::run(&mut crate::gateway::daemon(), first, server, "");
    gateway.backend("echo").echo();
    let file = gateway.path("ouistiti.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    let both = text.replace(
        &format!("addr = \"{one}\""),
        &format!("addr = \"{one},{other}\""),
    );
    assert_ne!(both, text);
    let reload = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let before = gateway.process.log().matches("read again").count();
        gateway.process.signal(Signal::SIGHUP);
        wait_until("the reload", || {
            gateway.process.log().matches("read again").count() > before
        });
    };
    reload(&both);
    let clients: Vec<_> = (0..3).map(|_| gateway.open("echo")).collect();
    let element = text.trim().strip_prefix("servers = (").unwrap();
    let element = element.strip_suffix(");").unwrap();
    let twin = element.replace(&format!("\"{one}\""), &format!("\"{other}\""));
    reload(&format!("servers = ({element}, {twin});"));
    let stream = TcpStream::connect((second.ip(), port)).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(status(&gateway, &stream), 101, "its slots are its own");
    assert_eq!(
        status(&gateway, &gateway.connect()),
        503,
        "the first is full"
    );
    drop(clients);
}

#[test]
fn a_head_that_a_proxy_does_not_send_takes_half_of_the_slots() {
    let gateway = Gateway::with(
        "maxclients = 8; keepalivetimeout = 600; trusted = \"127.0.0.0/8\"; maxperip = 0;",
        "",
    );
    gateway.backend("echo").echo();
    let opening: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    wait_until("those beyond a half to be told so", || {
        opening.iter().filter(|stream| is_over(stream)).count() >= 16
    });
    drop(opening);
    wait_until("their slots to be free", || {
        status(&gateway, &gateway.connect()) == 101
    });
}
