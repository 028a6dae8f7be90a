//! Tests of `backend`: sockets of every kind.

use super::connect::{connect_any, set_limit};
use super::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, recv, setsockopt, socket,
    socketpair, sockopt,
};

mod device;
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::mkfifo;

use crate::config::{
    FrameType, Framing, Protocols, SerialConfig, ServiceConfig, Share, SharingConfig, Target,
};
use crate::system::beneath::tests::Scratch;

/// Connects for a client that stays.
pub(crate) fn connect(target: &Target, limit: Duration) -> io::Result<Backend> {
    connect_while(target, limit, &|| true)
}

/// A limit that no test reaches.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// A limit that tests wait for.
pub(super) const SHORT: Duration = Duration::from_millis(50);

/// Bounds writes as `connect` does, and reads too, so that no test waits for ever.
fn set_limits(fd: BorrowedFd<'_>, limit: Duration) {
    set_limit(fd, limit);
    let limit = TimeVal::milliseconds(i64::try_from(limit.as_millis()).expect("short"));
    setsockopt(&fd, sockopt::ReceiveTimeout, &limit).expect("a limit");
}

/// How a backend is spoken to by default.
pub(crate) fn service(framing: Framing) -> ServiceConfig {
    ServiceConfig {
        direct: false,
        frame_type: FrameType::Auto,
        framing,
        max_message: 1 << 20,
        protocols: Protocols::FirstOffered,
        merge: false,
        proxy: false,
        wait: Duration::ZERO,
        sharing: SharingConfig {
            share: Share::None,
            replay: 0,
            linger: Duration::ZERO,
            keep: false,
        },
    }
}

/// A stream backend and its own end.
pub(crate) fn stream_pair() -> (Backend, UnixStream) {
    let scratch = Scratch::new();
    let path = scratch.0.join("stream");
    let listener = UnixListener::bind(&path).expect("a free name");
    let backend = connect(&Target::Unix(path), LONG).expect("it listens");
    let (far, _) = listener.accept().expect("it came");
    far.set_read_timeout(Some(LONG)).expect("a timeout");
    (backend, far)
}

/// A stream backend whose far end sees each write as one packet.
pub(crate) fn write_pair() -> (Backend, Packets) {
    let ours = SockFlag::SOCK_CLOEXEC;
    let (near, far) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, ours).expect("two sockets");
    set_limits(near.as_fd(), LONG);
    set_limits(far.as_fd(), LONG);
    (Backend::new(near, Kind::Stream), Packets(far))
}

/// The backend's own end of a connection that keeps packets.
pub(crate) struct Packets(OwnedFd);

impl Packets {
    /// The next packet; empty at the end of the stream, too.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut buffer = vec![0; 256 << 10];
        let count = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("a packet");
        buffer.truncate(count);
        buffer
    }

    /// All packets up to an empty one.
    pub(crate) fn rest(&self) -> Vec<Vec<u8>> {
        std::iter::repeat_with(|| self.read())
            .take_while(|packet| !packet.is_empty())
            .collect()
    }

    pub(crate) fn write(&self, packet: &[u8]) {
        send(self.0.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL)
            .expect("buffer space for a packet");
    }
}

/// A SEQPACKET backend, found by itself, and its own end.
pub(crate) fn packet_pair() -> (Backend, Packets) {
    let scratch = Scratch::new();
    let path = scratch.0.join("packets");
    let listener = packet_listener(&path);
    let backend = connect(&Target::Unix(path), LONG).expect("it listens");
    let far = OwnedFd::from(listener.accept().expect("it came").0);
    set_limits(far.as_fd(), LONG);
    (backend, Packets(far))
}

fn packet_listener(path: &Path) -> UnixListener {
    let ours = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, ours, None).expect("a socket");
    let address = UnixAddr::new(path).expect("a short name");
    bind(fd.as_raw_fd(), &address).expect("a free name");
    listen(&fd, Backlog::new(4).expect("small")).expect("a queue");
    // accept(2) is the same for both types.
    UnixListener::from(fd)
}

fn read_all(backend: &Backend) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut all = Vec::new();
    while let Input::Bytes(count) = backend.read(&mut buffer).expect("readable") {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

pub(super) fn wait_on() -> bool {
    true
}

#[test]
fn a_stream_carries_bytes_both_ways() {
    let (backend, mut far) = stream_pair();
    assert!(!backend.is_packet());
    let pieces: [&[u8]; 2] = [b"Hel", b"lo"];
    assert_eq!(backend.write_of(&pieces, 0).expect("written"), (5, false));
    backend.end();
    let mut read = Vec::new();
    far.read_to_end(&mut read).expect("the bytes and the end");
    assert_eq!(read, b"Hello");
    far.write_all(b"still here").expect("half-closed only");
    drop(far);
    assert_eq!(read_all(&backend), b"still here");
}

#[test]
fn both_pieces_leave_in_one_write() {
    let (backend, far) = write_pair();
    for pieces in [[&b"Hel"[..], b"lo"], [b"", b"Hello"], [b"Hello", b""]] {
        assert_eq!(backend.write_of(&pieces, 0).expect("written"), (5, false));
        assert_eq!(far.read(), b"Hello");
    }
}

#[test]
fn packets_sent_before_a_reset_are_read_first() {
    let (backend, far) = packet_pair();
    backend.write_all(b"never read", wait_on).expect("written");
    far.write(b"one");
    far.write(b"two");
    drop(far);
    let mut buffer = [0; 8];
    for _ in 0..2 {
        let input = backend.read(&mut buffer).expect("a packet");
        assert_eq!(input, Input::Bytes(3));
    }
    let error = backend.read(&mut buffer).expect_err("it was reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn a_backend_that_never_reads_is_waited_for_only_while_asked() {
    let (near, _far) = UnixStream::pair().expect("a pair");
    set_limits(near.as_fd(), SHORT);
    let backend = Backend::new(near.into(), Kind::Stream);
    let asked = std::cell::Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let flood = vec![0; 1 << 22];
    let error = backend.write_all(&flood, go_on);
    let error = error.expect_err("nobody reads");
    assert_eq!((error.kind(), asked.get()), (io::ErrorKind::TimedOut, 3));
}

#[test]
fn a_backend_that_is_gone_is_an_error_to_write_to() {
    let (backend, far) = stream_pair();
    drop(far);
    let error = backend.write_all(b"x", wait_on);
    assert_eq!(error.expect_err("gone").kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn cut_wakes_a_reader() {
    let (backend, _far) = stream_pair();
    thread::scope(|scope| {
        let reader = scope.spawn(|| backend.read(&mut [0; 8]));
        backend.cut();
        let input = reader.join().expect("no panic").expect("no error");
        assert_eq!(input, Input::End);
    });
}

#[test]
fn seqpacket_is_found_by_itself_and_keeps_packets() {
    let (backend, far) = packet_pair();
    assert!(backend.is_packet());
    for (first, second) in [(&b"Hel"[..], &b"lo"[..]), (b"", b""), (b"x", b"")] {
        let written = backend.write_of(&[first, second], 0);
        let length = first.len() + second.len();
        assert_eq!(written.expect("written"), (length, false));
        assert_eq!(far.read(), [first, second].concat());
    }
}

#[test]
fn an_empty_packet_is_not_the_end() {
    let (backend, far) = packet_pair();
    let mut buffer = [0; 8];
    for packet in [&b""[..], b"x", b"", b""] {
        far.write(packet);
        let input = backend.read(&mut buffer).expect("a packet");
        assert_eq!(input, Input::Bytes(packet.len()));
    }
    drop(far);
    assert_eq!(backend.read(&mut buffer).expect("the end"), Input::End);
}

#[test]
fn a_packet_that_is_cut_is_an_error() {
    let (backend, far) = packet_pair();
    far.write(&[0; 9]);
    let error = backend.read(&mut [0; 8]).expect_err("its rest is lost");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_tcp_server_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let target = Target::Tcp("127.0.0.1".into(), port);
    let backend = connect(&target, LONG).expect("it listens");
    let (mut far, _) = listener.accept().expect("it came");
    backend.write_all(b"Hello", wait_on).expect("up");
    backend.end();
    let mut read = Vec::new();
    far.read_to_end(&mut read).expect("the bytes and the end");
    assert_eq!(read, b"Hello");
    far.write_all(&read).expect("down");
    drop(far);
    assert_eq!(read_all(&backend), b"Hello");
}

#[test]
fn a_target_that_is_not_there_is_refused() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.0.join(name);
    drop(UnixListener::bind(path("stale")).expect("a free name"));
    fs::write(path("file"), "").expect("a file");
    mkfifo(&path("fifo"), Mode::S_IRWXU).expect("a fifo");
    let unused = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = unused.local_addr().expect("bound").port();
    drop(unused);
    for target in [
        Target::Unix(path("nothing")),
        Target::Unix(path("stale")),
        Target::Unix(path("file")),
        Target::Tcp("127.0.0.1".into(), port),
        Target::Tty(path("nothing"), SerialConfig::default()),
        // Nobody reads it.
        Target::Fifo(path("fifo")),
    ] {
        assert!(connect(&target, LONG).is_err(), "{target:?}");
    }
}

#[test]
fn a_full_listener_queue_is_waited_for_no_longer_than_the_limit() {
    let scratch = Scratch::new();
    let path = scratch.0.join("full");
    let _listener = packet_listener(&path);
    let target = Target::Unix(path);
    let connected: Vec<_> = (0..16).map(|_| connect(&target, SHORT)).collect();
    assert!(connected.iter().any(Result::is_err), "the queue has an end");
}

#[test]
fn an_address_that_does_not_answer_leaves_time_for_the_next() {
    let ours = SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, ours, None).expect("a socket");
    let any = SockaddrIn::new(127, 0, 0, 1, 0);
    bind(fd.as_raw_fd(), &any).expect("a free port");
    listen(&fd, Backlog::new(0).expect("small")).expect("a queue");
    let full = TcpListener::from(fd);
    let silent = full.local_addr().expect("bound");
    // Clients that are never accepted, until the queue is full and the kernel answers no more.
    let mut waiting = Vec::new();
    while let Ok(client) = TcpStream::connect_timeout(&silent, SHORT) {
        waiting.push(client);
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let good = listener.local_addr().expect("bound");
    let deadline = Instant::now() + Duration::from_secs(20);
    let connected = connect_any(&[silent, good], deadline, &|| true).expect("the second one");
    let start = Instant::now();
    let error = connect_any(&[silent], start + LONG, &|| false).expect_err("nobody waits");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert!(start.elapsed() < LONG);
    assert!(Instant::now() < deadline, "half of the time was left");
    assert_eq!(connected.peer_addr().expect("connected"), good);
}

#[test]
fn the_bytes_that_are_not_read_yet_are_counted() {
    let ends = [("stream", stream_pair().0), ("packets", packet_pair().0)];
    for (kind, backend) in ends {
        assert_eq!(backend.unread(), 0, "{kind}: its other end is gone");
    }
    let (backend, mut far) = stream_pair();
    backend.write_all(b"Hello", wait_on).expect("buffer space");
    assert!(backend.unread() >= 5);
    far.read_exact(&mut [0; 5]).expect("all of it");
    assert_eq!(backend.unread(), 0);
}

/// Whether the reader gets a reset when a backend closes while a writer waits for it.
fn is_read_as_reset<Far>((backend, far): (Backend, Far)) -> bool {
    let flood = [0; 32 << 10];
    thread::scope(|scope| {
        let write = || while backend.write_all(&flood, wait_on).is_ok() {};
        let writer = scope.spawn(write);
        // It waits once a write takes no more.
        while !backend.is_writing.load(Ordering::Acquire) || has_space(&backend) {
            thread::yield_now();
        }
        drop(far);
        let end = loop {
            match backend.read(&mut [0; 8]) {
                Ok(Input::Bytes(_)) => {}
                end => break end,
            }
        };
        writer.join().expect("no panic");
        end.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    })
}

fn has_space(backend: &Backend) -> bool {
    let mut fds = [PollFd::new(backend.fd.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

#[test]
fn the_reader_gets_a_reset_though_a_writer_was_waiting() {
    for round in 0..300 {
        assert!(is_read_as_reset(stream_pair()), "stream, round {round}");
        assert!(is_read_as_reset(packet_pair()), "packets, round {round}");
    }
}
