//! A client whose network goes away: neither a reset nor an end of the connection comes.
//!
//! The client runs in a network namespace of its own, at the other end of a pair of virtual
//! interfaces (ip-netns(8), veth(4)); then that end is taken down. At the near end addresses come
//! and go while the gateway runs.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::frames::{self, BINARY, PING, message, noise};
use crate::gateway::{Gateway, daemon, is_emulated};
use crate::http::upgrade;
use crate::process::{DEADLINE, Process, TempDir, figure, is_root};

/// A cable with a namespace at its far end; gone with the value.
struct Cable {
    name: String,
    near: SocketAddr,
}

impl Cable {
    /// Makes a cable. Prints why and returns `None` if that cannot be done here.
    fn lay() -> Option<Cable> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            return None;
        }
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("ou{}x{count}", pid % 1_000_000);
        // 198.18.0.0/15 is for tests like this (RFC 2544); four addresses to each cable.
        let net = (pid.wrapping_mul(8) + count) % (1 << 15) * 4;
        let ip = |host: u32| {
            format!(
                "198.{}.{}.{}",
                18 + (net >> 16),
                net >> 8 & 255,
                (net & 255) + host
            )
        };
        let near = SocketAddr::new(ip(1).parse().expect("an address"), 8080);
        let cable = Cable {
            name: name.clone(),
            near,
        };
        let far = format!("{name}f");
        let done = ip_tool(&["netns", "add", &name])
            && ip_tool(&[
                "link", "add", &name, "type", "veth", "peer", "name", &far, "netns", &name,
            ])
            && ip_tool(&["addr", "add", &format!("{}/30", ip(1)), "dev", &name])
            && ip_tool(&["link", "set", &name, "up"])
            && ip_tool(&[
                "-n",
                &name,
                "addr",
                "add",
                &format!("{}/30", ip(2)),
                "dev",
                &far,
            ])
            && ip_tool(&["-n", &name, "link", "set", &far, "up"]);
        if !done {
            figure("NOT RUN: no network namespace or no ip(8)");
            return None;
        }
        Some(cable)
    }

    /// A gateway at the near end.
    fn gateway(&self, websocket: &str) -> Gateway {
        Gateway::run(&mut daemon(), self.near, "", websocket)
    }

    /// A client at the far end, past its handshake with the service `name`.
    fn client(&self, gateway: &Gateway, name: &str) -> TcpStream {
        let space = File::open(format!("/run/netns/{}", self.name)).expect("our namespace");
        let near = self.near;
        // A socket stays in the namespace of the thread that made it.
        let connected = std::thread::spawn(move || {
            setns(space, CloneFlags::CLONE_NEWNET).expect("root may");
            TcpStream::connect(near)
        });
        let mut stream = connected.join().unwrap().expect("the gateway listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
            .write_all(upgrade(gateway, &format!("/{name}"), "").as_bytes())
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        stream
    }

    /// Pulls the cable out at its far end.
    fn cut(&self) -> Instant {
        assert!(ip_tool(&[
            "-n",
            &self.name,
            "link",
            "set",
            &format!("{}f", self.name),
            "down"
        ]));
        Instant::now()
    }

    /// Plugs it in again.
    #[cfg(feature = "share")]
    fn mend(&self) {
        let far = format!("{}f", self.name);
        assert!(ip_tool(&["-n", &self.name, "link", "set", &far, "up"]));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip_tool(&["netns", "del", &self.name]);
    }
}

fn ip_tool(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

fn check(what: &str, cut: Instant) {
    let after = cut.elapsed();
    figure(format!("{what} {after:.1?} after the cut, with ping = 4"));
    // Eight seconds are meant; TCP by itself would take a quarter of an hour.
    assert!(after < DEADLINE, "{after:?}");
}

#[test]
fn a_client_cut_off_in_the_middle_of_a_message_is_the_end_for_the_backend() {
    let Some(cable) = Cable::lay() else { return };
    let gateway = cable.gateway("ping = 4;");
    let backend = gateway.backend("sink");
    let mut client = cable.client(&gateway, "sink");
    let mut connection = backend.accept();
    let bytes = noise(1400);
    client.write_all(&message(BINARY, &bytes[..1000])).unwrap();
    assert!(connection.take(1000) == bytes[..1000]);
    // A message begins and does not end; the pong tells that its first fragment is there.
    client
        .write_all(&frames::frame(BINARY, &bytes[1000..]))
        .unwrap();
    client.write_all(&message(PING, b"read?")).unwrap();
    let mut pong = [0; 7];
    client.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8a\x05read?");
    let cut = cable.cut();
    // The backend has got the bytes of the cut message that arrived, and no other.
    assert!(connection.rest() == bytes[1000..]);
    check("the end at the backend", cut);
}

#[test]
fn a_backend_that_streams_to_a_client_cut_off_is_told() {
    let Some(cable) = Cable::lay() else { return };
    let gateway = cable.gateway("ping = 4; frametype = \"binary\";");
    let backend = gateway.backend("source");
    let mut client = cable.client(&gateway, "source");
    let mut connection = backend.accept();
    let sender = std::thread::spawn(move || {
        let bytes = noise(65_536);
        while connection.stream.write_all(&bytes).is_ok() {}
        connection
    });
    client.read_exact(&mut vec![0; 1 << 20]).unwrap();
    let cut = cable.cut();
    // The backend's writes fail: the connection has ended.
    let mut connection = sender.join().unwrap();
    check("the end at the backend", cut);
    assert_eq!(connection.stream.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn a_client_cut_off_while_the_backend_reads_nothing_is_let_go() {
    let Some(cable) = Cable::lay() else { return };
    let gateway = cable.gateway("ping = 4;");
    let backend = gateway.backend("stalled");
    let client = cable.client(&gateway, "stalled");
    let mut connection = backend.accept();
    let payload = noise(65_536);
    let frame = message(BINARY, &payload);
    client
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut sent = 0;
    while let Ok(count) = (&client).write(&frame[sent % frame.len()..]) {
        sent += count;
    }
    let peer = client.local_addr().unwrap().to_string();
    let cut = cable.cut();
    let line = gateway.process.find_line(|line| line.contains(&peer));
    check("the line of its end", cut);
    assert!(line.expect("a line").contains(" stalled: 1006, "));
    let got = connection.rest();
    let right = |chunk: &[u8]| chunk == &payload[..chunk.len()];
    assert!(got.len() <= sent && got.chunks(payload.len()).all(right));
}

impl Cable {
    /// A third address, which the near end does not have yet.
    fn spare(&self) -> SocketAddr {
        let mut spare = self.near;
        let std::net::IpAddr::V4(ip) = spare.ip() else {
            panic!("an IPv4 address")
        };
        // Of 100.64.0.0/10, which no host has of its own (RFC 6598).
        let bits = 100 << 24 | 64 << 16 | u32::from(ip) & 0x1_ffff;
        spare.set_ip(std::net::Ipv4Addr::from(bits).into());
        spare
    }

    /// Adds the third address to the near end, or takes it away.
    fn change(&self, what: &str) {
        let spare = format!("{}/32", self.spare().ip());
        assert!(ip_tool(&["addr", what, &spare, "dev", &self.name]));
    }
}

/// Starts a daemon that listens on these addresses.
fn listening(directory: &TempDir, addr: &str) -> Process {
    let file = directory.path().join("ouistiti.conf");
    let text = format!(
        "servers = ( {{\n addr = \"{addr}\"; port = 8080; document = {{ docroot = \"/\"; }};\n}} );\n"
    );
    std::fs::write(&file, text).unwrap();
    Process::start(daemon().arg("-f").arg(&file))
}

fn has_line(process: &Process, wanted: &str) {
    let line = process.find_line(|line| line.contains(wanted));
    assert!(line.is_some(), "{wanted}: {}", process.log());
}

#[test]
fn an_address_that_is_not_there_yet_is_served_when_it_is_and_keeps_nobody_out() {
    let Some(cable) = Cable::lay() else { return };
    let (near, spare) = (cable.near, cable.spare());
    let directory = TempDir::new();
    let process = listening(&directory, &format!("{},{}", spare.ip(), near.ip()));
    has_line(
        &process,
        &format!("{spare} is no address of this machine yet"),
    );
    has_line(&process, &format!("http://{near}"));
    TcpStream::connect(near).expect("the other address is served");
    cable.change("add");
    TcpStream::connect(spare).expect("it is there now");
}

#[test]
fn the_addresses_that_an_interface_gets_and_loses_are_followed() {
    if is_emulated("an emulator does not tell the addresses of interfaces") {
        return;
    }
    let Some(cable) = Cable::lay() else { return };
    let directory = TempDir::new();
    let process = listening(&directory, &cable.name);
    let (near, spare) = (cable.near, cable.spare());
    has_line(&process, &format!("http://{near}"));
    cable.change("add");
    has_line(&process, &format!("now also listening on {spare}"));
    TcpStream::connect(spare).expect("it is listened on");
    cable.change("del");
    has_line(&process, &format!("no longer listening on {spare}"));
    TcpStream::connect(near).expect("the first address is still served");
}

#[cfg(feature = "share")]
#[test]
fn a_phone_that_loses_its_network_and_comes_back_has_missed_no_line() {
    let Some(cable) = Cable::lay() else { return };
    let gateway = cable.gateway(
        "ping = 3600; links = ( { origin = \"line\"; destination = \"DIR/run/server\"; \
         framing = \"line\"; replay = \"4K\"; share = \"all\"; } );",
    );
    let backend = gateway.backend("server");
    let mut phone = cable.client(&gateway, "line");
    let mut connection = backend.accept();
    let mut say = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            connection.give(format!("line {number:03}\n").as_bytes());
        }
    };
    let read = |stream: &mut TcpStream, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let mut frame = [0; 10];
            stream.read_exact(&mut frame).expect("a line");
            let wanted = [&[0x81, 8], format!("line {number:03}").as_bytes()].concat();
            assert_eq!(frame, wanted[..]);
        }
    };
    say(0..10);
    read(&mut phone, 0..10);
    cable.cut();
    say(10..50);
    cable.mend();
    // Its page has connected anew: it gets what was said meanwhile, and what it has had before.
    let mut again = cable.client(&gateway, "line");
    read(&mut again, 0..50);
    // The connection that was cut off goes on as well, when TCP sends again.
    read(&mut phone, 10..50);
    say(50..60);
    read(&mut again, 50..60);
    read(&mut phone, 50..60);
}
