//! Tests of `wire`: what is owed, in which order, and that nothing follows a Close.

use super::*;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::frame::{Decoder, Event};
use crate::http::request::tests::pair;

/// A wire before its 101, and the client's end.
fn wire() -> (Wire, TcpStream) {
    let (client, far) = pair();
    (Wire::new(client), far)
}

fn open_wire() -> (Wire, TcpStream) {
    let (wire, far) = wire();
    wire.open(|| Ok(())).expect("no greeting");
    (wire, far)
}

/// The payload of a ping.
fn payload(bytes: &[u8]) -> ControlPayload {
    let mut frame = vec![0x89, 0x80 | bytes.len() as u8, 0, 0, 0, 0];
    frame.extend(bytes);
    match Decoder::default().next(&mut frame, &mut 0) {
        Ok(Event::Ping(payload)) => payload,
        _ => panic!("a good ping"),
    }
}

/// Everything the client gets, once the wire is gone.
fn rest(wire: Wire, mut far: TcpStream) -> Vec<u8> {
    drop(wire);
    let mut all = Vec::new();
    far.read_to_end(&mut all).expect("to the end");
    all
}

fn is_closed<T: std::fmt::Debug>(result: Result<T, SendError>) -> bool {
    matches!(result, Err(SendError::Closed))
}

/// Fills the socket until it has no room, and says with how much.
fn fill(wire: &Wire) -> usize {
    let mut count = 0;
    let _ = (wire.client()).set_write_timeout(Some(Duration::from_millis(20)));
    while wire.client().is_writable() {
        let chunk = [0; 65_536];
        match wire.client().write_all(&chunk) {
            Ok(()) => count += chunk.len(),
            // Part of it was taken: how much, nobody needs to know.
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let _ = wire.client().set_write_timeout(None);
    count
}

#[test]
fn nothing_is_written_before_the_101() {
    let (wire, far) = wire();
    wire.ping();
    wire.pong(payload(b"early"));
    assert!(is_closed(wire.send(&[b"\x81\x01x"])));
    assert!(!wire.is_open() && !wire.is_owing());
    far.set_nonblocking(true).expect("a socket");
    let read = (&far).read(&mut [0; 8]);
    assert_eq!(read.expect_err("nothing").kind(), ErrorKind::WouldBlock);
    far.set_nonblocking(false).expect("a socket");
    let greeted = wire.open(|| wire.client().write_all(b"101"));
    greeted.expect("written");
    assert!(wire.is_open() && !wire.is_owing());
    assert_eq!(rest(wire, far), b"101\x8a\x05early\x89\x00");
}

#[test]
fn a_close_owed_before_the_101_follows_it() {
    let (wire, far) = wire();
    wire.close(Some(CloseCode::Size)).expect("owed");
    assert_eq!(wire.close_sent(), None);
    let greeted = wire.open(|| wire.client().write_all(b"101"));
    greeted.expect("written");
    assert_eq!(wire.close_sent(), Some(1009));
    assert_eq!(rest(wire, far), b"101\x88\x02\x03\xf1");
}

#[test]
fn a_101_that_fails_opens_nothing() {
    let (wire, far) = wire();
    let failed = wire.open(|| Err(ErrorKind::BrokenPipe.into()));
    assert!(failed.is_err() && !wire.is_open());
    assert_eq!(rest(wire, far), b"");
}

#[test]
fn nothing_follows_a_close() {
    let (wire, far) = open_wire();
    wire.close(Some(CloseCode::Normal)).expect("sent");
    assert!(is_closed(wire.send(&[b"\x81\x01x"])));
    wire.ping();
    wire.pong(payload(b"late"));
    wire.owe_close(Some(CloseCode::Away));
    wire.close(None).expect("not sent again");
    wire.stop();
    wire.settle();
    assert!(!wire.is_owing());
    assert_eq!(wire.close_sent(), Some(1000));
    assert_eq!(rest(wire, far), b"\x88\x02\x03\xe8");
}

#[test]
fn a_close_without_code_is_sent_and_known_as_1005() {
    let (wire, far) = open_wire();
    wire.close(None).expect("sent");
    assert_eq!(wire.close_sent(), Some(1005));
    assert_eq!(rest(wire, far), b"\x88\x00");
}

#[test]
fn stop_tells_an_open_client_and_cuts_another() {
    let (wire, far) = open_wire();
    wire.stop();
    assert_eq!(wire.close_sent(), Some(1001));
    assert_eq!(rest(wire, far), b"\x88\x02\x03\xe9");
    let (wire, mut far) = self::wire();
    wire.stop();
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    drop(wire);
}

#[test]
fn a_stalled_client_is_owed_and_paid_when_there_is_room() {
    let (wire, mut far) = open_wire();
    fill(&wire);
    // None of these may wait.
    wire.ping();
    wire.pong(payload(b"first"));
    wire.pong(payload(b"last"));
    wire.stop();
    assert!(wire.is_owing());
    assert_eq!(wire.close_sent(), None);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("to the end");
        all
    });
    while wire.is_owing() {
        wire.client().wait_ready();
        wire.settle();
    }
    drop(wire);
    let all = reader.join().expect("no panic");
    // Of two pings the last is answered; a Close makes ours pointless.
    assert!(all.ends_with(b"\0\x8a\x04last\x88\x02\x03\xe9"));
}

#[test]
fn a_client_that_reads_slowly_is_not_taken_for_a_silent_one() {
    let (wire, mut far) = open_wire();
    let frame = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], &[0; 65_536][..]].concat();
    thread::scope(|scope| {
        let writer = scope.spawn(|| while wire.send(&[&frame]).is_ok() {});
        // The reader of the client waits for it all the time.
        wire.silence.store(0, Ordering::Relaxed);
        let mut buffer = vec![0; 1 << 20];
        let mut watches = 0;
        while watches < 3 * WATCHES {
            while wire.client().is_writable() {
                assert!(!wire.client().has_left(), "it is served");
                thread::yield_now();
            }
            // As much as makes the kernel take more of the next frame.
            wire.has_taken.store(false, Ordering::Relaxed);
            while !wire.has_taken.load(Ordering::Relaxed) || wire.client().is_writable() {
                far.set_read_timeout(Some(Duration::from_millis(1)))
                    .expect("a socket");
                let _ = far.read(&mut buffer);
                assert!(!wire.client().has_left(), "it is served");
            }
            wire.watch();
            watches += 1;
        }
        assert!(!wire.client().has_left(), "it is served");
        // Now it reads no more.
        for _ in 0..3 * WATCHES {
            wire.watch();
        }
        writer.join().expect("no panic");
    });
    assert!(wire.send(&[&frame]).is_err(), "it was cut");
}

#[test]
fn a_client_that_reads_nothing_is_silent_though_frames_find_room() {
    let (wire, _far) = open_wire();
    wire.silence.store(0, Ordering::Relaxed);
    for _ in 0..2 * WATCHES {
        wire.send(&[b"\x81\x01x"]).expect("room");
        wire.watch();
    }
    assert!(wire.client().has_left(), "it was cut");
}

#[test]
fn a_ping_without_room_is_sent_by_a_later_watch() {
    let (wire, mut far) = open_wire();
    let count = fill(&wire);
    // The reader waits for the client, which is silent and slow.
    wire.silence.store(0, Ordering::Relaxed);
    (0..WATCHES).for_each(|_| wire.watch());
    assert!(wire.is_owing());
    let mut rest = vec![0; count];
    far.read_exact(&mut rest).expect("what filled it");
    far.set_nonblocking(true).expect("a socket");
    while !wire.client().is_writable() {
        let _ = far.read(&mut rest);
    }
    wire.watch();
    assert!(!wire.is_owing());
    far.set_nonblocking(false).expect("a socket");
    assert!(self::rest(wire, far).ends_with(b"\x89\x00"));
}

#[test]
fn a_pong_waits_for_the_frame_in_front_of_it_and_its_sender_for_nothing() {
    let (wire, mut far) = open_wire();
    let flood = vec![b'x'; 16 << 20];
    let header = frame::header(OpCode::Data(frame::Data::Binary), true, flood.len());
    thread::scope(|scope| {
        let (wire, header, flood) = (&wire, &header, &flood);
        let writer = scope.spawn(move || wire.send(&[header.bytes(), flood]));
        // The frame has begun, and cannot end before it is read.
        let mut first = [0; 1];
        far.read_exact(&mut first).expect("a frame");
        wire.pong(payload(b"owed"));
        assert!(wire.is_owing());
        let mut all = vec![0; header.bytes().len() - 1 + flood.len()];
        far.read_exact(&mut all).expect("the rest of the frame");
        assert!(all.ends_with(b"xx"));
        writer.join().expect("no panic").expect("sent");
    });
    // If there was no room behind the frame, it is for the reader of the client to pay.
    wire.client().wait_ready();
    wire.settle();
    assert_eq!(rest(wire, far), b"\x8a\x04owed");
}

#[test]
fn every_ping_of_many_threads_is_paid_in_whole_frames() {
    let (wire, far) = open_wire();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    wire.pong(payload(b"p"));
                    wire.send(&[b"\x81", b"\x01x"]).expect("sent");
                }
            });
        }
    });
    assert!(!wire.is_owing(), "nothing is forgotten");
    let all = rest(wire, far);
    let frames: Vec<_> = all.chunks(3).collect();
    let data = frames
        .iter()
        .filter(|&&frame| frame == b"\x81\x01x")
        .count();
    let pongs = frames
        .iter()
        .filter(|&&frame| frame == b"\x8a\x01p")
        .count();
    assert_eq!(data, 800);
    assert_eq!(data + pongs, frames.len());
}

#[test]
fn a_client_that_is_gone_is_an_error_and_no_endless_loop() {
    let (wire, far) = open_wire();
    drop(far);
    wire.client().cut();
    wire.ping();
    wire.owe_close(Some(CloseCode::Away));
    assert!(wire.send(&[b"\x81\x01x"]).is_err());
    wire.settle();
}

#[test]
fn a_writer_that_panicked_leaves_the_wire_usable() {
    let (wire, far) = wire();
    thread::scope(|scope| {
        let greeter = scope.spawn(|| wire.open(|| panic!("as the test wants")));
        assert!(greeter.join().is_err());
    });
    wire.open(|| Ok(())).expect("no greeting");
    wire.owe_close(Some(CloseCode::Error));
    assert_eq!(wire.close_sent(), Some(1011));
    assert_eq!(rest(wire, far), b"\x88\x02\x03\xf3");
}
