//! What `-S` and `metrics` show of a running daemon, and what `-S` does to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use crate::client::Client;
use crate::gateway::{Gateway, daemon, free_address};
use crate::http::{ask, get, upgrade};
use crate::process::{DEADLINE, wait_until};

/// A gateway with a control socket, more settings at the top of its file, and more in its
/// `websocket` section.
pub(crate) fn watched(top: &str, websocket: &str) -> Gateway {
    let text = format!(
        "control = \"DIR/ctl\"; {top}\n\
         servers = ( {{ addr = \"ADDRESS\";\n    websocket = {{ docroot = \"DIR/run\"; {websocket} }}; }} );\n"
    );
    Gateway::of_file(&text)
}

/// Asks a gateway by `-S` and these words. Returns whether the exit code is 0, and all its output.
pub(crate) fn show(gateway: &Gateway, words: &[&str]) -> (bool, String) {
    let mut command = daemon();
    command
        .arg("-f")
        .arg(gateway.path("ouistiti.conf"))
        .arg("-S");
    let output = command.args(words).output().expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8(text).expect("UTF-8"),
    )
}

/// The value of the first number after `name` in JSON.
fn number(json: &str, name: &str) -> Option<u64> {
    let rest = json.split_once(&format!("\"{name}\":"))?.1;
    let end = rest.find(|digit: char| !digit.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[test]
fn the_state_has_each_client_with_its_service_and_bytes() {
    let gateway = watched("", "");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    client.text("12345");
    assert_eq!(client.message().1, b"12345");
    let mut json = String::new();
    // The count is written a moment after the message.
    wait_until("the bytes to be counted", || {
        json = show(&gateway, &["json"]).1;
        number(&json, "bytes_to_client") == Some(5)
    });
    assert_eq!(number(&json, "bytes_to_backend"), Some(5), "{json}");
    assert_eq!(number(&json, "bytes_to_backends"), Some(5), "{json}");
    for part in [
        "\"service\":\"echo\"",
        "\"state\":\"open\"",
        "\"user\":null",
        "\"served\":1",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    let (is_well, text) = show(&gateway, &[]);
    assert!(is_well, "{text}");
    for part in [
        " 1 of 200 clients",
        " echo ",
        " open\n",
        "since the start: 1 connections",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let id = number(&json, "id").expect("an id").to_string();
    assert!(show(&gateway, &["kick", &id, "4001"]).0);
    client.expect_close(4001);
    drop(client);
    wait_until("the end to be counted", || {
        json = show(&gateway, &["json"]).1;
        json.contains("\"closes\":{\"4000\":1}")
    });
    assert_eq!(number(&json, "bytes_to_backends"), Some(5), "{json}");
    assert_eq!(number(&json, "served"), Some(0), "{json}");
}

#[test]
fn a_client_that_does_not_leave_is_cut() {
    let gateway = watched("", "ping = 1;");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let json = show(&gateway, &["json"]).1;
    let id = number(&json, "id").expect("an id").to_string();
    assert!(show(&gateway, &["kick", &id]).0);
    client.expect_close(1001);
    // It goes on to send, and never answers the Close.
    wait_until("the client to be cut", || {
        show(&gateway, &["json"]).1.contains("\"clients\":[]")
    });
}

#[test]
fn a_wrong_question_is_told_and_changes_nothing() {
    let gateway = watched("", "");
    for (words, told) in [
        (
            &["kick"][..],
            "-S takes nothing, json, kick ID [CODE], or explain URL",
        ),
        (&["kick", "99"], "there is no client 99"),
        (&["kick", "x"], "'x' is no number of a client"),
        (
            &["kick", "1", "1005"],
            "'1005' is no close code that may be sent",
        ),
        (&["all"], "-S takes nothing"),
        (&["explain", "echo"], "is no URL"),
    ] {
        let (is_well, text) = show(&gateway, words);
        assert!(!is_well && text.contains(told), "{words:?}: {text}");
    }
}

#[test]
fn the_control_socket_is_for_its_owner_and_gone_at_the_end() {
    let gateway = watched("", "");
    let path = gateway.path("ctl");
    let status = std::fs::metadata(&path).expect("a socket");
    assert_eq!(status.permissions().mode() & 0o777, 0o600);
    assert_eq!(status.uid(), nix::unistd::geteuid().as_raw());
    gateway.process.signal(nix::sys::signal::Signal::SIGTERM);
    wait_until("the socket to be removed", || !path.exists());
    let (is_well, text) = show(&gateway, &[]);
    assert!(
        !is_well && text.contains("; the daemon does not run"),
        "{text}"
    );
}

#[test]
fn a_question_that_does_not_end_is_not_waited_for_and_keeps_no_other() {
    let gateway = watched("", "");
    let mut slow = UnixStream::connect(gateway.path("ctl")).expect("it listens");
    slow.write_all(b"js").expect("a few bytes");
    assert!(show(&gateway, &["json"]).0);
    slow.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    assert_eq!(slow.read(&mut [0; 8]).expect("it is closed"), 0);
    let mut long = UnixStream::connect(gateway.path("ctl")).expect("it listens");
    // It is closed before it has read all of it.
    let _ = long.write_all(&vec![b'x'; 200 << 10]);
    assert!(show(&gateway, &["json"]).0);
}

#[test]
fn metrics_are_read_by_http_on_this_machine_alone() {
    let metrics = free_address();
    let gateway = watched(&format!("metrics = \"{metrics}\";"), "");
    assert_eq!(get(&gateway, "/", "").status, 426);
    let request = |line: &str, host: &str| format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = fetch(metrics, &request("GET /metrics", "127.0.0.1"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for part in [
        "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
        "\nouistiti_connections_total 1\n",
        "\nouistiti_refusals_total{cause=\"no_upgrade\"} 1\n",
        "\nouistiti_websocket_duration_seconds_bucket{le=\"+Inf\"} 0\n",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    for (line, host, status) in [
        ("POST /", "localhost", "405"),
        ("GET /", "evil.example", "421"),
        ("GET", "localhost", "400"),
    ] {
        let answer = fetch(metrics, &request(line, host));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{line}: {answer}"
        );
    }
}

/// Sends a request and returns the whole answer.
pub(crate) fn fetch(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("a few bytes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn an_explanation_ends_with_the_answer_and_the_setting() {
    let gateway = watched("", "deny = \"secret\";");
    gateway.backend("echo").echo();
    let url = |path: &str| format!("ws://{}/{path}", gateway.address());
    let explain = |path: &str, headers: &[&str]| {
        let url = url(path);
        let words = [&["explain", &url], headers].concat();
        show(&gateway, &words).1
    };
    let text = explain("echo", &["Sec-WebSocket-Protocol: chat"]);
    assert!(
        text.contains("ok        backend: connected to echo\n"),
        "{text}"
    );
    let answer = "answer    101 Switching Protocols, with the subprotocol chat\n";
    assert!(text.ends_with(answer), "{text}");
    for (path, headers, refused, setting) in [
        (
            "echo",
            &["Origin: http://evil.example"][..],
            "origin",
            "origins (websocket)",
        ),
        (
            "echo",
            &["Origin: http://x", "Host: x.example"],
            "host",
            "hostname (servers)",
        ),
        ("secret", &[], "name", "allow, deny (websocket)"),
        ("none", &[], "name", "docroot, links (websocket)"),
        (
            "echo",
            &["Upgrade:"],
            "file",
            "none here: the proxy in front, such as proxy_http_version",
        ),
    ] {
        let text = explain(path, headers);
        assert!(
            text.contains(&format!("REFUSED   {refused}: ")),
            "{path}: {text}"
        );
        assert!(
            text.ends_with(&format!("\nsetting   {setting}\n")),
            "{path}: {text}"
        );
    }
    let response = ask(&gateway, &upgrade(&gateway, "/none", ""));
    let wanted = format!("answer    {}", String::from_utf8_lossy(&response.body));
    assert!(
        explain("none", &[]).contains(wanted.trim_end()),
        "the same sentence"
    );
    // What is explained is no client, and is counted nowhere.
    assert!(show(&gateway, &["json"]).1.contains("\"connections\":1,"));
    gateway.process.signal(nix::sys::signal::Signal::SIGTERM);
    wait_until("its end", || !gateway.path("ctl").exists());
    let text = explain("none", &[]);
    assert!(
        text.starts_with("no daemon answers: this is what "),
        "{text}"
    );
    assert!(
        text.ends_with("\nsetting   docroot, links (websocket)\n"),
        "{text}"
    );
}

#[test]
fn a_client_is_served_while_the_state_is_asked_for() {
    let gateway = watched("", "");
    gateway.backend("echo").echo();
    let mut client = Client::open(&gateway, "echo", "");
    for _ in 0..20 {
        assert!(show(&gateway, &["json"]).0);
        client.text("x");
        assert_eq!(client.message().1, b"x");
    }
}
