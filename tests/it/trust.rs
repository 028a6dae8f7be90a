//! Whom the gateway believes about where a client comes from, read from its log.

use std::io::Write;

use crate::client::Client;
use crate::frames;
use crate::gateway::Gateway;
use crate::http::{try_ask, upgrade};

/// The close code that marks the log line of this client.
const CODE: u16 = 4711;

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x34\x01\xbb";

/// The log line of a client that sends this PROXY header and these header lines; proxies stand in
/// 127.0.0.0/8 and 10.0.0.0/8.
fn line(before: &[u8], more: &str) -> String {
    let gateway = Gateway::with("trusted = \"127.0.0.0/8, 10.0.0.0/8\";", "");
    gateway.backend("echo").echo();
    let mut stream = gateway.connect();
    stream.write_all(before).unwrap();
    let request = upgrade(&gateway, "/echo", more);
    let mut client = Client::over(stream, &request);
    client.send(&frames::close(CODE));
    client.expect_close(CODE);
    drop(client);
    let line = gateway.process.find_line(|line| line.contains(": 4711, "));
    line.expect("a line of its end")
}

#[test]
fn a_proxy_header_without_an_address_makes_the_peer_the_client_whatever_is_forwarded() {
    let forwarded = "X-Forwarded-For: 192.0.2.77\r\n";
    for before in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"PROXY UNKNOWN 192.0.2.8 192.0.2.9 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00",
    ] {
        let line = line(before, forwarded);
        assert!(line.contains(" 127."), "{line}");
        assert!(!line.contains("192.0.2."), "{line}");
    }
    let line = line(b"", forwarded);
    assert!(line.contains("192.0.2.77"), "{line}");
}

#[test]
fn if_every_address_of_the_chain_is_trusted_the_left_most_counts() {
    let chain = "X-Forwarded-For: 10.7.7.7, 10.2.2.2, 127.0.0.1\r\n";
    let line = line(b"", chain);
    assert!(line.contains("10.7.7.7"), "{line}");
}

#[test]
fn a_proxy_header_of_a_peer_that_is_not_trusted_says_so() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("echo");
    for header in [V1, V2] {
        let request = [header, upgrade(&gateway, "/echo", "").as_bytes()].concat();
        let answer = try_ask(&gateway, &request).expect("an answer");
        assert_eq!(answer.status, 400, "{answer:?}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(
            body.contains("PROXY") && body.contains("'trusted'"),
            "{body}"
        );
    }
    assert!(!backend.is_called());
}

#[test]
#[cfg(feature = "tls")]
fn a_proxy_header_of_a_peer_that_is_not_trusted_says_so_on_a_tls_server_too() {
    let files = crate::certificates::Files::new();
    let gateway = files.gateway("", "");
    for header in [V1, V2] {
        let answer = try_ask(&gateway, header).expect("an answer");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains("'trusted'"), "{body}");
    }
}
