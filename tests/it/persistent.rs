//! Several requests on one connection (RFC 9112, section 9.3), and the answers that are no files.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::http::{Response, ask, get, plain, upgrade};
use crate::process::{figure, wait_until};

fn site(server: &str) -> Gateway {
    let document = format!("document = {{ docroot = \"DIR/www\"; }}; {server}");
    let gateway = Gateway::with(&document, "");
    for number in 0..12 {
        let name = format!("www/{number}.txt");
        std::fs::write(gateway.path(&name), format!("file {number}")).unwrap();
    }
    gateway
}

/// Reads one answer with its content, and not a byte more.
fn answer(stream: &mut impl Read) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).expect("its content");
    (head, String::from_utf8(body).unwrap())
}

fn ask_for(stream: &mut impl Write, target: &str, more: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: router.lan\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
}

fn is_at_end(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0]).expect("an orderly end") == 0
}

#[test]
fn a_page_of_twelve_files_needs_one_connection() {
    let gateway = site("");
    let mut stream = gateway.connect();
    for number in 0..12 {
        ask_for(&mut stream, &format!("/{number}.txt"), "");
        let (head, body) = answer(&mut stream);
        assert!(head.contains("\r\nConnection: keep-alive\r\n"), "{head}");
        assert!(head.contains("\r\nKeep-Alive: timeout=10\r\n"), "{head}");
        assert_eq!(body, format!("file {number}"));
    }
    ask_for(&mut stream, "/0.txt", "Connection: close\r\n");
    let (head, _) = answer(&mut stream);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert!(is_at_end(&mut stream));
}

#[test]
#[cfg(feature = "tls")]
fn the_same_over_tls_needs_one_handshake() {
    let files = crate::certificates::Files::new();
    let document = "document = { docroot = \"DIR/www\"; };";
    let gateway = files.gateway(document, "");
    std::fs::write(gateway.path("www/a.txt"), "a file").unwrap();
    let mut client = files.connect(&gateway);
    for _ in 0..12 {
        ask_for(&mut client, "/a.txt", "");
        assert_eq!(answer(&mut client).1, "a file");
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_turn() {
    let gateway = site("");
    let mut stream = gateway.connect();
    let requests: String = (0..12)
        .map(|number| format!("GET /{number}.txt HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    for number in 0..12 {
        assert_eq!(answer(&mut stream).1, format!("file {number}"));
    }
}

#[test]
fn a_head_does_not_shift_the_answers_that_follow() {
    let gateway = site("");
    std::fs::create_dir(gateway.path("www/sub")).unwrap();
    let mut stream = gateway.connect();
    for target in ["/0.txt", "/sub", "/.well-known/ouistiti"] {
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
    }
    ask_for(&mut stream, "/1.txt", "");
    let (head, body) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "file 1");
}

#[test]
fn every_refusal_of_a_head_has_no_content() {
    let gateway = site("hostname = \"x\";");
    for (lines, target, wanted) in [
        ("", "/absent", 404),
        ("Content-Length: 5\r\n", "/0.txt", 400),
        ("Bad Header: x\r\n", "/0.txt", 400),
        ("Sec-WebSocket-Key: x\r\n", "/0.txt", 426),
        ("Origin: http://evil.example\r\n", "/0.txt", 421),
    ] {
        let host = if wanted == 421 { "evil.example" } else { "a" };
        let request = format!("HEAD {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        let response = ask(&gateway, &request);
        assert_eq!(
            (response.status, response.body.len()),
            (wanted, 0),
            "{lines}"
        );
    }
}

#[test]
fn a_refusal_and_http_1_0_end_the_connection() {
    let gateway = site("");
    let mut stream = gateway.connect();
    ask_for(&mut stream, "/0.txt", "");
    answer(&mut stream);
    ask_for(&mut stream, "/absent", "");
    let (head, _) = answer(&mut stream);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert!(is_at_end(&mut stream));
    let mut stream = gateway.connect();
    stream.write_all(b"GET /0.txt HTTP/1.0\r\n\r\n").unwrap();
    let (head, body) = answer(&mut stream);
    assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    assert_eq!(body, "file 0");
    assert!(is_at_end(&mut stream));
}

#[test]
fn a_websocket_may_follow_on_the_connection_of_its_page() {
    let gateway = site("");
    gateway.backend("echo").echo();
    let mut stream = gateway.connect();
    ask_for(&mut stream, "/0.txt", "");
    answer(&mut stream);
    let mut client = Client::over(stream, &upgrade(&gateway, "/echo", ""));
    client.text("hello");
    assert_eq!(client.message().1, b"hello");
}

#[test]
fn a_connection_without_another_request_ends_quietly_after_keepalivetimeout() {
    let gateway = site("keepalivetimeout = 1;");
    let mut stream = gateway.connect();
    // The time runs from when the answer is out, which may be before it is read here.
    let start = Instant::now();
    ask_for(&mut stream, "/0.txt", "");
    answer(&mut stream);
    assert!(is_at_end(&mut stream));
    assert!(start.elapsed() >= Duration::from_secs(1));
    // Half a request counts as a request, and gets its answer.
    let mut stream = gateway.connect();
    ask_for(&mut stream, "/0.txt", "");
    answer(&mut stream);
    stream.write_all(b"GET /").unwrap();
    assert!(answer(&mut stream).0.starts_with("HTTP/1.1 408 "));
}

#[test]
fn a_connection_that_waits_for_another_request_gives_way_to_a_new_client() {
    let gateway = site("maxclients = 2; keepalivetimeout = 3600;");
    gateway.backend("echo").echo();
    let idle = [gateway.connect(), gateway.connect()].map(|mut stream| {
        ask_for(&mut stream, "/0.txt", "");
        answer(&mut stream);
        stream
    });
    for _ in 0..2 {
        wait_until("a slot", || {
            let mut stream = gateway.connect();
            let _ = stream.write_all(upgrade(&gateway, "/echo", "").as_bytes());
            let answer = Response::read_head(&mut stream);
            let is_served = answer.is_some_and(|answer| answer.status == 101);
            std::mem::forget(is_served.then_some(stream));
            is_served
        });
    }
    for mut stream in idle {
        assert!(is_at_end(&mut stream));
    }
}

#[test]
fn a_client_that_reads_nothing_of_a_file_keeps_its_slot_for_ten_seconds() {
    let gateway = site("maxclients = 1;");
    let large = std::fs::File::create(gateway.path("www/large")).unwrap();
    large.set_len(256 << 20).unwrap();
    let mut stalled = gateway.connect();
    ask_for(&mut stalled, "/large", "");
    let mut head = [0; 12];
    stalled.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let start = Instant::now();
    assert_eq!(get(&gateway, "/0.txt", "").status, 503);
    wait_until("its slot", || {
        let mut stream = gateway.connect();
        let _ = stream.write_all(b"GET /0.txt HTTP/1.1\r\nHost: a\r\n\r\n");
        Response::read_head(&mut stream).is_some_and(|answer| answer.status == 200)
    });
    figure(format!(
        "a client that reads nothing lost its slot after {:.1?}, where 10 s are meant",
        start.elapsed()
    ));
}

#[test]
fn load_balancers_and_monitors_get_an_answer_without_a_document() {
    let gateway = Gateway::start("");
    for request in [
        "OPTIONS / HTTP/1.0\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS /echo HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let response = ask(&gateway, request);
        assert_eq!(response.status, 204, "{request}");
        assert_eq!(response.header("Allow"), Some("GET, HEAD, OPTIONS"));
    }
    let response = get(&gateway, "/.well-known/ouistiti", "");
    assert_eq!((response.status, &response.body[..]), (200, &b"ok\n"[..]));
}

#[test]
fn a_get_of_a_service_says_that_it_is_a_websocket_service() {
    for gateway in [site(""), Gateway::start("")] {
        let _backends = [gateway.backend("echo"), gateway.backend("hidden")];
        let response = get(&gateway, "/echo", "");
        assert_eq!(response.status, 426, "{response:?}");
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(body.contains("this is a WebSocket service"), "{body}");
        assert_eq!(response.header("Upgrade"), Some("websocket"));
        let absent = get(&gateway, "/absent", "");
        assert!(!String::from_utf8_lossy(&absent.body).contains("this is a WebSocket"));
    }
    let gateway = Gateway::with(
        "document = { docroot = \"DIR/www\"; };",
        "deny = \"hidden\";",
    );
    let _backend = gateway.backend("hidden");
    assert_eq!(get(&gateway, "/hidden", "").status, 403);
}

#[test]
fn a_handshake_that_a_proxy_has_spoiled_names_the_cure() {
    for gateway in [site(""), Gateway::start("")] {
        gateway.backend("echo").echo();
        let good = upgrade(&gateway, "/echo", "");
        for spoiled in [
            good.replace("HTTP/1.1", "HTTP/1.0"),
            good.replace("HTTP/1.1", "HTTP/1.0")
                .replace("Upgrade: websocket\r\n", ""),
            good.replace("Upgrade: websocket\r\n", ""),
            good.replace("Connection: Upgrade", "Connection: close"),
        ] {
            let response = ask(&gateway, &spoiled);
            assert_eq!(response.status, 426, "{spoiled}");
            let body = String::from_utf8_lossy(&response.body).into_owned();
            assert!(body.contains("proxy_http_version 1.1"), "{body}");
        }
    }
}

#[test]
fn headsize_admits_the_cookies_of_a_single_sign_on() {
    let cookies = format!("Cookie: {}\r\n", "c".repeat(14_000));
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    Client::open(&gateway, "echo", &cookies);
    let longer = format!("Cookie: {}\r\n", "c".repeat(60_000));
    let request = upgrade(&gateway, "/echo", &longer);
    assert_eq!(ask(&gateway, &request).status, 431);
    let gateway = Gateway::with("headsize = \"64K\";", "");
    gateway.backend("echo").echo();
    Client::open(&gateway, "echo", &longer);
    let response = plain(&gateway, "GET", "/echo", &longer);
    assert_eq!(response.status, 426);
}
