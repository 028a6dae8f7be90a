//! Tests of `server`: places, who gives way, and the stop.

use super::*;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::beneath::tests::Scratch;
use crate::config::from_text;
use crate::request::tests::{EXAMPLE, pair};
use listener::bind_unix;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with these settings on a free port, its docroot and its address.
fn server(settings: &str) -> (Arc<Server>, Scratch, SocketAddr) {
    let scratch = Scratch::new();
    let text = format!(
        "servers = ({{ addr = \"127.0.0.1\"; {settings} \
         websocket = {{ docroot = \"{}\"; origins = \"*\"; }}; }});",
        scratch.0.display()
    );
    let (config, _) = from_text(Path::new("x.conf"), &text).expect("a good configuration");
    let mut config = config.servers[0].clone();
    config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
    let server = Arc::new(Server::bind(config).expect("a free port"));
    let Listener::Tcp(listener) = &server.listeners[0] else {
        panic!("it listens on TCP");
    };
    let address = listener.local_addr().expect("it is bound");
    (server, scratch, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client
}

/// The head of the answer to a handshake.
fn handshake(client: &mut TcpStream) -> String {
    client.write_all(EXAMPLE.as_bytes()).expect("room");
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).expect("an answer") > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII")
}

/// Waits until so many places are taken.
fn wait_for(server: &Server, places: usize) {
    let wrong = |seats: &mut Seats| seats.taken.len() != places;
    let waited = server
        .freed
        .wait_timeout_while(server.seats(), PATIENCE, wrong);
    assert!(!waited.expect("no panic").1.timed_out(), "{places} places");
}

/// A seat taken by a client that has sent nothing, and its other end.
fn opening(server: &Arc<Server>, age: Duration) -> (Place, TcpStream) {
    let (client, far) = pair();
    let place = server.seat(&far).expect("a place");
    place.put(client);
    if let Some(seat) = server.seats().taken.get_mut(&place.seat) {
        seat.since -= age;
    }
    (place, far)
}

fn server_address(server: &Server) -> SocketAddr {
    match &server.listeners[0] {
        Listener::Tcp(listener) => listener.local_addr().expect("it is bound"),
        Listener::Unix(_) => panic!("it listens on TCP"),
    }
}

#[test]
fn beyond_maxclients_a_client_is_told_503_and_a_place_that_is_freed_is_taken() {
    let (server, scratch, address) = server("maxclients = 2;");
    let _backend = UnixListener::bind(scratch.0.join("chat")).expect("a free name");
    server.start().expect("a thread");
    let mut clients = [connect(address), connect(address)];
    for client in &mut clients {
        assert!(handshake(client).starts_with("HTTP/1.1 101 "));
    }
    let mut third = connect(address);
    let refused = handshake(&mut third);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("Retry-After: "), "{refused}");
    drop(third);
    let [first, _second] = clients;
    drop(first);
    wait_for(&server, 1);
    assert!(handshake(&mut connect(address)).starts_with("HTTP/1.1 101 "));
    server.stop(Duration::ZERO);
}

#[test]
fn the_oldest_handshake_gives_way_when_the_server_is_full() {
    let (server, _scratch, _) = server("maxclients = 2;");
    let (_oldest, mut oldest_far) = opening(&server, PATIENCE);
    let (_older, mut older_far) = opening(&server, PATIENCE / 2);
    let (newcomer, _far) = opening(&server, Duration::ZERO);
    assert!(!newcomer.is_spare(), "it has the place");
    assert_eq!(oldest_far.read(&mut [0; 8]).expect("the end"), 0);
    // One gives way to one: the next newcomer takes the place of the next.
    let (next, _far) = opening(&server, Duration::ZERO);
    assert!(!next.is_spare());
    assert_eq!(older_far.read(&mut [0; 8]).expect("the end"), 0);
    let (last, _far) = opening(&server, Duration::ZERO);
    assert!(last.is_spare(), "nobody is left to give way");
}

#[test]
fn a_young_handshake_and_an_open_client_do_not_give_way() {
    let (server, _scratch, _) = server("maxclients = 2;");
    let (open, mut open_far) = opening(&server, PATIENCE);
    if let Some(Seat {
        hold: Hold::Wire(wire),
        ..
    }) = server.seats().taken.get(&open.seat)
    {
        wire.open(|| wire.client().write_all(b"101")).expect("room");
    }
    let (_young, young_far) = opening(&server, Duration::ZERO);
    let (newcomer, _far) = opening(&server, Duration::ZERO);
    assert!(newcomer.is_spare());
    assert_eq!(open_far.read(&mut [0; 8]).expect("the 101"), 3);
    for far in [&open_far, &young_far] {
        far.set_nonblocking(true).expect("a socket");
        let mut far = far;
        let read = far.read(&mut [0; 8]).expect_err("still connected");
        assert_eq!(read.kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn not_even_a_refusal_is_for_everybody() {
    let (server, _scratch, _) = server("maxclients = 1;");
    let places: Vec<_> = (0..=SPARE_PLACES)
        .map(|_| opening(&server, Duration::ZERO))
        .collect();
    let spare = places.iter().filter(|(place, _)| place.is_spare()).count();
    assert_eq!(spare, SPARE_PLACES);
    let socket = connect(server_address(&server));
    assert!(server.seat(&socket).is_none());
}

#[test]
fn maxperip_refuses_one_address_and_no_other() {
    let (server, _scratch, address) = server("maxclients = 5; maxperip = 1;");
    let one = connect(address);
    let first = server.seat(&one).expect("a place");
    assert!(!first.is_spare());
    assert!(server.seat(&one).expect("a place").is_spare());
    drop(first);
    assert!(!server.seat(&one).expect("a place").is_spare());
}

#[test]
fn a_thread_that_panics_frees_its_place_and_cuts_its_client() {
    let (server, _scratch, _) = server("");
    let (place, mut far) = opening(&server, Duration::ZERO);
    let thread = thread::spawn(move || {
        let _place = place;
        panic!("as the test wants");
    });
    assert!(thread.join().is_err());
    wait_for(&server, 0);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn threads_have_names() {
    let (server, _scratch, address) = server("");
    server.start().expect("a thread");
    let _client = connect(address);
    let deadline = Instant::now() + PATIENCE;
    let mut missing = vec!["accept-0", "c0"];
    while !missing.is_empty() && Instant::now() < deadline {
        for task in std::fs::read_dir("/proc/self/task")
            .expect("proc(5)")
            .flatten()
        {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            missing.retain(|wanted| *wanted != name.trim_end());
        }
    }
    assert_eq!(missing, [""; 0]);
    server.stop(Duration::ZERO);
}

#[test]
fn stop_cuts_who_is_opening_and_frees_the_port() {
    let (server, _scratch, address) = server("");
    server.start().expect("a thread");
    let (_place, mut far) = opening(&server, Duration::ZERO);
    server.stop(Duration::ZERO);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn stop_tells_a_client_that_has_no_room_as_soon_as_it_has_some() {
    let (server, _scratch, _) = server("");
    let (client, mut far) = pair();
    let place = server.seat(&far).expect("a place");
    let wire = place.put(client);
    wire.open(|| Ok(())).expect("no greeting");
    let limit = Some(Duration::from_millis(20));
    wire.client().set_write_timeout(limit).expect("a socket");
    while wire.client().is_writable() {
        let _ = wire.client().write_all(&[0; 65_536]);
    }
    thread::scope(|scope| {
        let start = Instant::now();
        let stop = scope.spawn(|| server.stop(PATIENCE));
        while !server.stopping.load(Ordering::Acquire) || !wire.is_owing() {
            thread::yield_now();
        }
        let mut last = [0; 4];
        let mut buffer = vec![0; 65_536];
        while last != *b"\x88\x02\x03\xe9" {
            let count = far.read(&mut buffer).expect("a Close in time");
            assert!(count > 0, "a Close before the end");
            for &byte in &buffer[..count] {
                last.rotate_left(1);
                last[3] = byte;
            }
        }
        drop(place);
        stop.join().expect("no panic");
        assert!(start.elapsed() < PATIENCE, "it need not wait longer");
    });
}

#[test]
fn a_unix_socket_of_a_daemon_that_is_gone_is_replaced_and_a_live_one_is_not() {
    let scratch = Scratch::new();
    let path = scratch.0.join("x.sock");
    let first = bind_unix(&path).expect("a free name");
    let refused = bind_unix(&path).expect_err("it is listened on");
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    drop(first);
    bind_unix(&path).expect("stale");
    std::fs::remove_file(&path).expect("a socket");
    std::fs::write(&path, "precious").expect("a file");
    assert!(bind_unix(&path).is_err());
    assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
}
