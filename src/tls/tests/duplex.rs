//! Both directions at once, by two threads: nothing lost, nobody waits for the other's network.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::version::{TLS12, TLS13};

use super::*;

/// Bytes each way in a flood.
const TOTAL: usize = 6 << 20;

/// A byte that shows when something is lost, doubled or moved.
fn byte(position: usize) -> u8 {
    (position % 253) as u8 ^ (position >> 16) as u8
}

/// Sends and receives `TOTAL` bytes at once, as the network allows, with new keys after each
/// `key_update` bytes.
fn flood(peer: Peer, key_update: usize) {
    let StreamOwned { mut conn, mut sock } = peer;
    sock.set_nonblocking(true).expect("nonblocking");
    let (mut sent, mut received, mut updated) = (0, 0, 0);
    let mut buffer = vec![0; 30_000];
    let deadline = Instant::now() + PATIENCE * 3;
    while sent < TOTAL || received < TOTAL || conn.wants_write() {
        assert!(
            Instant::now() < deadline,
            "sent {sent}, received {received}"
        );
        if sent < TOTAL && !conn.wants_write() {
            let block: Vec<u8> = (sent..TOTAL.min(sent + 20_000)).map(byte).collect();
            sent += conn.writer().write(&block).expect("memory");
            if sent - updated >= key_update {
                conn.refresh_traffic_keys().expect("TLS 1.3");
                updated = sent;
            }
        }
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, conn.wants_write());
        poll(
            &mut [PollFd::new(sock.as_fd(), events)],
            PollTimeout::from(1000_u16),
        )
        .expect("poll");
        while conn.wants_write() && conn.write_tls(&mut sock).is_ok() {}
        while conn.read_tls(&mut sock).is_ok_and(|count| count > 0) {
            conn.process_new_packets().expect("good records");
            while let Ok(count) = conn.reader().read(&mut buffer) {
                for (offset, found) in buffer[..count].iter().enumerate() {
                    assert_eq!(*found, byte(received + offset), "at {received}+{offset}");
                }
                received += count;
                if count == 0 {
                    break;
                }
            }
        }
    }
    assert_eq!((sent, received), (TOTAL, TOTAL));
    sock.set_nonblocking(false).expect("blocking");
    conn.send_close_notify();
    while conn.wants_write() {
        conn.write_tls(&mut sock).expect("close_notify");
    }
}

/// The server's side of a flood: a thread reads, another writes.
fn serve_flood(session: &Session) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            while sent < TOTAL {
                let block: Vec<u8> = (sent..TOTAL.min(sent + 1 + sent % 70_001))
                    .map(byte)
                    .collect();
                let mut writer = session;
                writer.write_all(&block).expect("write");
                sent += block.len();
            }
        });
        let (mut reader, mut received) = (session, 0);
        let mut buffer = vec![0; 32_768];
        loop {
            let count = reader.read(&mut buffer).expect("read");
            if count == 0 {
                break;
            }
            for (offset, found) in buffer[..count].iter().enumerate() {
                assert_eq!(*found, byte(received + offset), "at {received}+{offset}");
            }
            received += count;
        }
        assert_eq!(received, TOTAL);
    });
}

#[test]
fn both_directions_flooded_at_once_keep_every_byte() {
    let (authority, certificates) = one_server();
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(authority.client_of(&[version], None));
        let (peer, session) = connected(&certificates, &client);
        thread::scope(|scope| {
            scope.spawn(|| serve_flood(&session));
            flood(peer, usize::MAX);
        });
    }
}

#[test]
fn new_keys_under_load_keep_every_byte() {
    let (authority, certificates) = one_server();
    let (peer, session) = connected(
        &certificates,
        &Arc::new(authority.client_of(&[&TLS13], None)),
    );
    thread::scope(|scope| {
        scope.spawn(|| serve_flood(&session));
        flood(peer, 20_000); // 300 updates
    });
}

#[test]
fn the_reader_goes_on_while_the_writer_is_stalled() {
    let (authority, certificates) = one_server();
    let (mut peer, session) = connected(&certificates, &Arc::new(authority.client()));
    let timeout = Some(Duration::from_millis(100));
    session
        .socket()
        .set_write_timeout(timeout)
        .expect("timeout");
    let (stalled, is_stalled) = mpsc::channel();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let block = [0; 16_384];
            while (&session).write(&block).is_ok() {}
            // from here on each write waits for a peer that does not read
            session
                .socket()
                .set_write_timeout(Some(PATIENCE))
                .expect("timeout");
            stalled.send(()).expect("the test waits");
            (&session).write(&block).map(drop)
        });
        is_stalled.recv_timeout(PATIENCE).expect("stalled");
        let mut text = [0; 5];
        for round in 0..50 {
            if round % 10 == 0 {
                peer.conn.refresh_traffic_keys().expect("TLS 1.3"); // wants an answer
            }
            peer.write_all(b"Hello").expect("write");
            (&session).read_exact(&mut text).expect("read");
            assert_eq!(&text, b"Hello");
        }
        // the alert this asks for cannot be sent now, and nobody waits for it
        let forged = b"\x17\x03\x03\x00\x20thirty-two bytes with other keys";
        peer.sock.write_all(forged).expect("write");
        let error = (&session).read(&mut text).expect_err("forged");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(!writer.is_finished());
        session
            .socket()
            .shutdown(std::net::Shutdown::Both)
            .expect("ends the writer");
        let error = writer.join().expect("no panic").expect_err("shut down");
        assert_ne!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn the_writer_goes_on_while_the_reader_waits() {
    let (authority, certificates) = one_server();
    let (mut peer, session) = connected(&certificates, &Arc::new(authority.client()));
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&session).read(&mut [0; 16]));
        let mut text = [0; 5];
        for _ in 0..50 {
            (&session).write_all(b"Hello").expect("write");
            peer.read_exact(&mut text).expect("read");
            assert_eq!(&text, b"Hello");
        }
        assert!(!reader.is_finished());
        peer.write_all(b"end").expect("write");
        assert_eq!(reader.join().expect("no panic").expect("read"), 3);
    });
}
