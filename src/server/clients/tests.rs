//! Tests of `room`, through an entrance: places, who gives way, and the stop.

use super::*;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::config::{Listen, from_text};
use crate::http::request::tests::{EXAMPLE, pair};
use crate::listen::binding::Entrance;
use crate::system::beneath::tests::Scratch;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An entrance with these settings on a free port, its docroot and its address.
fn entrance(settings: &str) -> (Entrance, Scratch, SocketAddr) {
    let scratch = Scratch::new();
    let text = format!(
        "servers = ({{ addr = \"127.0.0.1\"; {settings} \
         websocket = {{ docroot = \"{}\"; origins = \"*\"; }}; }});",
        scratch.0.display()
    );
    let (config, _) = from_text(Path::new("x.conf"), &text).expect("a good configuration");
    let mut config = config.servers[0].clone();
    config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
    let entrance = Entrance::open(config, &mut Vec::new()).expect("a free port");
    let address = address_of(&entrance);
    (entrance, scratch, address)
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
fn wait_for(entrance: &Entrance, places: usize) {
    let wrong = |seats: &mut Seats| seats.taken.len() != places;
    let room = entrance.server().room();
    let waited = room.freed.wait_timeout_while(room.seats(), PATIENCE, wrong);
    assert!(!waited.expect("no panic").1.timed_out(), "{places} places");
}

/// A place for the client of this socket.
fn find(entrance: &Entrance, socket: &TcpStream) -> Option<Place> {
    let server = entrance.server();
    Place::find(server.room(), server.config(), socket)
}

/// A seat taken by a client that has sent nothing, and its other end.
fn opening(entrance: &Entrance, age: Duration) -> (Place, TcpStream) {
    let (client, far) = pair();
    let place = find(entrance, &far).expect("a place");
    place.put(client);
    if let Some(seat) = entrance.server().room().seats().numbered(place.number) {
        seat.since -= age;
    }
    (place, far)
}

fn address_of(entrance: &Entrance) -> SocketAddr {
    let name = entrance.names();
    let address = name.strip_prefix("http://").expect("it listens on TCP");
    address.parse().expect("an address")
}

/// Stops as `servers` does.
fn stop(entrance: &Entrance, patience: Duration) {
    entrance.close();
    entrance.server().room().stop();
    entrance
        .server()
        .room()
        .wait_empty(Instant::now() + patience);
    entrance.server().room().cut();
}

#[test]
fn beyond_maxclients_a_client_is_told_503_and_a_place_that_is_freed_is_taken() {
    let (entrance, scratch, address) = entrance("maxclients = 2;");
    let _backend = UnixListener::bind(scratch.0.join("chat")).expect("a free name");
    entrance.start().expect("a thread");
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
    wait_for(&entrance, 1);
    assert!(handshake(&mut connect(address)).starts_with("HTTP/1.1 101 "));
    stop(&entrance, Duration::ZERO);
}

#[test]
fn the_oldest_handshake_gives_way_when_the_server_is_full() {
    let (entrance, _scratch, _) = entrance("maxclients = 2;");
    let (_oldest, mut oldest_far) = opening(&entrance, PATIENCE);
    let (_older, mut older_far) = opening(&entrance, PATIENCE / 2);
    let (newcomer, _far) = opening(&entrance, Duration::ZERO);
    assert!(!newcomer.is_spare(), "it has the place");
    assert_eq!(oldest_far.read(&mut [0; 8]).expect("the end"), 0);
    // One gives way to one: the next newcomer takes the place of the next.
    let (next, _far) = opening(&entrance, Duration::ZERO);
    assert!(!next.is_spare());
    assert_eq!(older_far.read(&mut [0; 8]).expect("the end"), 0);
    let (last, _far) = opening(&entrance, Duration::ZERO);
    assert!(last.is_spare(), "nobody is left to give way");
}

#[test]
fn a_young_handshake_and_an_open_client_do_not_give_way() {
    let (entrance, _scratch, _) = entrance("maxclients = 2;");
    let (open, mut open_far) = opening(&entrance, PATIENCE);
    if let Some(Seat {
        hold: Hold::Wire(wire),
        ..
    }) = entrance.server().room().seats().numbered(open.number)
    {
        wire.open(|| wire.client().write_all(b"101")).expect("room");
    }
    let (_young, young_far) = opening(&entrance, Duration::ZERO);
    let (newcomer, _far) = opening(&entrance, Duration::ZERO);
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
fn a_client_that_is_being_answered_does_not_give_way() {
    let (entrance, _scratch, _) = entrance("maxclients = 1;");
    let (download, _download_far) = opening(&entrance, PATIENCE);
    download.is_answered(true);
    let (newcomer, _far) = opening(&entrance, Duration::ZERO);
    assert!(newcomer.is_spare());
    drop(newcomer);
    download.is_answered(false);
    let (newcomer, _far) = opening(&entrance, Duration::ZERO);
    assert!(!newcomer.is_spare(), "a refusal gives way");
}

#[test]
fn stop_ends_a_client_that_is_just_being_let_in() {
    let (entrance, _scratch, _) = entrance("");
    let (client, mut far) = pair();
    let place = find(&entrance, &far).expect("a place");
    entrance.server().room().stop();
    place.put(client);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn not_even_a_refusal_is_for_everybody() {
    let (entrance, _scratch, _) = entrance("maxclients = 1;");
    let places: Vec<_> = (0..=SPARE_PLACES)
        .map(|_| opening(&entrance, Duration::ZERO))
        .collect();
    let spare = places.iter().filter(|(place, _)| place.is_spare()).count();
    assert_eq!(spare, SPARE_PLACES);
    let socket = connect(address_of(&entrance));
    assert!(find(&entrance, &socket).is_none());
}

#[test]
fn maxperip_refuses_one_address_and_no_other() {
    let (entrance, _scratch, address) = entrance("maxclients = 5; maxperip = 1;");
    let one = connect(address);
    let first = find(&entrance, &one).expect("a place");
    assert!(!first.is_spare());
    assert!(find(&entrance, &one).expect("a place").is_spare());
    drop(first);
    assert!(!find(&entrance, &one).expect("a place").is_spare());
}

#[test]
fn a_thread_that_panics_frees_its_place_and_cuts_its_client() {
    let (entrance, _scratch, _) = entrance("");
    let (place, mut far) = opening(&entrance, Duration::ZERO);
    let thread = thread::spawn(move || {
        let _place = place;
        panic!("as the test wants");
    });
    assert!(thread.join().is_err());
    wait_for(&entrance, 0);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn threads_have_names() {
    let (entrance, _scratch, address) = entrance("");
    entrance.start().expect("a thread");
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
    stop(&entrance, Duration::ZERO);
}

#[test]
fn stop_cuts_who_is_opening_and_frees_the_port() {
    let (entrance, _scratch, address) = entrance("");
    entrance.start().expect("a thread");
    let (_place, mut far) = opening(&entrance, Duration::ZERO);
    stop(&entrance, Duration::ZERO);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn stop_tells_a_client_that_has_no_room_as_soon_as_it_has_some() {
    let (entrance, _scratch, _) = entrance("");
    let (client, mut far) = pair();
    let place = find(&entrance, &far).expect("a place");
    let wire = place.put(client);
    wire.open(|| Ok(())).expect("no greeting");
    let limit = Some(Duration::from_millis(20));
    wire.client().set_write_timeout(limit).expect("a socket");
    while wire.client().is_writable() {
        let _ = wire.client().write_all(&[0; 65_536]);
    }
    thread::scope(|scope| {
        let start = Instant::now();
        let stopping = scope.spawn(|| stop(&entrance, PATIENCE));
        while !wire.is_owing() {
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
        stopping.join().expect("no panic");
        assert!(start.elapsed() < PATIENCE, "it need not wait longer");
    });
}
