//! One direction at a time: reading, peeking, writing, ending.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};

use super::*;

fn pair() -> (Authority, Peer, Session) {
    let (authority, certificates) = one_server();
    let (peer, session) = connected(&certificates, &Arc::new(authority.client()));
    (authority, peer, session)
}

#[test]
fn close_notify_ends_a_stream_in_each_direction_by_itself() {
    let (authority, certificates) = one_server();
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(authority.client_of(&[version], None));
        let (mut peer, session) = connected(&certificates, &client);
        peer.write_all(b"Hello").expect("write");
        peer.conn.send_close_notify();
        peer.flush().expect("flush");
        let mut text = [0; 16];
        assert_eq!((&session).read(&mut text).expect("read"), 5);
        assert_eq!(&text[..5], b"Hello");
        for _ in 0..2 {
            assert!(session.buffered(), "the end is known without the socket");
            assert_eq!((&session).read(&mut text).expect("the end"), 0);
            assert_eq!(session.peek(&mut text).expect("the end"), 0);
        }
        (&session).write_all(b"last").expect("half closed");
        session.close_notify().expect("close");
        session.close_notify().expect("twice does no harm");
        session.socket().shutdown(Shutdown::Write).expect("FIN");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("close_notify, then FIN");
        assert_eq!(rest, b"last");
    }
}

#[test]
fn a_truncated_stream_is_an_error_after_its_data() {
    let (_authority, mut peer, session) = pair();
    peer.write_all(b"Hello").expect("write");
    peer.sock
        .shutdown(Shutdown::Write)
        .expect("FIN without close_notify");
    let mut text = [0; 16];
    (&session).read_exact(&mut text[..5]).expect("read");
    for _ in 0..2 {
        let error = (&session).read(&mut text).expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(session.buffered());
    }
}

#[test]
fn peeked_bytes_are_read_again() {
    let (_authority, mut peer, session) = pair();
    assert!(!session.buffered());
    peer.write_all(b"GET /").expect("write");
    let mut text = [0; 16];
    for _ in 0..2 {
        assert_eq!(session.peek(&mut text).expect("peek"), 5);
        assert!(session.buffered());
    }
    assert_eq!(session.peek(&mut text[..2]).expect("peek"), 2);
    assert_eq!((&session).read(&mut text[..3]).expect("read"), 3);
    assert_eq!(session.peek(&mut text[3..]).expect("peek"), 2);
    assert_eq!((&session).read(&mut text[3..]).expect("read"), 2);
    assert_eq!(&text[..5], b"GET /");
    assert!(!session.buffered());
}

#[test]
fn a_read_waits_no_longer_than_the_socket_says() {
    let (_authority, mut peer, session) = pair();
    session
        .socket()
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("timeout");
    let mut text = vec![0; 100_000];
    for round in 0..3 {
        let error = (&session).read(&mut text).expect_err("nothing there");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let sent = vec![round; 60_000];
        peer.write_all(&sent).expect("write");
        session
            .socket()
            .set_read_timeout(Some(PATIENCE))
            .expect("timeout");
        (&session).read_exact(&mut text[..60_000]).expect("read");
        assert_eq!(text[..60_000], sent);
        session
            .socket()
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("timeout");
    }
}

#[test]
fn a_broken_record_is_an_error_that_the_peer_is_told() {
    let (_authority, mut peer, session) = pair();
    peer.sock
        .write_all(b"\x17\x03\x03\x00\x20thirty-two bytes with other keys")
        .expect("write");
    let error = (&session).read(&mut [0; 16]).expect_err("forged");
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let alert = peer.read(&mut [0; 16]).expect_err("an alert").to_string();
    assert!(alert.contains("alert"), "{alert}");
}

#[test]
fn slices_written_together_share_a_record() {
    let (_authority, mut peer, session) = pair();
    let slices = [&b"\x81\x05"[..], b"", b"Hel", b"lo"].map(IoSlice::new);
    assert_eq!((&session).write_vectored(&slices).expect("write"), 7);
    let mut header = [0; 5];
    peer.sock.peek(&mut header).expect("one record");
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    assert_eq!(
        length,
        7 + 1 + 16,
        "payload, content type, tag (RFC 8446, section 5.2)"
    );
    let mut text = [0; 7];
    peer.read_exact(&mut text).expect("read");
    assert_eq!(&text, b"\x81\x05Hello");
    assert_eq!((&session).write_vectored(&[]).expect("nothing"), 0);
    assert_eq!((&session).write(b"").expect("nothing"), 0);
}

#[test]
fn a_write_of_any_size_is_whole() {
    let (_authority, mut peer, session) = pair();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut received = vec![0; sent.len()];
    thread::scope(|scope| {
        let (head, tail) = sent.split_at(100_000);
        let slices = [head, b"", tail].map(IoSlice::new);
        let written = scope.spawn(move || (&session).write_vectored(&slices));
        peer.read_exact(&mut received).expect("read");
        assert_eq!(
            written.join().expect("no panic").expect("written"),
            sent.len()
        );
    });
    assert!(received == sent);
}

#[test]
fn a_timed_out_write_loses_and_doubles_nothing() {
    let (_authority, mut peer, session) = pair();
    session
        .socket()
        .set_write_timeout(Some(Duration::from_millis(50)))
        .expect("timeout");
    let block: Vec<u8> = (0..50_000_u32).map(|i| (i % 241) as u8).collect();
    let mut sent = Vec::new();
    loop {
        assert!(
            sent.len() < 64 << 20,
            "nobody reads: it must have been lost"
        );
        match (&session).write(&block) {
            Ok(count) => sent.extend_from_slice(&block[..count]),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let mut received = vec![0; sent.len() + 3];
    thread::scope(|scope| {
        session
            .socket()
            .set_write_timeout(Some(PATIENCE))
            .expect("timeout");
        scope.spawn(|| {
            (&session)
                .write_all(b"end")
                .expect("the client reads again");
        });
        peer.read_exact(&mut received).expect("read");
    });
    sent.extend_from_slice(b"end");
    assert!(received == sent);
}

#[test]
fn a_unix_socket_carries_tls_too() {
    let (authority, certificates) = one_server();
    let (near, far) = UnixStream::pair().expect("a pair");
    for socket in [&near, &far] {
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    }
    let far = TcpStream::from(std::os::fd::OwnedFd::from(far));
    let name = "gateway.test".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(authority.client()), name).expect("a client");
    let mut peer = rustls::StreamOwned::new(tls, near);
    thread::scope(|scope| {
        scope.spawn(|| {
            let session = Session::accept(far, &certificates, Instant::now() + PATIENCE);
            (&session.expect("a session"))
                .write_all(b"Hello")
                .expect("write");
        });
        let mut text = [0; 5];
        peer.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"Hello");
    });
}

#[test]
fn what_is_taken_without_waiting_is_dropped_or_stays_for_the_next_read() {
    let (_authority, mut peer, session) = pair();
    let near = session.socket().try_clone().expect("a descriptor");
    let wait = || near.peek(&mut [0]).expect("bytes");
    assert!(session.take_now(|_| unreachable!("nothing has come")));
    peer.write_all(b"noise").expect("write");
    wait();
    assert!(session.take_now(|chunk| chunk == b"noise"));
    assert!(!session.buffered());
    // Two records: the first is dropped, the second is left.
    peer.conn.writer().write_all(b"noise").expect("memory");
    peer.conn.writer().write_all(b"Hello").expect("memory");
    peer.flush().expect("flush");
    wait();
    assert!(!session.take_now(|chunk| chunk == b"noise"));
    assert!(session.buffered());
    let mut text = [0; 16];
    assert_eq!((&session).read(&mut text).expect("at once"), 5);
    assert_eq!(&text[..5], b"Hello");
    session.shrink();
    // No record at all: the read says so, though it has nothing to read from the socket.
    peer.sock.write_all(b"GET / HTTP/1.1").expect("write");
    wait();
    assert!(!session.take_now(|_| true));
    assert!(session.buffered());
    for _ in 0..2 {
        (&session).read(&mut text).expect_err("no record");
    }
}

#[test]
fn a_session_that_has_given_its_buffers_back_goes_on() {
    let (_authority, mut peer, session) = pair();
    let block = vec![7; 16_384];
    let mut got = vec![0; block.len()];
    for _ in 0..3 {
        peer.write_all(&block).expect("write");
        (&session).read_exact(&mut got).expect("read");
        assert!(got == block);
        (&session).write_all(b"thanks").expect("write");
        peer.read_exact(&mut [0; 6]).expect("read");
        session.shrink();
        assert!(!session.buffered());
    }
}
