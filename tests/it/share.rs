//! One backend that many clients share (`share`).

use std::io::{Read, Write};
use std::thread;

use crate::backend::Backend;
use crate::client::Client;
use crate::frames::{self, CLOSE, TEXT};
use crate::gateway::Gateway;
use crate::http::{ask, upgrade};
use crate::process::{figure, terminal, wait_until};

mod crowds;
mod lines;
mod stalled;
mod upgrades;

/// A gateway with one link, `line`, to a UNIX server.
fn shared(settings: &str) -> (Gateway, Backend) {
    shared_with("", settings)
}

/// The same, with these settings of the server.
fn shared_with(server: &str, settings: &str) -> (Gateway, Backend) {
    let gateway = Gateway::with(
        server,
        &format!(
            "list = true; links = ( {{ origin = \"line\"; destination = \"DIR/run/server\"; \
             framing = \"line\"; {settings} }} );"
        ),
    );
    let backend = gateway.backend("server");
    (gateway, backend)
}

/// The lines that a client has got, up to the last one.
fn lines(client: &mut Client, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != last) {
        let (opcode, payload) = client.message();
        assert_eq!(opcode, TEXT);
        lines.push(String::from_utf8(payload).expect("text"));
    }
    lines
}

#[test]
fn all_clients_get_each_line_over_one_connection() {
    let (gateway, backend) = shared("share = \"all\";");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.open("line")).collect();
    let mut connection = backend.accept();
    for (number, client) in clients.iter_mut().enumerate() {
        client.text(&format!("from {number}"));
        assert_eq!(connection.take(7), format!("from {number}\n").as_bytes());
    }
    connection.give(b"one\ntwo\nthr");
    connection.give(b"ee\n");
    for client in &mut clients {
        assert_eq!(lines(client, "three"), ["one", "two", "three"]);
    }
    // One leaves: the others go on.
    let mut first = clients.remove(0);
    first.send(&frames::close(1000));
    first.expect_close(1000);
    first.expect_end();
    connection.give(b"four\n");
    for client in &mut clients {
        assert_eq!(lines(client, "four"), ["four"]);
    }
    assert!(!backend.is_called(), "there is one connection");
    // The connection ends with the last one.
    drop(clients);
    assert_eq!(connection.rest(), b"");
    gateway.open("line").text("anew");
    assert_eq!(backend.accept().take(5), b"anew\n");
}

#[test]
fn a_backend_that_ends_closes_all_its_clients_after_its_last_words() {
    let (gateway, backend) = shared("share = \"all\";");
    let mut clients: Vec<_> = (0..3).map(|_| gateway.open("line")).collect();
    let mut connection = backend.accept();
    connection.give(b"last words\nand more");
    drop(connection);
    for client in &mut clients {
        assert_eq!(lines(client, "and more"), ["last words", "and more"]);
        client.expect_close(1000);
    }
    // The next one begins anew while these still leave.
    let mut next = gateway.open("line");
    backend.accept().give(b"hello\n");
    assert_eq!(lines(&mut next, "hello"), ["hello"]);
}

#[test]
fn a_newcomer_gets_what_was_said_last() {
    let (gateway, backend) = shared("share = \"all\"; replay = 30;");
    let mut first = gateway.open("line");
    let mut connection = backend.accept();
    for number in 0..20 {
        connection.give(format!("line {number:04}\n").as_bytes());
    }
    assert_eq!(lines(&mut first, "line 0019").len(), 20);
    let mut second = gateway.open("line");
    assert_eq!(lines(&mut second, "line 0019"), ["line 0018", "line 0019"]);
    connection.give(b"line 0020\n");
    assert_eq!(lines(&mut second, "line 0020"), ["line 0020"]);
}

#[test]
fn with_newest_a_new_client_takes_over() {
    let (gateway, backend) = shared("share = \"newest\";");
    let mut old = gateway.open("line");
    let mut connection = backend.accept();
    old.text("old");
    assert_eq!(connection.take(4), b"old\n");
    let mut new = gateway.open("line");
    let close = old.frame();
    assert_eq!(close.opcode, CLOSE);
    assert_eq!(
        close.payload,
        [&1001u16.to_be_bytes()[..], b"taken over"].concat()
    );
    old.text("too late");
    old.send(&frames::close(1001));
    old.expect_end();
    new.text("new");
    assert_eq!(connection.take(4), b"new\n");
    connection.give(b"hello\n");
    assert_eq!(lines(&mut new, "hello"), ["hello"]);
}

#[test]
fn with_first_others_get_503_and_the_log_says_why() {
    let (gateway, backend) = shared("share = \"first\";");
    let mut first = gateway.open("line");
    let mut connection = backend.accept();
    let answer = ask(&gateway, &upgrade(&gateway, "/line", ""));
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    gateway
        .process
        .find_line(|line| line.contains("another client has it"))
        .expect("a cause");
    first.send(&frames::close(1000));
    first.expect_close(1000);
    drop(first);
    wait_until("the place to be free", || {
        ask(&gateway, &upgrade(&gateway, "/line", "")).status == 101
    });
    connection.rest();
}

#[test]
fn many_who_speak_at_once_tear_no_line() {
    const CLIENTS: usize = 20;
    const LINES: usize = 200;
    let (gateway, backend) = shared("share = \"all\";");
    let clients: Vec<_> = (0..CLIENTS).map(|_| gateway.open("line")).collect();
    let mut connection = backend.accept();
    thread::scope(|scope| {
        for (number, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || {
                for line in 0..LINES {
                    let text = format!("{number:02} {line:03} {}", "x".repeat(line * 37 % 5000));
                    let (one, other) = text.split_at(text.len() / 2);
                    client.send(&frames::frame(TEXT, one.as_bytes()));
                    client.send(&frames::frame(frames::FIN, other.as_bytes()));
                }
                client.send(&frames::close(1000));
                while client.frame().opcode != CLOSE {}
            });
        }
        let said = connection.rest();
        let said = String::from_utf8(said).expect("text");
        let mut next = [0; CLIENTS];
        for text in said.lines() {
            let number: usize = text[..2].parse().expect("whose it is");
            let line: usize = text[3..6].parse().expect("which it is");
            assert_eq!(line, next[number], "in order: {text}");
            assert_eq!(text.len(), 7 + line * 37 % 5000, "whole: {text}");
            next[number] += 1;
        }
        assert_eq!(next, [LINES; CLIENTS]);
    });
}

#[test]
fn half_a_message_keeps_nobody_waiting_and_a_stream_gets_whole_messages() {
    let gateway = Gateway::start(
        "links = ( { origin = \"line\"; destination = \"DIR/run/server\"; share = \"all\"; } );",
    );
    let backend = gateway.backend("server");
    let (mut slow, mut quick) = (gateway.open("line"), gateway.open("line"));
    let mut connection = backend.accept();
    slow.send(&frames::frame(TEXT, b"half of "));
    let whole = frames::frame(frames::FIN, b"it");
    slow.send(&whole[..whole.len() - 1]);
    quick.text("quick");
    assert_eq!(connection.take(5), b"quick");
    slow.send(&whole[whole.len() - 1..]);
    assert_eq!(connection.take(10), b"half of it");
}

#[test]
fn a_line_is_shared_by_default_and_each_client_gets_each_line() {
    const LINES: usize = 10_000;
    for count in [2, 10] {
        let (mut master, path) = terminal();
        let gateway = Gateway::start(&format!(
            "links = ( {{ origin = \"line\"; type = \"tty\"; destination = \"{path}\"; \
             framing = \"line\"; }} );"
        ));
        let clients: Vec<_> = (0..count).map(|_| gateway.open("line")).collect();
        thread::scope(|scope| {
            for mut client in clients {
                scope.spawn(move || {
                    for number in 0..LINES {
                        assert_eq!(client.message().1, format!("line {number:05}").as_bytes());
                    }
                });
            }
            for number in 0..LINES {
                master
                    .write_all(format!("line {number:05}\n").as_bytes())
                    .expect("a reader");
            }
        });
        let mut client = gateway.open("line");
        client.text("question");
        let mut question = [0; 9];
        master.read_exact(&mut question).expect("a message");
        assert_eq!(&question, b"question\n");
        figure(format!("{count} clients have {LINES} lines each"));
    }
}

#[test]
fn the_list_and_the_state_tell_who_shares_a_line() {
    let (gateway, _backend) = shared("share = \"all\";");
    let list = || {
        let address = gateway.address();
        let request = format!("GET /-/services HTTP/1.1\r\nHost: {address}\r\n\r\n");
        String::from_utf8(ask(&gateway, &request).body).expect("JSON")
    };
    assert!(
        list().contains("\"state\":\"running\",\"clients\":0}"),
        "{}",
        list()
    );
    let clients = [gateway.open("line"), gateway.open("line")];
    assert!(
        list().contains("\"state\":\"running\",\"clients\":2}"),
        "{}",
        list()
    );
    drop(clients);
    let told = gateway
        .process
        .find_line(|line| line.contains(" line, shared: 1"));
    assert!(told.is_some(), "the log tells who shares");
}
