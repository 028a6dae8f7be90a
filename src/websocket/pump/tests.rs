//! Tests of `pump`: how long each thread waits for the other at the end.

use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};

use crate::backend::tests::{service, stream_pair};
use crate::config::{FrameType, Framing};
use crate::http::request::tests::pair;
use crate::server::workers::Work;
use crate::system::keepalive::keep_alive;

mod panics;
#[cfg(feature = "state")]
mod silence;
mod slow;

/// Longest wait of a test for the end of a connection, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is copied: the client's end, the backend's, and where the report comes.
struct Pumped<B = UnixStream> {
    client: TcpStream,
    backend: B,
    writer: Arc<FrameWriter>,
    report: Receiver<Report>,
}

fn pumped(framing: Framing, ping: Duration) -> Pumped {
    greeted(framing, ping, || Ok(()))
}

fn greeted(
    framing: Framing,
    ping: Duration,
    greet: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Pumped {
    let ends = stream_pair();
    let timeout = ends.1.set_read_timeout(Some(PATIENCE));
    timeout.expect("a socket");
    between(ends, service(framing), ping, greet)
}

fn terms(service: ServiceConfig, ping: Duration, clients: &Arc<Clients>) -> Terms {
    Terms {
        who: Who {
            service: "echo".into(),
            user: None,
            is_shared: false,
        },
        config: Arc::new(service),
        ping,
        park: None,
        clients: Arc::clone(clients),
    }
}

fn between<B>(
    (connected, backend): (Backend, B),
    service: ServiceConfig,
    ping: Duration,
    greet: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Pumped<B> {
    let (near, client) = pair();
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.set_write_timeout(Some(PATIENCE)).expect("a socket");
    let writer = Arc::new(FrameWriter::new(near));
    let own = Arc::clone(&writer);
    let clients = Arc::<Clients>::default();
    clients.budget().set_limit(usize::MAX);
    let terms = terms(service, ping, &clients);
    let (sender, report) = channel();
    let last: Last = Box::new(move |_, _, report| drop(sender.send(report)));
    let work: Work = Box::new(move |place| run(own, connected, (terms, None), place, greet, last));
    let started = (clients.workers()).start(work, Place::new(clients.workers()));
    assert!(started.is_ok(), "a thread");
    Pumped {
        client,
        backend,
        writer,
        report,
    }
}

impl<B> Pumped<B> {
    /// All that the client still gets, and the report, once the connection has ended.
    fn end(mut self) -> (Vec<u8>, Report) {
        drop(self.writer);
        let mut all = Vec::new();
        if let Err(error) = self.client.read_to_end(&mut all) {
            eprintln!("client: {error}");
        }
        drop(self.client);
        drop(self.backend);
        let report = self.report.recv_timeout(PATIENCE).expect("an end");
        (all, report)
    }
}

/// A ping interval that no test reaches.
const NEVER: Duration = Duration::from_secs(600);

/// A frame with masking key 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}

#[test]
fn a_client_close_reaches_the_backend_as_the_end_and_is_echoed() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    let sent = [frame(0x81, b"Hello"), close(3001)].concat();
    pumped.client.write_all(&sent).expect("buffer space");
    let mut read = Vec::new();
    pumped.backend.read_to_end(&mut read).expect("the end");
    assert_eq!(read, b"Hello");
    pumped.backend.write_all(b"bye").expect("half-closed only");
    pumped.backend.shutdown(Shutdown::Both).expect("a socket");
    let (all, report) = pumped.end();
    assert_eq!(all, b"\x81\x03bye\x88\x02\x0b\xb9");
    assert_eq!(
        (report.code, report.to_backend, report.to_client),
        (3001, 5, 3)
    );
}

#[test]
fn a_backend_that_stays_open_and_silent_does_not_hold_up_the_close() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    let start = Instant::now();
    pumped.client.write_all(&close(1000)).expect("buffer space");
    let backend = pumped.backend.try_clone().expect("a descriptor");
    let (all, report) = pumped.end();
    let waited = start.elapsed();
    assert_eq!(all, b"\x88\x02\x03\xe8", "{report:?} after {waited:?}");
    assert!(start.elapsed() >= LAST_WORDS, "it had its time");
    drop(backend);
}

#[test]
fn backends_that_end_in_time_are_not_waited_for() {
    let start = Instant::now();
    let rounds = 20;
    for _ in 0..rounds {
        let mut pumped = pumped(Framing::Stream, NEVER);
        pumped.client.write_all(&close(1000)).expect("buffer space");
        let mut backend = pumped.backend.try_clone().expect("a descriptor");
        assert_eq!(backend.read(&mut [0; 8]).expect("the end"), 0);
        backend.shutdown(Shutdown::Both).expect("a socket");
        assert_eq!(pumped.end().1.code, 1000);
    }
    assert!(start.elapsed() < rounds * LAST_WORDS, "each is waited for");
}

#[test]
fn a_backend_that_half_closes_still_gets_what_the_client_sent() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    pumped.backend.write_all(b"x").expect("buffer space");
    pumped.backend.shutdown(Shutdown::Write).expect("a socket");
    let mut got = [0; 7];
    pumped.client.read_exact(&mut got).expect("a Close");
    assert_eq!(&got, b"\x81\x01x\x88\x02\x03\xe8");
    let sent = [frame(0x81, b"late"), close(1000)].concat();
    pumped.client.write_all(&sent).expect("buffer space");
    let mut read = Vec::new();
    pumped.backend.read_to_end(&mut read).expect("the end");
    assert_eq!(read, b"late");
    assert_eq!(pumped.end().1.code, 1000);
}

#[test]
fn a_backend_that_never_reads_after_the_close_is_let_go() {
    let (connected, backend) = stream_pair();
    let ends = (connected, backend.try_clone().expect("a descriptor"));
    let mut pumped = between(ends, service(Framing::Stream), NEVER, || Ok(()));
    let sent = [frame(0x81, b"unread"), close(1000)].concat();
    pumped.client.write_all(&sent).expect("buffer space");
    assert_eq!(pumped.end().1.code, 1000);
    drop(backend);
}

#[test]
fn a_client_that_got_a_close_for_a_failure_is_not_served_for_ever() {
    let text = ServiceConfig {
        frame_type: FrameType::Text,
        ..service(Framing::Stream)
    };
    let mut pumped = between(stream_pair(), text, NEVER, || Ok(()));
    pumped.backend.write_all(b"\xff").expect("buffer space");
    let mut got = [0; 4];
    pumped.client.read_exact(&mut got).expect("a Close");
    assert_eq!(&got, b"\x88\x02\x03\xef");
    let start = Instant::now();
    while pumped.client.write_all(&frame(0x82, b"x")).is_ok() {
        assert!(start.elapsed() < PATIENCE, "kept for ever");
        thread::sleep(Duration::from_millis(200));
    }
    drop(pumped.end());
}

#[test]
fn a_client_that_half_closes_still_gets_what_the_backend_says() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    pumped
        .client
        .write_all(&frame(0x81, b"Hello"))
        .expect("buffer space");
    pumped.client.shutdown(Shutdown::Write).expect("a socket");
    let mut read = Vec::new();
    pumped.backend.read_to_end(&mut read).expect("the end");
    assert_eq!(read, b"Hello");
    pumped.backend.write_all(b"late").expect("buffer space");
    pumped.backend.shutdown(Shutdown::Both).expect("a socket");
    let (all, report) = pumped.end();
    assert_eq!((&all[..], report.code), (&b"\x81\x04late"[..], 1006));
}

#[test]
fn a_client_that_only_pings_does_not_outlive_its_backend() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    pumped.backend.shutdown(Shutdown::Write).expect("a socket");
    let mut got = [0; 4];
    pumped.client.read_exact(&mut got).expect("a Close");
    let start = Instant::now();
    while pumped.client.write_all(&frame(0x89, b"")).is_ok() {
        assert!(start.elapsed() < PATIENCE, "kept for ever");
        thread::sleep(Duration::from_millis(200));
    }
    drop(pumped.end());
}

#[test]
fn a_client_that_sends_on_after_our_close_is_ended_in_time() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    let start = Instant::now();
    pumped.backend.shutdown(Shutdown::Write).expect("a socket");
    let mut got = [0; 4];
    pumped.client.read_exact(&mut got).expect("a Close");
    let mut backend = pumped.backend.try_clone().expect("a descriptor");
    let reader = thread::spawn(move || io::copy(&mut backend, &mut io::sink()));
    while pumped.client.write_all(&frame(0x81, b"more")).is_ok() {
        assert!(start.elapsed() < PATIENCE, "kept for ever");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        start.elapsed() > CLOSE_WAIT / 2,
        "what it sends is delivered first"
    );
    assert_eq!(pumped.end().1.code, 1013);
    reader.join().expect("no panic").expect("its end");
}

#[test]
fn a_client_that_reads_nothing_and_says_nothing_is_let_go() {
    let mut pumped = pumped(Framing::Stream, Duration::from_millis(200));
    // As what is accepted has it from its listener.
    keep_alive(pumped.writer.client(), Duration::from_millis(200));
    let flood = vec![b'x'; 65_536];
    let timeout = pumped.backend.set_write_timeout(Some(PATIENCE));
    timeout.expect("a socket");
    // The backend floods until the connection ends.
    let error = loop {
        if let Err(error) = pumped.backend.write_all(&flood) {
            break error;
        }
    };
    let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    assert!(gone.contains(&error.kind()), "{error}");
    let report = pumped.report.recv_timeout(PATIENCE).expect("an end");
    assert_eq!(report.code, 1006);
}

#[test]
fn stop_ends_a_client_whose_backend_never_reads_or_ends() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    // The 101 is out as soon as the first frame comes.
    pumped.backend.write_all(b"x").expect("buffer space");
    let mut got = [0; 3];
    pumped.client.read_exact(&mut got).expect("a frame");
    pumped.writer.stop();
    let mut got = [0; 4];
    pumped.client.read_exact(&mut got).expect("a Close");
    assert_eq!(&got, b"\x88\x02\x03\xe9");
    pumped.client.write_all(&close(1001)).expect("buffer space");
    assert_eq!(pumped.end().1.code, 1001);
}

#[test]
fn stop_reaches_a_client_that_reads_slowly_once_it_reads() {
    let mut pumped = pumped(Framing::Stream, NEVER);
    let mut backend = pumped.backend.try_clone().expect("a descriptor");
    backend.set_nonblocking(true).expect("a socket");
    // Until the writer to the client is blocked, and the backend with it.
    let mut full = 0;
    while full < 20 {
        match backend.write(&[b'x'; 65_536]) {
            Ok(count) if count > 0 => full = 0,
            _ => {
                // A busy machine may have left the writer no time so far.
                full = match pumped.writer.client().is_writable() {
                    true => 0,
                    false => full + 1,
                };
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    pumped.writer.stop();
    assert_eq!(pumped.writer.close_sent(), None, "nobody waits for it");
    let mut client = pumped.client.try_clone().expect("a descriptor");
    let reader = thread::spawn(move || {
        let mut last = [0; 4];
        let mut buffer = vec![0; 65_536];
        loop {
            let count = client.read(&mut buffer).expect("frames");
            assert!(count > 0, "a Close comes first");
            for &byte in &buffer[..count] {
                last.rotate_left(1);
                last[3] = byte;
            }
            if last == *b"\x88\x02\x03\xe9" {
                return;
            }
        }
    });
    reader.join().expect("a Close in between whole frames");
    pumped.client.write_all(&close(1001)).expect("buffer space");
    assert_eq!(pumped.end().1.code, 1001);
}

#[test]
fn a_close_is_not_lost_to_a_client_that_sends_on() {
    let mut pumped = pumped(Framing::Length, NEVER);
    setsockopt(&pumped.client, sockopt::SndBuf, &65_536).expect("a socket");
    // Announced far beyond maxmessage, and then a lot of it.
    let mut sent = vec![0x82, 0xff];
    sent.extend((1_u64 << 40).to_be_bytes());
    sent.extend([0; 4]);
    pumped.client.write_all(&sent).expect("buffer space");
    // It is told the end once the message is refused; before that, its own end would be the cause.
    assert_eq!(pumped.backend.read(&mut [0]).expect("an end"), 0);
    pumped.backend.shutdown(Shutdown::Both).expect("a socket");
    // More than the buffers hold of which nobody reads (tcp(7): a receive buffer begins with 128 KiB),
    // and little enough for a slow machine's 5 s.
    let sent = pumped.client.write_all(&[0; 1 << 20]);
    sent.expect("it is read and dropped");
    let mut got = [0; 4];
    pumped.client.read_exact(&mut got).expect("a Close");
    assert_eq!(&got, b"\x88\x02\x03\xf1");
    drop(pumped.end());
}
