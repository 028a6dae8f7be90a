//! Tests of `clients`, through a binding: slots, who gives way, and the stop.

use super::*;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::config::{Listen, from_text};
use crate::http::request::tests::{EXAMPLE, pair};
use crate::listen::binding::Binding;
use crate::system::beneath::tests::Scratch;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A binding with these settings on a free port, its docroot and its address.
fn binding(settings: &str) -> (Binding, Scratch, SocketAddr) {
    let scratch = Scratch::new();
    let text = format!(
        "servers = ({{ addr = \"127.0.0.1\"; {settings} \
         websocket = {{ docroot = \"{}\"; origins = \"*\"; }}; }});",
        scratch.0.display()
    );
    let (config, _) = from_text(Path::new("x.conf"), &text).expect("a good configuration");
    let mut config = config.servers[0].clone();
    config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
    let binding = Binding::open(config, &mut Vec::new()).expect("a free port");
    let address = address_of(&binding);
    (binding, scratch, address)
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

/// Waits until so many slots are taken.
fn wait_for(binding: &Binding, slots: usize) {
    let wrong = |entries: &mut Table| entries.taken.len() != slots;
    let clients = binding.server().clients();
    let waited = clients
        .freed
        .wait_timeout_while(clients.entries(), PATIENCE, wrong);
    assert!(!waited.expect("no panic").1.timed_out(), "{slots} slots");
}

/// A slot for the client of this socket.
fn find(binding: &Binding, socket: &TcpStream) -> Option<Slot> {
    let server = binding.server();
    Slot::find(server.clients(), server.config(), socket)
}

/// An entry taken by a client that has sent nothing, and its other end.
fn opening(binding: &Binding, age: Duration) -> (Slot, TcpStream) {
    let (client, far) = pair();
    let slot = find(binding, &far).expect("a slot");
    slot.put(client);
    if let Some(entry) = binding.server().clients().entries().numbered(slot.number) {
        entry.since -= age;
    }
    (slot, far)
}

fn address_of(binding: &Binding) -> SocketAddr {
    let name = binding.names();
    let address = name.strip_prefix("http://").expect("it listens on TCP");
    address.parse().expect("an address")
}

/// Stops as `servers` does.
fn stop(binding: &Binding, patience: Duration) {
    binding.close();
    binding.server().clients().stop();
    binding
        .server()
        .clients()
        .wait_empty(Instant::now() + patience);
    binding.server().clients().cut();
}

#[test]
fn beyond_maxclients_a_client_is_told_503_and_a_place_that_is_freed_is_taken() {
    let (binding, scratch, address) = binding("maxclients = 2;");
    let _backend = UnixListener::bind(scratch.0.join("chat")).expect("a free name");
    binding.start().expect("a thread");
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
    wait_for(&binding, 1);
    assert!(handshake(&mut connect(address)).starts_with("HTTP/1.1 101 "));
    stop(&binding, Duration::ZERO);
}

#[test]
fn the_oldest_handshake_gives_way_when_the_server_is_full() {
    let (binding, _scratch, _) = binding("maxclients = 2;");
    let (_oldest, mut oldest_far) = opening(&binding, PATIENCE);
    let (_older, mut older_far) = opening(&binding, PATIENCE / 2);
    let (newcomer, _far) = opening(&binding, Duration::ZERO);
    assert!(!newcomer.is_spare(), "it has the slot");
    assert_eq!(oldest_far.read(&mut [0; 8]).expect("the end"), 0);
    // One gives way to one: the next newcomer takes the slot of the next.
    let (next, _far) = opening(&binding, Duration::ZERO);
    assert!(!next.is_spare());
    assert_eq!(older_far.read(&mut [0; 8]).expect("the end"), 0);
    let (last, _far) = opening(&binding, Duration::ZERO);
    assert!(last.is_spare(), "nobody is left to give way");
}

#[test]
fn a_young_handshake_and_an_open_client_do_not_give_way() {
    let (binding, _scratch, _) = binding("maxclients = 2;");
    let (open, mut open_far) = opening(&binding, PATIENCE);
    if let Some(Entry {
        hold: Hold::FrameWriter(writer),
        ..
    }) = binding.server().clients().entries().numbered(open.number)
    {
        writer
            .open(|| writer.client().write_all(b"101"))
            .expect("room");
    }
    let (_young, young_far) = opening(&binding, Duration::ZERO);
    let (newcomer, _far) = opening(&binding, Duration::ZERO);
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
    let (binding, _scratch, _) = binding("maxclients = 1;");
    let (download, _download_far) = opening(&binding, PATIENCE);
    download.is_answered(true);
    let (newcomer, _far) = opening(&binding, Duration::ZERO);
    assert!(newcomer.is_spare());
    drop(newcomer);
    download.is_answered(false);
    let (newcomer, _far) = opening(&binding, Duration::ZERO);
    assert!(!newcomer.is_spare(), "a refusal gives way");
}

#[test]
fn stop_ends_a_client_that_is_just_being_let_in() {
    let (binding, _scratch, _) = binding("");
    let (client, mut far) = pair();
    let slot = find(&binding, &far).expect("a slot");
    binding.server().clients().stop();
    slot.put(client);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn not_even_a_refusal_is_for_everybody() {
    let (binding, _scratch, _) = binding("maxclients = 1;");
    let slots: Vec<_> = (0..=SPARE_SLOTS)
        .map(|_| opening(&binding, Duration::ZERO))
        .collect();
    let spare = slots.iter().filter(|(slot, _)| slot.is_spare()).count();
    assert_eq!(spare, SPARE_SLOTS);
    let socket = connect(address_of(&binding));
    assert!(find(&binding, &socket).is_none());
}

#[test]
fn maxperip_refuses_one_address_and_no_other() {
    let (binding, _scratch, address) = binding("maxclients = 5; maxperip = 1;");
    let one = connect(address);
    let first = find(&binding, &one).expect("a slot");
    assert!(!first.is_spare());
    assert!(find(&binding, &one).expect("a slot").is_spare());
    drop(first);
    assert!(!find(&binding, &one).expect("a slot").is_spare());
}

#[test]
fn a_thread_that_panics_frees_its_place_and_cuts_its_client() {
    let (binding, _scratch, _) = binding("");
    let (slot, mut far) = opening(&binding, Duration::ZERO);
    let thread = std::thread::spawn(move || {
        let _place = slot;
        panic!("as the test wants");
    });
    assert!(thread.join().is_err());
    wait_for(&binding, 0);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn threads_have_names() {
    let (binding, _scratch, address) = binding("");
    binding.start().expect("a thread");
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
    stop(&binding, Duration::ZERO);
}

#[test]
fn stop_cuts_who_is_opening_and_frees_the_port() {
    let (binding, _scratch, address) = binding("");
    binding.start().expect("a thread");
    let (_place, mut far) = opening(&binding, Duration::ZERO);
    stop(&binding, Duration::ZERO);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn stop_tells_a_client_that_has_no_room_as_soon_as_it_has_some() {
    let (binding, _scratch, _) = binding("");
    let (client, mut far) = pair();
    let slot = find(&binding, &far).expect("a slot");
    let writer = slot.put(client);
    writer.open(|| Ok(())).expect("no greeting");
    let limit = Some(Duration::from_millis(20));
    writer.client().set_write_timeout(limit).expect("a socket");
    while writer.client().is_writable() {
        let _ = writer.client().write_all(&[0; 65_536]);
    }
    std::thread::scope(|scope| {
        let start = Instant::now();
        let stopping = scope.spawn(|| stop(&binding, PATIENCE));
        while !writer.is_owing() {
            std::thread::yield_now();
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
        drop(slot);
        stopping.join().expect("no panic");
        assert!(start.elapsed() < PATIENCE, "it need not wait longer");
    });
}
