//! Tests of `clients`, through a binding: slots, who gives way, and the stop.

use super::*;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use crate::config::{Listen, from_text};
use crate::http::request::tests::{EXAMPLE, pair};
use crate::listen::binding::Binding;
use crate::server::resources::Resources;
use crate::server::slot::{MAX_REFUSED, Slot};
use crate::server::table::{Entry, Full, Hold, MAX_LEAVING};
use crate::system::beneath::tests::Scratch;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A binding with these settings on a free port, its docroot and its address.
fn binding(settings: &str) -> (Binding, Scratch, SocketAddr) {
    let scratch = Scratch::new();
    let text = format!(
        "servers = ({{ addr = \"127.0.0.1\"; hostname = \"*\"; {settings} \
         websocket = {{ docroot = \"{}\"; origins = \"*\"; }}; }});",
        scratch.0.display()
    );
    let (config, _) = from_text(Path::new("x.conf"), &text).expect("a good configuration");
    let mut config = config.servers[0].clone();
    config.listen = vec![Listen::Tcp(([127, 0, 0, 1], 0).into())];
    let (resources, mut none) = (Arc::<Resources>::default(), Vec::new());
    resources.measure(0, 0, 64);
    resources.farewell().start().expect("a thread");
    let binding = Binding::open(config, &mut Vec::new(), &mut none, &resources);
    let binding = binding.expect("a free port");
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
    let wrong = |table: &mut Table| table.served + table.leaving != slots;
    let clients = binding.server().clients();
    let mut table = (clients.freed).wait_while(clients.table(), PATIENCE, wrong);
    assert!(!wrong(&mut table), "{slots} slots");
}

/// A slot for the client of this socket.
fn admit(binding: &Binding, socket: &TcpStream) -> Result<Slot, Full> {
    let server = binding.server();
    let peer = socket.peer_addr().ok();
    Slot::admit(
        server.clients(),
        server.config(),
        server.resources(),
        socket,
        peer,
    )
}

/// A slot taken by a client that has sent nothing, and its other end.
fn opening(binding: &Binding, age: Duration) -> (Slot, TcpStream) {
    try_opening(binding, age).expect("a slot")
}

fn try_opening(binding: &Binding, age: Duration) -> Result<(Slot, TcpStream), Full> {
    let (client, far) = pair();
    let slot = admit(binding, &far)?;
    slot.put(client);
    age_of(binding, &slot, age);
    Ok((slot, far))
}

/// Makes a client so much older.
fn age_of(binding: &Binding, slot: &Slot, age: Duration) {
    let mut table = binding.server().clients().table();
    table.entry(slot.index).expect("it is there").since -= age;
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
fn beyond_maxclients_a_client_is_told_503_and_a_slot_that_is_freed_is_taken() {
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
    let (binding, _scratch, _) = binding("maxclients = 2; maxperip = 0;");
    let (_oldest, mut oldest_far) = opening(&binding, PATIENCE);
    let (_older, mut older_far) = opening(&binding, PATIENCE / 2);
    let (_newcomer, _far) = opening(&binding, Duration::ZERO);
    assert_eq!(oldest_far.read(&mut [0; 8]).expect("the end"), 0);
    // One gives way to one: the next newcomer takes the slot of the next.
    let (_next, _far) = opening(&binding, Duration::ZERO);
    assert_eq!(older_far.read(&mut [0; 8]).expect("the end"), 0);
    let last = try_opening(&binding, Duration::ZERO);
    assert_eq!(
        last.err(),
        Some(Full::Clients),
        "nobody is left to give way"
    );
}

#[test]
fn a_young_handshake_and_an_open_client_do_not_give_way() {
    let (binding, _scratch, _) = binding("maxclients = 2; maxperip = 0;");
    let (client, mut open_far) = pair();
    let open = admit(&binding, &open_far).expect("a slot");
    let writer = open.put(client);
    age_of(&binding, &open, PATIENCE);
    let greeted = writer.open(false, || writer.client().write_all(b"101"));
    greeted.expect("room");
    let (_young, young_far) = opening(&binding, Duration::ZERO);
    let newcomer = try_opening(&binding, Duration::ZERO);
    assert_eq!(newcomer.err(), Some(Full::Clients));
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
    let (binding, _scratch, _) = binding("maxclients = 1; maxperip = 0;");
    let (download, _download_far) = opening(&binding, PATIENCE);
    download.set_answered();
    let newcomer = try_opening(&binding, Duration::ZERO);
    assert_eq!(newcomer.err(), Some(Full::Clients));
}

#[test]
fn clients_that_gave_way_and_are_still_there_are_few() {
    let (binding, _scratch, _) = binding("maxclients = 1; maxperip = 0;");
    let mut slots = Vec::new();
    // One is served; each newcomer takes the place of the one before, whose thread goes on.
    while let Ok(slot) = try_opening(&binding, PATIENCE) {
        slots.push(slot);
    }
    assert_eq!(slots.len(), 1 + MAX_LEAVING);
    let mut table = binding.server().clients().table();
    assert_eq!((table.served, table.leaving), (1, MAX_LEAVING));
    assert!(!table.give_way());
}

#[test]
fn tls_clients_that_are_being_refused_are_few_and_take_no_slot() {
    let (binding, _scratch, _) = binding("maxclients = 1; maxperip = 0;");
    let (server, (_client, far)) = (binding.server(), pair());
    let (clients, resources) = (server.clients(), server.resources());
    let refuse = || Slot::find_to_refuse(clients, server.config(), resources, &far, None);
    let refused: Vec<_> = std::iter::repeat_with(refuse)
        .map_while(|slot| slot)
        .collect();
    assert_eq!(refused.len(), MAX_REFUSED);
    assert!(refused.iter().all(Slot::is_refused));
    assert!(try_opening(&binding, Duration::ZERO).is_ok());
}

#[test]
#[cfg(feature = "websocket")]
fn half_of_the_clients_may_wait_for_a_backend() {
    let (binding, _scratch, _) = binding("maxclients = 3; maxperip = 0;");
    let config = binding.server().config();
    let slots: Vec<_> = (0..3)
        .map(|_| opening(&binding, Duration::ZERO).0)
        .collect();
    let first = slots[0].wait_for_backend(config);
    let _second = slots[1]
        .wait_for_backend(config)
        .expect("a half, rounded up");
    assert!(slots[2].wait_for_backend(config).is_none());
    drop(first);
    assert!(slots[2].wait_for_backend(config).is_some());
}

#[test]
fn connections_of_a_proxy_without_a_request_take_half_of_the_slots() {
    let (binding, _scratch, _) = binding("maxclients = 4; maxperip = 1; trusted = \"127.0.0.1\";");
    let (first, _far) = opening(&binding, Duration::ZERO);
    let (second, _far) = opening(&binding, Duration::ZERO);
    let third = try_opening(&binding, Duration::ZERO);
    assert_eq!(third.err(), Some(Full::Proxy));
    let (one, config) = (IpAddr::from([192, 0, 2, 1]), binding.server().config());
    assert_eq!(first.assign(one, config), Ok(()));
    assert_eq!(
        first.assign(one, config),
        Ok(()),
        "once more is no second client"
    );
    assert_eq!(second.assign(one, config), Err(Full::Address));
    assert!(try_opening(&binding, Duration::ZERO).is_ok());
}

#[test]
fn stop_ends_a_client_that_is_just_being_admitted() {
    let (binding, _scratch, _) = binding("");
    let (client, mut far) = pair();
    let slot = admit(&binding, &far).expect("a slot");
    binding.server().clients().stop();
    slot.put(client);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn maxperip_turns_away_one_address_and_no_other() {
    let (binding, _scratch, address) = binding("maxclients = 5; maxperip = 1;");
    let one = connect(address);
    let first = admit(&binding, &one).expect("a slot");
    assert_eq!(admit(&binding, &one).err(), Some(Full::Address));
    let other = "192.0.2.1:1".parse().ok();
    let server = binding.server();
    let slot = Slot::admit(
        server.clients(),
        server.config(),
        server.resources(),
        &one,
        other,
    );
    assert!(slot.is_ok());
    drop(first);
    assert!(admit(&binding, &one).is_ok());
}

#[test]
fn a_table_that_is_empty_again_keeps_nothing() {
    let (binding, _scratch, _) = binding("maxperip = 0;");
    let clients: Vec<_> = (0..100)
        .map(|_| opening(&binding, Duration::ZERO))
        .collect();
    let last = clients[99].0.number();
    drop(clients);
    let (next, _far) = opening(&binding, Duration::ZERO);
    assert!(next.number() > last, "numbers are not used again");
    drop(next);
    let table = binding.server().clients().table();
    assert_eq!(table.entries.capacity() + table.unused.capacity(), 0);
    assert_eq!(table.opening.capacity(), 0);
}

#[test]
fn a_thread_that_panics_frees_its_slot_and_cuts_its_client() {
    let (binding, _scratch, _) = binding("");
    let (slot, mut far) = opening(&binding, Duration::ZERO);
    let thread = thread::spawn(move || {
        let _slot = slot;
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
    let mut missing = vec!["accept-0", "client"];
    while !missing.is_empty() && Instant::now() < deadline {
        for task in std::fs::read_dir("/proc/self/task")
            .expect("proc(5)")
            .flatten()
        {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            missing.retain(|wanted| *wanted != name.trim_end());
        }
    }
    assert!(missing.is_empty());
    stop(&binding, Duration::ZERO);
}

#[test]
fn stop_cuts_who_is_opening_and_frees_the_port() {
    let (binding, _scratch, address) = binding("");
    binding.start().expect("a thread");
    let (_slot, mut far) = opening(&binding, Duration::ZERO);
    stop(&binding, Duration::ZERO);
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
}

#[test]
fn stop_tells_a_client_that_has_no_room_as_soon_as_it_has_some() {
    let (binding, _scratch, _) = binding("");
    let (client, mut far) = pair();
    let slot = admit(&binding, &far).expect("a slot");
    let writer = slot.put(client);
    writer.open(false, || Ok(())).expect("no greeting");
    let limit = Some(Duration::from_millis(20));
    writer.client().set_write_timeout(limit).expect("a socket");
    while writer.client().is_writable() {
        let _ = writer.client().write_all(&[0; 65_536]);
    }
    thread::scope(|scope| {
        let start = Instant::now();
        let stopping = scope.spawn(|| stop(&binding, PATIENCE));
        while !writer.is_owing() {
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
        drop(slot);
        stopping.join().expect("no panic");
        assert!(start.elapsed() < PATIENCE, "it need not wait longer");
    });
}

#[test]
fn clients_that_are_gone_leave_nothing_in_a_table_that_is_never_empty() {
    let mut table = Table::default();
    let entry = || Entry::new(Hold::Socket(None), None, false);
    let stays = table.add(entry());
    for _ in 0..10_000 {
        let (index, _) = table.add(entry());
        table.remove(index);
    }
    assert_eq!((table.entries.len(), table.unused.len()), (2, 1));
    assert!(table.opening.len() <= 6, "{}", table.opening.len());
    assert_eq!(table.opening.front(), Some(&stays), "it may give way");
}
