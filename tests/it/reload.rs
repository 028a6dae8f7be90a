//! HUP: a new configuration takes the old one's place, and nobody is lost.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;

use crate::gateway::{Gateway, free_address};
use crate::process::{DEADLINE, wait_until};

/// Rewrites the configuration of a running gateway and has it read again.
fn reload(gateway: &Gateway, change: impl Fn(String) -> String) {
    let path = gateway.path("ouistiti.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(text)).unwrap();
    let done = |log: &str| {
        log.matches("configuration read again").count() + log.matches("all stays").count()
    };
    let before = done(&gateway.process.log());
    gateway.process.signal(Signal::SIGHUP);
    wait_until("the configuration to be read", || {
        done(&gateway.process.log()) > before
    });
}

/// The configuration with its server at another address.
fn moved(text: String, from: SocketAddr, to: SocketAddr) -> String {
    text.replace(&from.ip().to_string(), &to.ip().to_string())
        .replace(&from.port().to_string(), &to.port().to_string())
}

#[test]
fn fifty_connections_are_kept_while_settings_change() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut clients: Vec<_> = (0..50).map(|_| gateway.open("echo")).collect();
    reload(&gateway, |text| {
        text.replace("docroot =", "frametype = \"binary\"; docroot =")
    });
    for client in &mut clients {
        client.text("still here");
        assert_eq!(
            client.message(),
            (crate::frames::TEXT, b"still here".to_vec())
        );
    }
    let mut new = gateway.open("echo");
    new.text("hello");
    assert_eq!(new.message(), (crate::frames::BINARY, b"hello".to_vec()));
}

#[test]
fn clients_that_come_during_a_reload_are_served() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let (address, request) = (
        gateway.address(),
        crate::http::upgrade(&gateway, "/echo", ""),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let mut client = TcpStream::connect(address).expect("it listens");
                client.set_read_timeout(Some(DEADLINE)).unwrap();
                client.write_all(request.as_bytes()).unwrap();
                let mut answer = [0; 12];
                client.read_exact(&mut answer).expect("an answer");
                assert_eq!(&answer, b"HTTP/1.1 101");
            }
        });
        // Fewer than the lines of a kind that the log takes in a second.
        for _ in 0..8 {
            reload(&gateway, |text| text);
        }
    });
}

#[test]
fn a_bad_file_leaves_all_as_it_was_and_says_why() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    reload(&gateway, |text| text.replace("docroot", "docrot"));
    let log = gateway.process.log();
    assert!(
        log.contains("ouistiti.conf:6:9: error:") && log.contains("did you mean 'docroot'?"),
        "{log}"
    );
    for client in [&mut client, &mut gateway.open("echo")] {
        client.text("a");
        client.message();
    }
}

#[test]
fn an_address_that_cannot_be_had_leaves_all_as_it_was() {
    let (gateway, other) = (Gateway::start(""), Gateway::start(""));
    gateway.backend("echo").echo();
    reload(&gateway, |text| {
        moved(text, gateway.address(), other.address())
    });
    let expected = format!("cannot bind {}", other.address());
    assert!(
        gateway.process.log().contains(&expected),
        "{}",
        gateway.process.log()
    );
    gateway.open("echo").text("a");
}

#[test]
fn a_new_address_opens_the_old_one_closes_and_its_clients_stay() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let next = free_address();
    reload(&gateway, |text| moved(text, gateway.address(), next));
    TcpStream::connect(next).expect("the new address listens");
    wait_until("the old address to close", || {
        TcpStream::connect(gateway.address()).is_err()
    });
    client.text("a");
    client.message();
    gateway.process.signal(Signal::SIGTERM);
    client.expect_close(1001);
}

#[test]
fn clients_of_before_count_among_the_most() {
    let gateway = Gateway::with("maxclients = 2;", "");
    gateway.backend("echo").echo();
    let _clients = [gateway.open("echo"), gateway.open("echo")];
    reload(&gateway, |text| text);
    let request = crate::http::upgrade(&gateway, "/echo", "");
    assert_eq!(crate::http::ask(&gateway, &request).status, 503);
}

#[test]
fn log_level_changes() {
    let gateway = Gateway::start("");
    reload(&gateway, |text| format!("log-level = \"debug\";\n{text}"));
    gateway.process.signal(Signal::SIGALRM);
    let line = gateway.process.find_line(|line| line.contains("debug: "));
    line.expect("a signal without a meaning is told to whoever debugs");
}

#[test]
fn the_log_file_is_opened_anew() {
    let gateway = Gateway::start("");
    let [log, old] = ["log", "log.1"].map(|name| gateway.path(name));
    let setting = format!("log-file = \"{}\";\n", log.display());
    let path = gateway.path("ouistiti.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, setting + &text).unwrap();
    for _ in 0..2 {
        if log.exists() {
            fs::rename(&log, &old).unwrap();
        }
        gateway.process.signal(Signal::SIGHUP);
        wait_until("the log to be written", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("configuration read again"))
        });
    }
    assert!(old.exists());
}

#[test]
fn a_log_file_that_cannot_be_opened_leaves_all_as_it_was() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    reload(&gateway, |text| {
        let text = text.replace("docroot =", "frametype = \"binary\"; docroot =");
        format!("log-file = \"/nonexistent/log\";\n{text}")
    });
    let log = gateway.process.log();
    assert!(log.contains("cannot open the log file"), "{log}");
    let mut client = gateway.open("echo");
    client.text("as before");
    assert_eq!(client.message().0, crate::frames::TEXT);
}

#[test]
fn sockets_that_a_reload_does_not_change_are_named_in_the_log() {
    let gateway = Gateway::of_file(
        "control = \"DIR/ctl\";\nservers = ( { addr = \"ADDRESS\";\n    \
         websocket = { docroot = \"DIR/run\"; }; } );\n",
    );
    let told = |setting: &str| format!("'{setting}' has changed: the socket of before stays");
    reload(&gateway, |text| text);
    let log = gateway.process.log();
    assert!(!log.contains("has changed"), "{log}");
    reload(&gateway, |text| {
        let address = crate::gateway::free_address();
        text.replace("/ctl", "/other") + &format!("metrics = \"{address}\";\n")
    });
    let log = gateway.process.log();
    assert!(log.contains(&told("control")), "{log}");
    assert!(log.contains(&told("metrics")), "{log}");
    assert!(gateway.path("ctl").exists() && !gateway.path("other").exists());
    // Without the setting there is none, or that of the pid file.
    reload(&gateway, |text| {
        let lines = text.lines().filter(|line| !line.starts_with("control"));
        lines.collect::<Vec<_>>().join("\n")
    });
    assert_eq!(gateway.process.log().matches(&told("control")).count(), 2);
}
