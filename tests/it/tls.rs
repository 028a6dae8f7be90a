//! TLS through the daemon: a rustls client on one side, a UNIX server on the other. The unit tests
//! of `tls` prove versions, names and client certificates.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::StreamOwned;

use crate::certificates::Files;
use crate::frames::{self, BINARY, TEXT, message};
use crate::gateway::daemon;
use crate::process::{DEADLINE, Process, wait_until};

/// Bytes each way in a flood, in messages of so many bytes.
const TOTAL: usize = 8 << 20;
const MESSAGE: usize = 50_000;

/// New keys after so many bytes sent (RFC 8446, section 4.6.3).
const KEY_UPDATE: usize = 100_000;

/// An HTTP head and no byte more.
pub(crate) fn read_head(client: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(take::<1>(client)[0]);
    }
    String::from_utf8(head).expect("an ASCII head")
}

/// Exactly the next bytes.
fn take<const COUNT: usize>(client: &mut impl Read) -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    client
        .read_exact(&mut bytes)
        .expect("bytes from the gateway");
    bytes
}

#[test]
fn a_message_goes_there_and_back_over_wss() {
    let files = Files::new();
    let gateway = files.gateway("", "");
    gateway.backend("echo").echo();
    let mut client = files.open(&gateway, "echo");
    client
        .write_all(&message(TEXT, b"Hello"))
        .expect("the gateway reads");
    assert_eq!(&take(&mut client), b"\x81\x05Hello");
}

#[test]
fn close_notify_comes_after_the_close_frame_and_before_fin() {
    let files = Files::new();
    let gateway = files.gateway("", "");
    let backend = gateway.backend("bye");
    let mut client = files.open(&gateway, "bye");
    client
        .write_all(&frames::close(1001))
        .expect("the gateway reads");
    assert_eq!(backend.accept().rest(), b"");
    assert_eq!(take(&mut client), [0x88, 2, 0x03, 0xe9]);
    // without a close_notify rustls calls this an error
    assert_eq!(client.read(&mut [0; 16]).expect("a close_notify"), 0);

    let mut client = files.open(&gateway, "bye");
    backend.accept().give(b"last");
    assert_eq!(&take(&mut client), b"\x81\x04last\x88\x02\x03\xe8");
    client
        .write_all(&frames::close(1000))
        .expect("the gateway reads");
    assert_eq!(client.read(&mut [0; 16]).expect("a close_notify"), 0);
}

#[test]
fn a_truncated_stream_is_a_client_that_vanished() {
    let files = Files::new();
    let gateway = files.gateway("", "");
    let backend = gateway.backend("gone");
    for polite in [true, false] {
        let mut client = files.open(&gateway, "gone");
        let mut connection = backend.accept();
        client
            .write_all(&message(TEXT, b"last words"))
            .expect("the gateway reads");
        if polite {
            client.conn.send_close_notify();
            client.flush().expect("the gateway reads");
        }
        client.sock.shutdown(Shutdown::Write).expect("connected");
        assert_eq!(connection.rest(), b"last words");
    }
}

/// A byte that shows when something is lost, doubled or moved.
fn byte(position: usize) -> u8 {
    (position % 253) as u8 ^ (position >> 16) as u8
}

/// Takes payloads out of a server's frames, however they arrive.
#[derive(Default)]
struct Payloads {
    head: Vec<u8>,
    left: usize,
    count: usize,
}

impl Payloads {
    fn take(&mut self, bytes: &[u8]) {
        for found in bytes {
            if self.left > 0 {
                assert_eq!(*found, byte(self.count), "at {}", self.count);
                self.left -= 1;
                self.count += 1;
                continue;
            }
            self.head.push(*found);
            let (length, extended) = match self.head.get(1) {
                None => continue,
                Some(126) => (0, 2),
                Some(127) => (0, 8),
                Some(short) => (usize::from(*short), 0),
            };
            if self.head.len() == 2 + extended {
                let number = self.head[2..]
                    .iter()
                    .fold(0, |all, byte| all << 8 | usize::from(*byte));
                self.left = length + number;
                self.head.clear();
            }
        }
    }
}

#[test]
fn both_directions_flooded_under_new_keys_keep_every_byte() {
    let files = Files::new();
    let gateway = files.gateway("", "frametype = \"binary\";");
    gateway.backend("echo").echo();
    let StreamOwned { mut conn, mut sock } = files.open(&gateway, "echo");
    sock.set_nonblocking(true).expect("a socket");
    let (mut sent, mut updated, mut payloads) = (0, 0, Payloads::default());
    let (mut frame, mut buffer) = (Vec::new(), vec![0; 32_768]);
    let end = Instant::now() + DEADLINE;
    while payloads.count < TOTAL {
        assert!(
            Instant::now() < end,
            "sent {sent}, received {}",
            payloads.count
        );
        if !conn.wants_write() && (sent < TOTAL || !frame.is_empty()) {
            if frame.is_empty() {
                let payload: Vec<u8> = (sent..TOTAL.min(sent + MESSAGE)).map(byte).collect();
                frame = message(BINARY, &payload);
                sent += payload.len();
            }
            let count = conn.writer().write(&frame).expect("memory");
            frame.drain(..count);
            if sent - updated >= KEY_UPDATE {
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
            loop {
                match conn.reader().read(&mut buffer) {
                    Ok(0) => panic!("the gateway ended the stream"),
                    Ok(count) => payloads.take(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    assert_eq!((sent, payloads.count), (TOTAL, TOTAL));
}

#[test]
fn plain_http_on_the_tls_port_gets_a_400_to_read() {
    let files = Files::new();
    let gateway = files.gateway("", "");
    let mut client = gateway.connect();
    client
        .write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("the gateway reads");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .expect("an answer, then the end");
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("https"),
        "{answer}"
    );
}

#[test]
fn a_handshake_that_never_ends_meets_the_deadline() {
    let files = Files::new();
    let gateway = files.gateway("keepalivetimeout = 1;", "");
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        let start = Instant::now();
        let mut client = gateway.connect();
        client.write_all(sent).expect("the gateway reads");
        // the end, or a reset where bytes were left unread
        let _ = client.read(&mut [0; 16]).map(|count| assert_eq!(count, 0));
        assert!(
            start.elapsed() >= Duration::from_millis(900),
            "{:?}",
            start.elapsed()
        );
        assert!(start.elapsed() < DEADLINE);
    }
}

#[test]
fn a_bad_pair_ends_the_start_with_78_and_names_the_file() {
    let (files, other) = (Files::new(), Files::new());
    std::fs::write(files.path("garbage"), "-----BEGIN CERT").expect("write");
    std::fs::copy(other.path("key"), files.path("other")).expect("copy");
    let cases = [
        ("garbage", "key", "garbage"),
        ("crt", "garbage", "garbage"),
        ("crt", "crt", "no private key"),
        ("crt", "missing", "missing"),
        ("crt", "other", "belongs to another"),
    ];
    for (certificate, key, reason) in cases {
        let section = files.section(certificate, key);
        let text = format!("servers = ( {{ addr = \"127.0.0.1\"; port = 1; {section} }} );\n");
        let file = files.path("ouistiti.conf");
        std::fs::write(&file, text).expect("write");
        for options in [&[][..], &["-t"]] {
            let (code, log) = Process::start(daemon().args(options).arg("-f").arg(&file)).finish();
            assert_eq!(code, Some(78), "{log}");
            assert!(log.contains(reason), "{reason}: {log}");
        }
    }
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let files = Files::new();
    let key = files.path("key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(&key, mode(0o644)).expect("our own file");
    let gateway = files.gateway("", "");
    assert!(
        gateway.process.log().contains("read this key"),
        "{}",
        gateway.process.log()
    );
    std::fs::set_permissions(&key, mode(0o640)).expect("our own file");
    let gateway = files.gateway("", "");
    assert!(
        !gateway.process.log().contains("read this key"),
        "{}",
        gateway.process.log()
    );
}

#[test]
fn changed_files_are_noticed_and_open_connections_kept() {
    let files = Files::new();
    let gateway = files.gateway("", "");
    gateway.backend("echo").echo();
    let mut open = files.open(&gateway, "echo");
    files.renew();
    // it refuses the old certificate: served means renewed
    wait_until("the new certificate", || {
        files.connect(&gateway).write_all(b"GET").is_ok()
    });
    open.write_all(&message(TEXT, b"Hello"))
        .expect("the gateway reads");
    assert_eq!(&take(&mut open), b"\x81\x05Hello");
}

#[test]
fn a_proxy_header_comes_before_the_handshake_of_tls() {
    let files = Files::new();
    let gateway = files.gateway("trusted = \"127.0.0.0/8\";", "proxy = \"v2\";");
    let backend = gateway.backend("curious");
    let v1 = &b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n"[..];
    let v2 =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x34\x01\xbb";
    let ask = |before: &[u8], piece: usize, more: &str| {
        let mut stream = gateway.connect();
        for piece in before.chunks(piece) {
            stream.write_all(piece).expect("the gateway reads");
        }
        let mut client = files.over(stream, None);
        let request = crate::http::upgrade(&gateway, "/curious", more);
        client.write_all(request.as_bytes()).expect("it reads");
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let told = backend.accept().take(28);
        (told[16..20].to_vec(), told[24..26].to_vec())
    };
    let (source, port) = (vec![192, 0, 2, 1], vec![0x12, 0x34]);
    for before in [v1, v2] {
        for piece in [before.len(), 1] {
            // Its address is no proxy's: what that one forwards is its own word.
            let more = "X-Forwarded-For: 203.0.113.9\r\n";
            assert_eq!(ask(before, piece, more), (source.clone(), port.clone()));
        }
    }
    // One that is a proxy itself, and none at all.
    let chain = b"PROXY TCP4 127.9.9.9 198.51.100.1 4660 443\r\n";
    for before in [&chain[..], b""] {
        let (source, _) = ask(before, 64, "X-Forwarded-For: 203.0.113.9\r\n");
        assert_eq!(source, [203, 0, 113, 9]);
    }
}

#[test]
fn a_proxy_header_before_tls_is_none_from_anybody_else_or_when_malformed_or_late() {
    let files = Files::new();
    let good = "PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n";
    let trusted = "trusted = \"127.0.0.0/8\"; keepalivetimeout = 1;";
    for (settings, line) in [
        ("", good),
        (trusted, "PROXY TCP4 192.0.2.1\r\n"),
        (trusted, "PROXY TCP4 "),
    ] {
        let gateway = files.gateway(settings, "");
        let mut stream = gateway.connect();
        stream.write_all(line.as_bytes()).expect("it reads");
        if line.ends_with('\n') {
            let mut client = files.over(stream, None);
            let asked = client.write_all(b"GET / HTTP/1.1\r\n");
            let answer = asked.and_then(|()| client.read(&mut [0; 16]));
            assert!(answer.is_err(), "{answer:?}");
        } else {
            // The end, or a reset where bytes were left unread.
            let _ = stream.read(&mut [0; 16]).map(|count| assert_eq!(count, 0));
        }
        gateway.process.signal(nix::sys::signal::Signal::SIGTERM);
    }
}
