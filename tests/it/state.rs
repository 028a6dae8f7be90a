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
        " open, ",
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
        // The slot is given back after that.
        json.contains("\"closes\":{\"4000\":1}") && number(&json, "served") == Some(0)
    });
    assert_eq!(number(&json, "bytes_to_backends"), Some(5), "{json}");
}

#[test]
fn a_client_that_does_not_leave_is_cut() {
    let gateway = watched("", "");
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
        (&["kick"][..], "-S takes nothing, json, kick ID [CODE]"),
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
    assert!(text.contains(answer), "{text}");
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
    let mut other = None;
    wait_until("the address to be free", || {
        other = std::net::TcpListener::bind(gateway.address()).ok();
        other.is_some()
    });
    let text = explain("none", &[]);
    assert!(
        text.starts_with("no daemon answers: this is what ") && text.contains(": another program"),
        "{text}"
    );
    drop(other);
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

#[test]
fn the_status_service_sends_json_to_this_machine_and_to_who_has_logged_in() {
    let auth = "auth = { type = \"Basic\"; user = \"root\"; passwd = \"secret\"; };";
    let gateway = watched(
        "",
        &format!(
            "links = ( {{ origin = \"-status\"; type = \"status\"; }},\n\
             {{ origin = \"users\"; type = \"status\"; {auth} }} );"
        ),
    );
    let mut client = gateway.open("-status");
    // The first message may be written before the client has its name.
    assert!(!client.message().1.is_empty());
    for _ in 0..2 {
        let (opcode, message) = client.message();
        let json = String::from_utf8(message).expect("text");
        assert_eq!(opcode, 1, "{json}");
        assert!(json.contains("\"service\":\"-status\""), "{json}");
    }
    for header in [
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        "Via: 1.1 x",
    ] {
        let request = upgrade(&gateway, "/-status", &format!("{header}\r\n"));
        assert_eq!(ask(&gateway, &request).status, 403, "{header}");
    }
    if !cfg!(feature = "auth") {
        return;
    }
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/users", "")).status, 401);
    // root:secret in base64; a proxy's client may see it too.
    let more = "Authorization: Basic cm9vdDpzZWNyZXQ=\r\nX-Forwarded-For: 192.0.2.1\r\n";
    let mut client = Client::open(&gateway, "users", more);
    assert!(!client.message().1.is_empty());
    assert!(String::from_utf8_lossy(&client.message().1).contains("\"user\":\"root\""));
}

#[test]
fn a_thousand_clients_are_served_while_the_state_is_asked_for_again_and_again() {
    let gateway = watched("", "ping = 3600;");
    let text = std::fs::read_to_string(gateway.path("ouistiti.conf")).expect("our own file");
    let text = text.replace(
        "websocket =",
        "maxclients = 1000; maxperip = 0; websocket =",
    );
    std::fs::write(gateway.path("ouistiti.conf"), text).expect("our own file");
    gateway.process.signal(nix::sys::signal::Signal::SIGHUP);
    gateway
        .process
        .find_line(|line| line.contains("configuration read again"));
    gateway.backend("echo").echo();
    let count = if crate::gateway::is_emulated("a thousand clients are too many") {
        20
    } else {
        1000
    };
    let mut clients: Vec<_> = (0..count).map(|_| gateway.open("echo")).collect();
    let path = gateway.path("ctl");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let mut asked = 0;
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let mut asked = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut socket = UnixStream::connect(&path).expect("it listens");
                socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
                socket.write_all(b"json").expect("a question");
                socket
                    .shutdown(std::net::Shutdown::Write)
                    .expect("a socket");
                let mut answer = String::new();
                socket.read_to_string(&mut answer).expect("an answer");
                assert_eq!(answer.matches("\"service\":\"echo\"").count(), count);
                asked += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            asked
        });
        for _ in 0..3 {
            for client in &mut clients {
                client.text("x");
                assert_eq!(client.message().1, b"x");
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        asked = asker.join().expect("it was answered each time");
    });
    crate::process::figure(format!(
        "{count} clients, {} messages, {asked} looks",
        3 * count
    ));
    assert!(asked > 0);
}

#[test]
fn a_client_that_its_backend_has_taken_over_is_shown_until_its_end() {
    let gateway = watched("", "options = \"direct\";");
    let backend = gateway.backend("direct");
    let client = gateway.open("direct");
    let mut taker = backend.accept();
    taker.take(16);
    taker.give(b"!");
    let address = client.stream.local_addr().expect("a socket");
    let row = format!(
        "\"id\":1,\"peer\":\"{address}\",\"service\":\"direct\",\"shared\":false,\
         \"user\":null,\"state\":\"direct\""
    );
    let mut json = String::new();
    wait_until("it to be shown", || {
        json = show(&gateway, &["json"]).1;
        json.contains(&row)
    });
    assert!(json.contains("\"served\":0"), "{json}");
    drop(taker);
    wait_until("its end", || !show(&gateway, &["json"]).1.contains(&row));
}
