//! The pong and close hand-over between the threads of a connection, in many orders of events.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::frame::{CloseCode, ControlPayload, Decoder, Event};
use crate::frames::{FrameWriter, SendError, WATCHES};
use crate::latch::Latch;
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

/// Orders of events that each test tries, of both schedulers.
const ORDERS: usize = 10_000;

/// Events at which the second scheduler changes its mind within an order.
const DEPTH: usize = 4;

/// A capacity that is never used up.
const AMPLE: usize = 10_000;

fn in_many_orders(events: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(events, ORDERS);
    shuttle::check_pct(events, ORDERS, DEPTH);
}

/// The payload of a ping.
fn payload(byte: u8) -> ControlPayload {
    let mut frame = [0x89, 0x81, 0, 0, 0, 0, byte];
    let mut decoder = Decoder::default();
    match decoder.next(&mut frame, &mut 0) {
        Ok(Event::Ping) => *decoder.control(),
        _ => panic!("a good ping"),
    }
}

fn writer(capacity: usize) -> Arc<FrameWriter> {
    let writer = Arc::new(FrameWriter::new(Client::new(capacity)));
    // Writes may give up at any moment, and are begun again.
    let gives_up = thread_rng().gen_bool(0.5);
    writer.open(gives_up, || Ok(())).expect("no greeting");
    writer
}

/// What one connection was sent.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    data: usize,
    pings: usize,
    pongs: Vec<u8>,
    closes: Vec<Option<u16>>,
}

/// Reads what was written frame by frame; nothing follows a Close.
fn sent(writer: &FrameWriter) -> Sent {
    let written = writer.client().written();
    let mut rest = &written[..];
    let mut sent = Sent::default();
    while !rest.is_empty() {
        assert!(sent.closes.is_empty(), "{rest:?} behind a Close");
        let length = rest.get(1).map_or(0, |length| usize::from(*length));
        let Some((frame, next)) = rest.split_at_checked(2 + length) else {
            assert!(writer.client().is_cut(), "half a frame: {rest:?}");
            return sent;
        };
        rest = next;
        match (frame[0], &frame[2..]) {
            (0x81, b"data") => sent.data += 1,
            (0x89, []) => sent.pings += 1,
            (0x8a, [byte]) => sent.pongs.push(*byte),
            (0x88, []) => sent.closes.push(None),
            (0x88, [high, low]) => sent.closes.push(Some(u16::from_be_bytes([*high, *low]))),
            _ => panic!("no frame of ours: {frame:?}"),
        }
    }
    sent
}

fn send_data(writer: &FrameWriter, times: usize) -> usize {
    let mut count = 0;
    while count < times {
        let mut taken = 0;
        loop {
            match writer.send(&[b"\x81", b"\x04data"], taken) {
                Ok(offered) if offered.is_full => taken = offered.taken,
                Ok(_) => break,
                Err(SendError::Closed) => {
                    assert_eq!(taken, 0, "a Close within a frame");
                    return count;
                }
                Err(SendError::Gone) => panic!("the client is gone"),
            }
            thread::yield_now();
        }
        count += 1;
    }
    count
}

/// A pong is never forgotten and tells the last ping.
pub fn a_pong_is_never_forgotten_and_tells_the_last_ping() {
    in_many_orders(|| {
        let writer = writer(AMPLE);
        let other = Arc::clone(&writer);
        // Few, so that the last of each often meet.
        let (frames, pings) = (thread_rng().gen_range(1..=2), thread_rng().gen_range(1..=3));
        let sender = thread::spawn(move || send_data(&other, frames));
        for byte in 1..=pings {
            writer.pong(payload(byte));
        }
        assert_eq!(sender.join().expect("no panic"), frames);
        // Nobody comes by any more: whatever was owed has been paid.
        assert!(!writer.is_owing(), "a pong is forgotten");
        let sent = sent(&writer);
        assert_eq!(sent.data, frames);
        assert_eq!(sent.pongs.last(), Some(&pings), "{sent:?}");
        assert!(sent.pongs.is_sorted_by(|a, b| a < b), "{sent:?}");
    });
}

/// The reader never waits for a client that does not read.
pub fn the_reader_never_waits_for_a_client_that_does_not_read() {
    in_many_orders(|| {
        let writer = writer(8);
        let other = Arc::clone(&writer);
        let sender = thread::spawn(move || send_data(&other, 3));
        // The client takes nothing before both are answered, as far as the socket takes it.
        writer.pong(payload(1));
        writer.pong(payload(2));
        let other = Arc::clone(&writer);
        let client = thread::spawn(move || {
            other.client().take(3 * 6 + 3);
            other.client().send(b"x");
        });
        assert_eq!(writer.read(&mut [0]).expect("a byte"), 1);
        assert_eq!(sender.join().expect("no panic"), 3);
        client.join().expect("no panic");
        writer.settle();
        let sent = sent(&writer);
        assert_eq!((sent.data, sent.pongs.last()), (3, Some(&2)), "{sent:?}");
    });
}

/// One close is sent and nothing behind it.
pub fn one_close_is_sent_and_nothing_behind_it() {
    in_many_orders(|| {
        let writer = writer(AMPLE);
        let spawn = |work: fn(&FrameWriter)| {
            let writer = Arc::clone(&writer);
            thread::spawn(move || work(&writer))
        };
        let threads = [
            // The backend's direction, at its end.
            spawn(|writer| {
                send_data(writer, 2);
                let _ = writer.close(Some(CloseCode::Normal));
                assert!(matches!(
                    writer.send(&[b"\x81\x04data"], 0),
                    Err(SendError::Closed)
                ));
            }),
            // The client's: a ping, then its Close is answered.
            spawn(|writer| {
                writer.pong(payload(1));
                let _ = writer.close(Some(CloseCode::Protocol));
                writer.pong(payload(2));
            }),
            // The server stops.
            spawn(FrameWriter::stop),
        ];
        for thread in threads {
            thread.join().expect("no panic");
        }
        let sent = sent(&writer);
        assert_eq!(sent.closes.len(), 1, "{sent:?}");
        assert_eq!(sent.closes[0], writer.close_sent(), "{sent:?}");
        assert!([&[][..], &[1]].contains(&&sent.pongs[..]), "{sent:?}");
        assert!(!writer.is_owing());
    });
}

/// A stop while the 101 is sent is told behind it or cuts.
pub fn a_stop_while_the_101_is_sent_is_told_behind_it_or_cuts() {
    in_many_orders(|| {
        let writer = Arc::new(FrameWriter::new(Client::new(AMPLE)));
        let other = Arc::clone(&writer);
        let stopper = thread::spawn(move || other.stop());
        let greeted = writer.open(false, || match writer.client().is_cut() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        });
        stopper.join().expect("no panic");
        let cut = writer.client().is_cut();
        assert!(cut || greeted.is_ok());
        let sent = sent(&writer);
        assert!(cut || sent.closes == [Some(1001)], "neither cut nor told");
    });
}

/// A silent client is pinged once and then cut and one that answers is not.
pub fn a_silent_client_is_pinged_once_and_then_cut_and_one_that_answers_is_not() {
    in_many_orders(|| {
        let writer = writer(AMPLE);
        let other = Arc::clone(&writer);
        let watch = thread::spawn(move || {
            for _ in 0..2 * WATCHES {
                other.watch();
            }
        });
        let other = Arc::clone(&writer);
        let client = thread::spawn(move || {
            other.client().send(b"x");
            thread::yield_now();
            other.client().end();
        });
        let mut reads = 0;
        while writer.read(&mut [0]).expect("a byte or the end") > 0 {
            reads += 1;
        }
        watch.join().expect("no panic");
        client.join().expect("no panic");
        let sent = sent(&writer);
        let cut = writer.client().is_cut();
        assert!(sent.pings <= 2 && (cut || reads == 1), "{sent:?}");
        assert!(!writer.is_owing() || cut);
    });
}

/// The end of a direction is never missed.
pub fn the_end_of_a_direction_is_never_missed() {
    in_many_orders(|| {
        let latches = Arc::new((Latch::default(), Latch::default()));
        let other = Arc::clone(&latches);
        let limit = Duration::from_secs(5);
        let thread = thread::spawn(move || {
            other.0.moved();
            other.0.open();
            other.1.wait(limit, None)
        });
        latches.1.open();
        assert!(latches.0.wait(limit, Some(limit)));
        assert!(thread.join().expect("no panic"));
    });
}
