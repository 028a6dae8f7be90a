//! Every refusal before the 101: its status, its headers, its one line.

use std::io::Write;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::http::{self, KEY, Response, ask, get, plain, try_ask, upgrade};
use crate::process::wait_until;

/// What every refusal has: an end, a length, a line a person can read.
fn check(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    let connection = response.header("Connection").expect("a Connection header");
    assert!(
        connection.split(", ").any(|token| token == "close"),
        "{connection}"
    );
    let length = response.header("Content-Length").expect("a length");
    assert_eq!(length, response.body.len().to_string());
    let body = std::str::from_utf8(&response.body).expect("a body a person can read");
    let line = body.trim_end_matches('\n');
    assert!(
        !line.is_empty() && !line.contains('\n'),
        "not one line: {body:?}"
    );
    assert_eq!(response.header("Retry-After").is_some(), status == 503);
}

/// An upgrade request with one header line replaced by another text.
fn altered(gateway: &Gateway, line: &str, by: &str) -> String {
    let request = upgrade(gateway, "/sink", "");
    assert!(request.contains(line), "no {line:?} in the request");
    request.replacen(line, by, 1)
}

#[test]
fn malformed_requests_get_400() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let host = format!("Host: {}\r\n", gateway.address());
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let cases = [
        ("no Host", altered(&gateway, &host, "")),
        (
            "two Hosts",
            altered(&gateway, &host, "Host: a\r\nHost: b\r\n"),
        ),
        ("no key", altered(&gateway, &key, "")),
        (
            "a key of 15 bytes",
            altered(&gateway, KEY, "dGhlIHNhbXBsZSBub25j"),
        ),
        (
            "a key that is not base64",
            altered(&gateway, KEY, "dGhlIHNhbXBsZSBub25jZ!=="),
        ),
        ("an empty key", altered(&gateway, KEY, "")),
        ("two keys", altered(&gateway, &key, &format!("{key}{key}"))),
        (
            "a body",
            altered(&gateway, &key, &format!("{key}Content-Length: 5\r\n")),
        ),
        (
            "a chunked body",
            altered(
                &gateway,
                &key,
                &format!("{key}Transfer-Encoding: chunked\r\n"),
            ),
        ),
        (
            "a space before the colon",
            altered(&gateway, "Host:", "Host :"),
        ),
        (
            "a folded line",
            altered(&gateway, &key, &format!("X: a\r\n b\r\n{key}")),
        ),
        ("a NUL", altered(&gateway, "Upgrade: web", "Upgrade: \0web")),
        (
            "no target",
            altered(&gateway, "GET /sink HTTP/1.1", "GET HTTP/1.1"),
        ),
    ];
    for (what, request) in cases {
        let response = try_ask(&gateway, request.as_bytes()).expect(what);
        assert_eq!(response.status, 400, "{what}: {response:?}");
        check(&response, 400);
    }
    assert!(
        !backend.is_called(),
        "a malformed request reached the backend"
    );
}

#[test]
fn other_methods_get_405() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    for method in ["POST", "PUT", "DELETE", "HEAD", "BREW"] {
        let request = altered(&gateway, "GET", method);
        let response = try_ask(&gateway, request.as_bytes()).expect(method);
        assert_eq!(response.status, 405, "{method}: {response:?}");
    }
}

#[test]
fn versions_other_than_13_get_426_with_the_one_we_speak() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    for version in ["12", "8", "0", "14", "130", "x"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let response = ask(
            &gateway,
            &altered(&gateway, "Sec-WebSocket-Version: 13", &line),
        );
        check(&response, 426);
        assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"));
    }
}

#[test]
fn what_is_no_upgrade_gets_426_where_there_is_no_document() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    check(&get(&gateway, "/sink", ""), 426);
    check(
        &ask(
            &gateway,
            &altered(&gateway, "Connection: Upgrade", "Connection: close"),
        ),
        426,
    );
    check(
        &ask(
            &gateway,
            &altered(&gateway, "Upgrade: websocket", "Upgrade: h2c"),
        ),
        426,
    );
}

#[test]
fn the_tokens_of_an_upgrade_may_be_written_as_browsers_do() {
    let gateway = Gateway::start("");
    gateway.backend("sink").echo();
    let connection = "Connection: keep-alive, uPGRADE";
    for (line, by) in [
        ("Connection: Upgrade", connection),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Host:", "hOST:"),
    ] {
        let mut stream = gateway.connect();
        stream
            .write_all(altered(&gateway, line, by).as_bytes())
            .unwrap();
        let response = Response::read_head(&mut stream).unwrap();
        assert_eq!(response.status, 101, "{by}: {response:?}");
    }
}

#[test]
fn names_not_allowed_get_403_and_unknown_ones_404() {
    let gateway = Gateway::start("allow = \"ws_*,free\"; deny = \"ws_secret\";");
    let backends = ["ws_a", "free", "other", "ws_secret"].map(|name| gateway.backend(name));
    for name in ["ws_a", "free"] {
        gateway.open(name);
    }
    for name in ["other", "ws_secret"] {
        check(
            &ask(&gateway, &upgrade(&gateway, &format!("/{name}"), "")),
            403,
        );
    }
    check(&ask(&gateway, &upgrade(&gateway, "/ws_unknown", "")), 404);
    assert!(!backends[2].is_called() && !backends[3].is_called());
}

#[test]
fn allow_reads_an_escaped_star_and_anchors_as_the_c_gateway_wrote_them() {
    let gateway = Gateway::start("allow = \"^ws_\\\\*$\";");
    let _backends = [gateway.backend("ws_a"), gateway.backend("other")];
    gateway.open("ws_a");
    check(&ask(&gateway, &upgrade(&gateway, "/other", "")), 403);
}

#[test]
fn denylast_lets_allow_win() {
    let gateway = Gateway::start("allow = \"ws_*\"; deny = \"*\"; denylast = true;");
    let _backends = [gateway.backend("ws_a"), gateway.backend("other")];
    gateway.open("ws_a");
    check(&ask(&gateway, &upgrade(&gateway, "/other", "")), 403);
}

#[test]
fn row_18_a_service_without_its_backend_gets_503() {
    let gateway = Gateway::start("");
    drop(gateway.backend("gone"));
    check(&ask(&gateway, &upgrade(&gateway, "/gone", "")), 503);
}

#[test]
fn row_21_foreign_origins_get_403() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let own = gateway.address();
    for origin in [
        "http://evil.example",
        &format!("http://{own}.evil.example"),
        "null",
        "http://evil-127.0.0.1",
    ] {
        let request = upgrade(&gateway, "/sink", &format!("Origin: {origin}\r\n"));
        check(&ask(&gateway, &request), 403);
    }
    assert!(!backend.is_called());
    Client::open(&gateway, "sink", &format!("Origin: http://{own}\r\n"));
    Client::open(&gateway, "sink", "");
}

#[test]
fn origins_lists_the_hosts_that_may_connect() {
    let gateway = Gateway::start("origins = \"router.lan,*.example.org\";");
    let _backend = gateway.backend("sink");
    for origin in [
        "http://router.lan",
        "http://Router.LAN:8080",
        "https://a.example.org",
    ] {
        Client::open(&gateway, "sink", &format!("Origin: {origin}\r\n"));
    }
    for origin in [
        "http://router.lan.evil",
        "http://evil-router.lan",
        "http://example.net",
    ] {
        let request = upgrade(&gateway, "/sink", &format!("Origin: {origin}\r\n"));
        check(&ask(&gateway, &request), 403);
    }
}

#[test]
fn origins_star_lets_every_page_connect() {
    let gateway = Gateway::start("origins = \"*\";");
    let _backend = gateway.backend("sink");
    Client::open(&gateway, "sink", "Origin: http://anything.example\r\n");
}

#[test]
fn row_23_one_offered_subprotocol_is_chosen_or_none() {
    let offer = "Sec-WebSocket-Protocol: chat, superchat\r\n";
    for (setting, chosen) in [
        ("", Some("chat")),
        ("protocols = \"*\";", Some("chat")),
        ("protocols = \"superchat,other\";", Some("superchat")),
        ("protocols = \"other\";", None),
        ("protocols = \"\";", None),
    ] {
        let gateway = Gateway::start(setting);
        let _backend = gateway.backend("sink");
        let client = Client::open(&gateway, "sink", offer);
        let got = client.answer.header("Sec-WebSocket-Protocol");
        assert_eq!(got, chosen, "{setting}");
    }
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    let client = Client::open(&gateway, "sink", "");
    assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), None);
}

#[test]
fn targets_and_heads_that_are_too_long_are_refused() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    let target = format!("/{}", "a".repeat(20_000));
    check(&ask(&gateway, &upgrade(&gateway, &target, "")), 414);
    let header = format!("X-Filler: {}\r\n", "a".repeat(17_000));
    check(&ask(&gateway, &upgrade(&gateway, "/sink", &header)), 431);
    let headers: String = (0..200)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    check(&ask(&gateway, &upgrade(&gateway, "/sink", &headers)), 431);
    // Just under both limits is served.
    let headers: String = (0..120)
        .map(|number| format!("X-{number}: {:>90}\r\n", "a"))
        .collect();
    Client::open(&gateway, "sink", &headers);
}

#[test]
fn row_27_a_slow_handshake_gets_408_at_the_deadline() {
    let gateway = Gateway::with("keepalivetimeout = 1;", "");
    let _backend = gateway.backend("sink");
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /sink HTTP/1.1\r\nHost: a\r\n")
        .unwrap();
    let response = Response::read_head(&mut stream).expect("an answer");
    assert_eq!(response.status, 408);
    let mut silent = gateway.connect();
    // One that never said anything may also get the bare end.
    if let Some(response) = Response::read_head(&mut silent) {
        assert_eq!(response.status, 408);
    }
}

#[test]
fn at_maxclients_a_new_client_gets_503_until_one_leaves() {
    let gateway = Gateway::with("maxclients = 2;", "");
    gateway.backend("echo").echo();
    let clients = [gateway.open("echo"), gateway.open("echo")];
    check(&ask(&gateway, &upgrade(&gateway, "/echo", "")), 503);
    drop(clients);
    wait_until("a free slot", || {
        let mut stream = gateway.connect();
        // Without a slot the connection may end before our request is read.
        let _ = stream.write_all(upgrade(&gateway, "/echo", "").as_bytes());
        Response::read_head(&mut stream).is_some_and(|response| response.status == 101)
    });
}

#[test]
fn no_answer_repeats_what_the_client_sent() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    for request in [
        upgrade(&gateway, "/Zebra", ""),
        upgrade(&gateway, "/sink", "Origin: http://Zebra\r\n"),
        altered(&gateway, "GET", "ZEBRA"),
        altered(
            &gateway,
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Version: Zebra",
        ),
    ] {
        let response = ask(&gateway, &request);
        let text = format!(
            "{:?}{}",
            response.headers,
            String::from_utf8_lossy(&response.body)
        );
        assert!(!text.to_lowercase().contains("zebra"), "{text}");
    }
}

#[test]
fn bytes_sent_with_the_request_are_not_lost() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let mut stream = gateway.connect();
    let mut bytes = http::upgrade(&gateway, "/sink", "").into_bytes();
    bytes.extend(crate::frames::message(crate::frames::TEXT, b"eager"));
    stream.write_all(&bytes).unwrap();
    assert_eq!(backend.accept().take(5), b"eager");
}

#[test]
fn http_1_0_is_not_upgraded() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("sink");
    let response = ask(&gateway, &altered(&gateway, "HTTP/1.1", "HTTP/1.0"));
    assert!((400..=505).contains(&response.status), "{response:?}");
    let response = plain(&gateway, "PRI", "*", "");
    assert!((400..=505).contains(&response.status), "{response:?}");
}
