//! A shared line's length: when it is connected, kept and let go, and what becomes of its clients.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use super::{lines, shared};
use crate::frames::{self, CLOSE};
use crate::gateway::Gateway;
use crate::http::{try_ask, upgrade};
use crate::process::{terminal, wait_until};

#[test]
fn with_linger_the_connection_outlives_its_last_client() {
    let (gateway, backend) = shared("share = \"all\"; linger = 3600; replay = 100;");
    let mut first = gateway.open("line");
    let mut connection = backend.accept();
    first.text("one");
    assert_eq!(connection.take(4), b"one\n");
    drop(first);
    connection.give(b"meanwhile\n");
    let mut second = gateway.open("line");
    assert_eq!(lines(&mut second, "meanwhile"), ["meanwhile"]);
    second.text("two");
    assert_eq!(connection.take(4), b"two\n");
    assert!(!backend.is_called(), "there is one connection");
}

/// Whether a client gets its 101. One that shuts its half down while it waits gets nothing.
fn is_served(gateway: &Gateway) -> bool {
    let request = upgrade(gateway, "/line", "");
    try_ask(gateway, request.as_bytes()).is_some_and(|answer| answer.status == 101)
}

#[test]
fn with_keep_the_backend_is_connected_from_the_start_and_again_after_its_end() {
    let (gateway, backend) = shared("keep = true; share = \"all\"; replay = 100;");
    let mut connection = backend.accept();
    connection.give(b"before anybody came\n");
    let wanted = ["before anybody came"];
    // The backend hears of the connection before the daemon does.
    wait_until("the connection to be served", || is_served(&gateway));
    wait_until("the daemon to have read it", || {
        let mut client = gateway.open("line");
        connection.give(b"still here\n");
        lines(&mut client, "still here").starts_with(&wanted.map(str::to_owned))
    });
    let mut client = gateway.open("line");
    drop(connection);
    loop {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload, 1000u16.to_be_bytes());
            break;
        }
    }
    client.send(&frames::close(1000));
    client.expect_end();
    backend.accept().give(b"anew\n");
    let mut next = None;
    wait_until("the new connection to be served", || {
        next = is_served(&gateway).then(|| gateway.open("line"));
        next.is_some()
    });
    assert!(
        lines(&mut next.expect("a client"), "anew").len() > 1,
        "with what was said before"
    );
}

#[test]
fn a_line_that_is_gone_closes_its_clients_with_1001_and_comes_back() {
    let gateway = Gateway::start(
        "links = ( { origin = \"line\"; type = \"tty\"; destination = \"DIR/tty\"; \
         framing = \"line\"; wait = 60; } );",
    );
    let (mut master, path) = terminal();
    symlink(&path, gateway.path("tty")).expect("a free name");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.open("line")).collect();
    master.write_all(b"one\n").expect("a reader");
    for client in &mut clients {
        assert_eq!(lines(client, "one"), ["one"]);
    }
    // The adapter is pulled out, and another one comes by the same name.
    drop(master);
    for client in &mut clients {
        assert_eq!(client.expect_close(1001), "the device is gone");
        client.send(&frames::close(1001));
        client.expect_end();
    }
    let (mut master, path) = terminal();
    symlink(&path, gateway.path("new")).expect("a free name");
    fs::rename(gateway.path("new"), gateway.path("tty")).expect("the same directory");
    let mut client = gateway.open("line");
    master.write_all(b"two\n").expect("a reader");
    assert_eq!(lines(&mut client, "two"), ["two"]);
}

#[test]
fn a_reload_keeps_a_line_and_new_settings_begin_a_new_one() {
    let (gateway, backend) = shared("share = \"all\";");
    let mut old = gateway.open("line");
    let mut connection = backend.accept();
    let reload = |from: &str, to: &str| {
        let path = gateway.path("ouistiti.conf");
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(&path, text.replace(from, to)).expect("our own file");
        let count = || {
            gateway
                .process
                .log()
                .matches("configuration read again")
                .count()
        };
        let before = count();
        gateway.process.signal(Signal::SIGHUP);
        wait_until("the configuration to be read", || count() > before);
    };
    reload("docroot =", "denylast = false; docroot =");
    let mut other = gateway.open("line");
    connection.give(b"to both\n");
    for client in [&mut old, &mut other] {
        assert_eq!(lines(client, "to both"), ["to both"]);
    }
    reload("share = \"all\"", "share = \"all\"; replay = 10");
    connection.give(b"still\n");
    assert_eq!(lines(&mut old, "still"), ["still"]);
    let mut new = gateway.open("line");
    assert_eq!(lines(&mut other, "still"), ["still"]);
    for client in [&mut old, &mut other] {
        assert_eq!(client.expect_close(1001), "the settings have changed");
    }
    backend.accept().give(b"new\n");
    assert_eq!(lines(&mut new, "new"), ["new"]);
}

#[test]
fn a_shared_backend_is_told_of_no_client() {
    let (gateway, backend) = shared("share = \"all\"; proxy = \"v2\";");
    let _clients = [gateway.open("line"), gateway.open("line")];
    let mut connection = backend.accept();
    let header = connection.take(16);
    assert_eq!(
        header[..13],
        *b"\r\n\r\n\0\r\nQUIT\n\x20",
        "version 2, LOCAL"
    );
    let rest = connection.take(usize::from(u16::from_be_bytes([header[14], header[15]])));
    assert_eq!(rest, b"\xe0\0\x04line", "the service, and nothing else");
}

#[cfg(feature = "exec")]
#[test]
fn one_run_of_a_program_serves_all_clients() {
    if crate::gateway::is_emulated("a program begins as the daemon's own file") {
        return;
    }
    let gateway = Gateway::start(
        "links = ( { origin = \"run\"; type = \"exec\"; destination = \"/bin/sh\"; \
         arguments = [\"-c\", \"echo $$ $PATH_INFO [$REMOTE_ADDR]; exec cat\"]; \
         framing = \"line\"; share = \"all\"; replay = 1000; } );",
    );
    let mut first = gateway.open("run");
    let begin = first.message().1;
    let mut second = gateway.open("run");
    assert_eq!(second.message().1, begin, "one process");
    let begin = String::from_utf8(begin).expect("text");
    assert!(begin.ends_with(" /run []"), "{begin}");
    first.text("one");
    second.message();
    first.message();
    second.text("two");
    assert_eq!(lines(&mut first, "two"), ["two"]);
    // It ends with its last client.
    let pid = begin.split(' ').next().expect("a number").to_owned();
    drop((first, second));
    wait_until("the program to end", || {
        !fs::exists(format!("/proc/{pid}")).expect("proc(5)")
    });
}

#[test]
fn packets_of_a_shared_backend_stay_messages() {
    let gateway = Gateway::start(
        "links = ( { origin = \"line\"; destination = \"DIR/run/packets\"; share = \"all\"; } );",
    );
    let backend = gateway.packet_backend("packets");
    let mut clients = [gateway.open("line"), gateway.open("line")];
    let mut connection = backend.accept();
    let long = vec![b'x'; 100_000];
    clients[0].text("");
    assert_eq!(connection.packet(), Some(Vec::new()));
    clients[1].send(&frames::message(frames::TEXT, &long));
    let mut got: Vec<u8> = Vec::new();
    loop {
        let packet = connection.packet().expect("a packet");
        got.extend(&packet);
        if packet.len() < 32 << 10 {
            break;
        }
    }
    assert!(got == long, "{} bytes", got.len());
    connection.give(b"one");
    connection.give(b"");
    connection.give(b"two");
    for client in &mut clients {
        let messages = [(); 3].map(|()| client.message().1);
        assert_eq!(messages, [&b"one"[..], b"", b"two"]);
    }
}
