//! Tests of `frames`: owed frames, their order, and that nothing follows a Close.

use super::*;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::frame::{Decoder, Event};
use crate::http::request::tests::pair;

/// A writer before its 101, and the client's end.
fn writer() -> (FrameWriter, TcpStream) {
    let (client, far) = pair();
    (FrameWriter::new(client), far)
}

fn open_writer() -> (FrameWriter, TcpStream) {
    let (writer, far) = writer();
    writer.open(false, || Ok(())).expect("no greeting");
    (writer, far)
}

/// The payload of a ping.
fn payload(bytes: &[u8]) -> ControlPayload {
    let mut frame = vec![0x89, 0x80 | bytes.len() as u8, 0, 0, 0, 0];
    frame.extend(bytes);
    let mut decoder = Decoder::default();
    match decoder.next(&mut frame, &mut 0) {
        Ok(Event::Ping) => *decoder.control(),
        _ => panic!("a good ping"),
    }
}

/// Everything the client gets, once the writer is gone.
fn rest(writer: FrameWriter, mut far: TcpStream) -> Vec<u8> {
    drop(writer);
    let mut all = Vec::new();
    far.read_to_end(&mut all).expect("to the end");
    all
}

fn is_closed<T: std::fmt::Debug>(result: Result<T, SendError>) -> bool {
    matches!(result, Err(SendError::Closed))
}

/// Fills the socket until it takes no more; returns how many bytes it took.
fn fill(writer: &FrameWriter) -> usize {
    let mut count = 0;
    let _ = (writer.client()).set_write_timeout(Some(Duration::from_millis(20)));
    while writer.client().is_writable() {
        let chunk = [0; 65_536];
        match writer.client().write_all(&chunk) {
            Ok(()) => count += chunk.len(),
            // The socket took a part of it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let _ = writer.client().set_write_timeout(None);
    count
}

#[test]
fn nothing_is_written_before_the_101() {
    let (writer, far) = writer();
    writer.ping();
    writer.pong(payload(b"early"));
    assert!(is_closed(writer.send(&[b"\x81\x01x"], 0)));
    assert!(!writer.is_open() && !writer.is_owing());
    far.set_nonblocking(true).expect("a socket");
    let read = (&far).read(&mut [0; 8]);
    assert_eq!(read.expect_err("nothing").kind(), ErrorKind::WouldBlock);
    far.set_nonblocking(false).expect("a socket");
    let greeted = writer.open(false, || writer.client().write_all(b"101"));
    greeted.expect("written");
    assert!(writer.is_open() && !writer.is_owing());
    assert_eq!(rest(writer, far), b"101\x8a\x05early\x89\x00");
}

#[test]
fn a_close_owed_before_the_101_follows_it() {
    let (writer, far) = writer();
    writer.close(Some(CloseCode::Size)).expect("owed");
    assert_eq!(writer.close_sent(), None);
    let greeted = writer.open(false, || writer.client().write_all(b"101"));
    greeted.expect("written");
    assert_eq!(writer.close_sent(), Some(1009));
    assert_eq!(rest(writer, far), b"101\x88\x02\x03\xf1");
}

#[test]
fn a_101_that_fails_opens_nothing() {
    let (writer, far) = writer();
    let failed = writer.open(false, || Err(ErrorKind::BrokenPipe.into()));
    assert!(failed.is_err() && !writer.is_open());
    assert_eq!(rest(writer, far), b"");
}

#[test]
fn nothing_follows_a_close() {
    let (writer, far) = open_writer();
    writer.close(Some(CloseCode::Normal)).expect("sent");
    assert!(is_closed(writer.send(&[b"\x81\x01x"], 0)));
    writer.ping();
    writer.pong(payload(b"late"));
    writer.owe_close(Some(CloseCode::Away));
    writer.close(None).expect("not sent again");
    writer.stop();
    writer.settle();
    assert!(!writer.is_owing());
    assert_eq!(writer.close_sent(), Some(1000));
    assert_eq!(rest(writer, far), b"\x88\x02\x03\xe8");
}

#[test]
fn a_close_without_code_is_sent_and_known_as_1005() {
    let (writer, far) = open_writer();
    writer.close(None).expect("sent");
    assert_eq!(writer.close_sent(), Some(1005));
    assert_eq!(rest(writer, far), b"\x88\x00");
}

#[test]
fn stop_tells_an_open_client_and_cuts_another() {
    let (writer, far) = open_writer();
    writer.stop();
    assert_eq!(writer.close_sent(), Some(1001));
    assert_eq!(rest(writer, far), b"\x88\x02\x03\xe9");
    let (writer, mut far) = self::writer();
    writer.stop();
    assert_eq!(far.read(&mut [0; 8]).expect("the end"), 0);
    drop(writer);
}

#[test]
fn a_client_that_does_not_read_gets_owed_frames_once_it_reads() {
    let (writer, mut far) = open_writer();
    fill(&writer);
    // None of these may wait.
    writer.ping();
    writer.pong(payload(b"first"));
    writer.pong(payload(b"last"));
    writer.stop();
    assert!(writer.is_owing());
    assert_eq!(writer.close_sent(), None);
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        far.read_to_end(&mut all).expect("to the end");
        all
    });
    while writer.is_owing() {
        writer.client().wait_ready();
        writer.settle();
    }
    drop(writer);
    let all = reader.join().expect("no panic");
    // Of two pings the last is answered; a Close makes ours pointless.
    assert!(all.ends_with(b"\0\x8a\x04last\x88\x02\x03\xe9"));
}

#[test]
fn a_client_that_reads_slowly_is_not_taken_for_a_silent_one() {
    let (writer, mut far) = open_writer();
    let frame = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], &[0; 65_536][..]].concat();
    thread::scope(|scope| {
        let sender = scope.spawn(|| while writer.send(&[&frame], 0).is_ok() {});
        // The reader of the client waits for it all the time.
        writer.silence.store(0, Ordering::Relaxed);
        let mut buffer = vec![0; 1 << 20];
        let mut watches = 0;
        while watches < 3 * WATCHES {
            while writer.client().is_writable() {
                assert!(!writer.client().has_left(), "it is served");
                thread::yield_now();
            }
            // As much as makes the kernel take more of the next frame.
            writer.has_taken.store(false, Ordering::Relaxed);
            while !writer.has_taken.load(Ordering::Relaxed) || writer.client().is_writable() {
                far.set_read_timeout(Some(Duration::from_millis(1)))
                    .expect("a socket");
                let _ = far.read(&mut buffer);
                assert!(!writer.client().has_left(), "it is served");
            }
            writer.watch();
            watches += 1;
        }
        assert!(!writer.client().has_left(), "it is served");
        // Now it reads no more.
        for _ in 0..3 * WATCHES {
            writer.watch();
        }
        sender.join().expect("no panic");
    });
    assert!(writer.send(&[&frame], 0).is_err(), "it was cut");
}

#[test]
fn a_client_that_reads_nothing_counts_as_silent_though_the_socket_takes_frames() {
    let (writer, _far) = open_writer();
    writer.silence.store(0, Ordering::Relaxed);
    for _ in 0..2 * WATCHES {
        writer.send(&[b"\x81\x01x"], 0).expect("buffer space");
        writer.watch();
    }
    assert!(writer.client().has_left(), "it was cut");
}

#[test]
fn a_ping_that_a_full_socket_refuses_is_sent_by_a_later_look() {
    let (writer, mut far) = open_writer();
    let count = fill(&writer);
    // The reader waits for the client, which is silent and slow.
    writer.silence.store(0, Ordering::Relaxed);
    (0..WATCHES).for_each(|_| writer.watch());
    assert!(writer.is_owing());
    let mut rest = vec![0; count];
    far.read_exact(&mut rest).expect("what filled it");
    far.set_nonblocking(true).expect("a socket");
    while !writer.client().is_writable() {
        let _ = far.read(&mut rest);
    }
    writer.watch();
    assert!(!writer.is_owing());
    far.set_nonblocking(false).expect("a socket");
    assert!(self::rest(writer, far).ends_with(b"\x89\x00"));
}

#[test]
fn a_pong_waits_for_the_frame_before_it_and_its_thread_does_not_wait() {
    let (writer, mut far) = open_writer();
    let flood = vec![b'x'; 16 << 20];
    let header = frame::header(OpCode::Data(frame::Data::Binary), true, flood.len());
    thread::scope(|scope| {
        let (writer, header, flood) = (&writer, &header, &flood);
        let sender = scope.spawn(move || writer.send(&[header.bytes(), flood], 0));
        // The frame has begun, and cannot end before it is read.
        let mut first = [0; 1];
        far.read_exact(&mut first).expect("a frame");
        writer.pong(payload(b"owed"));
        assert!(writer.is_owing());
        let mut all = vec![0; header.bytes().len() - 1 + flood.len()];
        far.read_exact(&mut all).expect("the rest of the frame");
        assert!(all.ends_with(b"xx"));
        sender.join().expect("no panic").expect("sent");
    });
    // If the socket was full behind the frame, the reader of the client sends the pong.
    writer.client().wait_ready();
    writer.settle();
    assert_eq!(rest(writer, far), b"\x8a\x04owed");
}

#[test]
fn every_ping_of_many_threads_is_paid_in_whole_frames() {
    let (writer, far) = open_writer();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    writer.pong(payload(b"p"));
                    writer.send(&[b"\x81", b"\x01x"], 0).expect("sent");
                }
            });
        }
    });
    assert!(!writer.is_owing(), "nothing is forgotten");
    let all = rest(writer, far);
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
    let (writer, far) = open_writer();
    drop(far);
    writer.client().cut();
    writer.ping();
    writer.owe_close(Some(CloseCode::Away));
    assert!(writer.send(&[b"\x81\x01x"], 0).is_err());
    writer.settle();
}

#[test]
fn a_writer_that_panicked_leaves_the_client_usable() {
    let (writer, far) = writer();
    thread::scope(|scope| {
        let greeter = scope.spawn(|| writer.open(false, || panic!("as the test wants")));
        assert!(greeter.join().is_err());
    });
    writer.open(false, || Ok(())).expect("no greeting");
    writer.owe_close(Some(CloseCode::Error));
    assert_eq!(writer.close_sent(), Some(1011));
    assert_eq!(rest(writer, far), b"\x88\x02\x03\xf3");
}

#[test]
fn a_writer_that_is_suspended_sends_nothing_until_it_resumes() {
    let (writer, mut far) = open_writer();
    assert!(writer.suspend() && !writer.suspend());
    assert!(matches!(
        writer.send(&[b"\x81\x00"], 0),
        Err(SendError::Closed)
    ));
    for _ in 0..2 * WATCHES {
        writer.watch();
    }
    writer.stop();
    far.set_nonblocking(true).expect("a socket");
    let error = far.read(&mut [0; 8]).expect_err("nothing");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    writer.resume();
    far.set_nonblocking(false).expect("a socket");
    let mut sent = [0; 4];
    far.read_exact(&mut sent).expect("a Close");
    assert_eq!(sent, [0x88, 2, 3, 0xe9]);
    assert!(!writer.suspend(), "a Close was sent");
}
