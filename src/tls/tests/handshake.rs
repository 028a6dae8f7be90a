//! The handshake: versions, client certificates, resumption, and clients that never finish.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use super::*;
use crate::tls::Failure;

#[test]
fn both_versions_are_spoken_with_http_1_1() {
    let (authority, certificates) = one_server();
    for (version, name) in [(&TLS12, "TLSv1_2"), (&TLS13, "TLSv1_3")] {
        let mut client = authority.client_of(&[version], None);
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (peer, session) = connected(&certificates, &Arc::new(client));
        assert_eq!(
            format!("{:?}", peer.conn.protocol_version().expect("done")),
            name
        );
        assert_eq!(peer.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(session.client_subject(), None);
    }
}

#[test]
fn a_second_connection_resumes_also_after_a_reload() {
    let (authority, certificates) = one_server();
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(authority.client_of(&[version], None));
        let (first, _) = connected(&certificates, &client);
        assert_eq!(first.conn.handshake_kind(), Some(HandshakeKind::Full));
        for _ in 0..2 {
            let (next, _) = connected(&certificates, &client);
            assert_eq!(next.conn.handshake_kind(), Some(HandshakeKind::Resumed));
            certificates.reload().expect("a good pair");
        }
    }
}

#[test]
fn client_certificates_are_required_or_optional_and_checked() {
    let (authority, _) = one_server();
    let stranger = Authority::new();
    let right = authority.issue("alice", "alice.test");
    let wrong = stranger.issue("eve", "eve.test");
    let expired = authority.issue_as(
        "old",
        "old.test",
        EC,
        ["20200101000000Z", "20210101000000Z"],
    );
    let server = TlsPair {
        certificate: authority.path("gateway.crt"),
        key: authority.path("gateway.key"),
    };
    for optional in [false, true] {
        let certificates = Certificates::load(&TlsConfig {
            pairs: vec![server.clone()],
            client_ca: Some(authority.path("ca.crt")),
            client_auth_optional: optional,
        })
        .expect("good files");
        for version in [&TLS12, &TLS13] {
            let attempt = |identity| {
                let client = Arc::new(authority.client_of(&[version], identity));
                connect(&certificates, &client, "gateway.test")
            };
            let (peer, session) = attempt(Some(&right));
            peer.expect("the right certificate");
            let subject = session.expect("the right certificate").client_subject();
            assert_eq!(subject.as_deref(), Some("CN=alice,O=Test"));
            assert_eq!(attempt(None).1.is_ok(), optional);
            for identity in [&wrong, &expired] {
                let (peer, session) = attempt(Some(identity));
                let alert = peer.expect_err("refused").to_string();
                assert!(alert.contains("alert"), "the client is told: {alert}");
                let failure = session.map(drop).expect_err("refused").failure;
                assert!(matches!(failure, Failure::Tls(_)), "{failure}");
            }
        }
    }
}

#[test]
fn plain_http_is_recognized_and_the_request_is_still_there() {
    let (_authority, certificates) = one_server();
    let (mut client, server) = sockets();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("write");
    let error = Session::accept(server, &certificates, Instant::now() + PATIENCE);
    let mut error = error.map(drop).expect_err("not TLS");
    assert!(matches!(error.failure, Failure::NotTls), "{error}");
    let mut request = [0; 18];
    error.socket.read_exact(&mut request).expect("unread");
    assert_eq!(&request, b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn what_is_neither_tls_nor_http_is_told_so() {
    let (_authority, certificates) = one_server();
    let (mut client, server) = sockets();
    client
        .write_all(b"\x00\x01garbage garbage garbage")
        .expect("write");
    let error = Session::accept(server, &certificates, Instant::now() + PATIENCE);
    let error = error.map(drop).expect_err("not TLS");
    assert!(matches!(error.failure, Failure::Tls(_)), "{error}");
    let mut alert = [0; 7];
    client.read_exact(&mut alert).expect("an alert");
    assert_eq!(alert[..2], [21, 3], "a record of type alert");
}

#[test]
fn a_client_that_stops_in_the_handshake_meets_the_deadline() {
    let (authority, certificates) = one_server();
    let client = Arc::new(authority.client());
    let mut tls = ClientConnection::new(client, "gateway.test".try_into().expect("a name"))
        .expect("a client");
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).expect("memory");
    for sent in [
        &hello[..0],
        &hello[..1],
        &hello[..hello.len() - 1],
        &hello[..],
    ] {
        let (mut client, server) = sockets();
        client.write_all(sent).expect("write");
        let start = Instant::now();
        let error = Session::accept(server, &certificates, start + Duration::from_millis(200));
        let error = error.map(drop).expect_err("never finished");
        assert!(matches!(error.failure, Failure::Timeout), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(200));
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn a_client_that_leaves_in_the_handshake_is_an_io_failure() {
    let (_authority, certificates) = one_server();
    for sent in [&b""[..], b"\x16\x03\x01"] {
        let (mut client, server) = sockets();
        client.write_all(sent).expect("write");
        drop(client);
        let error = Session::accept(server, &certificates, Instant::now() + PATIENCE);
        let error = error.map(drop).expect_err("gone");
        assert!(matches!(error.failure, Failure::Io(_)), "{error}");
    }
}
