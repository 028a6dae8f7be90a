//! Tests of `to_backend`: the writes that a client's frames become, at once and in pieces.

use super::super::SMALL_READS;
use super::*;
use crate::backend::Backend;
use crate::backend::tests::{Packets, packet_pair, service, stream_pair, write_pair};
use crate::client::frames::Offered;
use crate::config::Framing;
use crate::frame::{Decoder, Event};

/// A masked frame with the key 0, which leaves the payload as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u64;
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => bytes.extend([&[0xfe], &length.to_be_bytes()[6..]].concat()),
        _ => bytes.extend([&[0xff], &length.to_be_bytes()[..]].concat()),
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A budget that no test uses up.
static AMPLE: Budget = Budget::new(usize::MAX);

impl Outlet for Backend {
    fn is_packet(&self) -> bool {
        Self::is_packet(self)
    }

    fn offer(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered> {
        let (taken, is_full) = self.write_of(pieces, taken)?;
        Ok(Offered { taken, is_full })
    }
}

fn to<'a>(backend: &'a dyn Outlet, config: &ServiceConfig) -> ToBackend<'a> {
    ToBackend::new(backend, config, &AMPLE, 0)
}

/// Delivers frames as `pump` does, from reads of at most `size` bytes.
fn deliver(out: &mut ToBackend<'_>, bytes: &[u8], size: usize) -> Result<(), Delivery> {
    let mut decoder = Decoder::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (buffer, start) = out.space()?;
        let space = buffer.len() - start;
        let take = size.min(space).min(rest.len());
        assert!(take > 0, "there is always space");
        buffer[start..start + take].copy_from_slice(&rest[..take]);
        rest = &rest[take..];
        let mut at = start;
        loop {
            match decoder.next(out.input(start + take), &mut at) {
                Ok(Event::Starved) => break,
                Ok(Event::Start { text, length }) => out.start(text, length)?,
                Ok(Event::Payload(range)) => out.payload(range)?,
                Ok(Event::End) => out.end()?,
                Ok(Event::Message { text, payload }) => out.message(text, payload)?,
                Ok(_) => {}
                Err(error) => panic!("the test's frames are good: {error}"),
            }
        }
        out.pause()?;
        out.adapt(take, space);
    }
    Ok(())
}

/// The writes that these frames become, in reads of `size` bytes.
fn writes(config: &ServiceConfig, frames: &[Vec<u8>], size: usize) -> Vec<Vec<u8>> {
    let (backend, far) = write_pair();
    let mut out = to(&backend, config);
    deliver(&mut out, &frames.concat(), size).expect("delivered");
    let count = out.count();
    backend.end();
    let writes = far.rest();
    assert_eq!(writes.concat().len() as u64, count, "bytes are counted");
    writes
}

/// Text, a fragmented binary message around a ping, an empty message.
fn three() -> Vec<Vec<u8>> {
    vec![
        frame(0x81, b"Hello"),
        frame(0x02, b"a"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, b"bc"),
        frame(0x81, b""),
    ]
}

#[test]
fn each_message_is_one_write_with_its_boundary() {
    let cases: [(Framing, &[&[u8]]); 4] = [
        (Framing::Stream, &[b"Hello", b"abc"]),
        (Framing::Line, &[b"Hello\n", b"abc\n", b"\n"]),
        (Framing::Nul, &[b"Hello\0", b"abc\0", b"\0"]),
        (
            Framing::Length,
            &[
                b"\0\0\0\x05\x01Hello",
                b"\0\0\0\x03\x02abc",
                b"\0\0\0\0\x01",
            ],
        ),
    ];
    for (framing, wanted) in cases {
        for size in [1, 2, 3, 7, 1000] {
            let writes = writes(&service(framing), &three(), size);
            assert_eq!(writes, wanted, "{framing:?} in reads of {size}");
        }
    }
}

#[test]
fn merge_joins_messages_that_arrived_together() {
    let mut config = service(Framing::Stream);
    config.merge = true;
    assert_eq!(writes(&config, &three(), 1000), [b"Helloabc"]);
    assert_eq!(writes(&config, &three(), 1).concat(), b"Helloabc");
}

#[test]
fn merge_joins_nothing_where_boundaries_count() {
    let mut config = service(Framing::Line);
    config.merge = true;
    let writes = writes(&config, &three(), 1000);
    assert_eq!(writes, [&b"Hello\n"[..], b"abc\n", b"\n"]);
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|byte| (byte * 7 + byte / 256) as u8).collect()
}

#[test]
fn a_message_that_fits_the_buffer_is_one_write_however_it_comes() {
    for len in [1, 4000, 4090, 4096, 4097, 20_000, 65_000, LARGE_BUFFER] {
        let message = noise(len);
        for size in [1000, 4096, 100_000] {
            let writes = writes(
                &service(Framing::Stream),
                &[frame(0x82, &message), frame(0x82, b"next")],
                size,
            );
            assert_eq!(writes.len(), 2, "{len} bytes in reads of {size}");
            assert_eq!(writes, [&message[..], b"next"]);
        }
    }
}

#[test]
fn a_longer_message_streams_in_constant_memory() {
    use std::io::Read;
    for framing in [Framing::Stream, Framing::Line, Framing::Nul] {
        let (backend, mut far) = stream_pair();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).expect("to the end");
            all
        });
        let mut config = service(framing);
        config.max_message = 1000;
        let mut out = to(&backend, &config);
        let message = noise(3_000_000);
        let frames = [frame(0x02, &message), frame(0x80, &message)].concat();
        deliver(&mut out, &frames, 30_000).expect("delivered");
        assert!(out.buffer.len() <= LARGE_BUFFER);
        backend.end();
        let end: &[u8] = match framing {
            Framing::Line | Framing::Crlf => b"\n",
            Framing::Nul => b"\0",
            Framing::Stream | Framing::Length => b"",
        };
        let all = reader.join().expect("no panic");
        assert!(all == [&message[..], &message, end].concat());
    }
}

#[test]
fn length_prefixes_a_long_message_once() {
    let message = noise(80_000);
    let writes = writes(&service(Framing::Length), &[frame(0x82, &message)], 30_000);
    assert!(writes.len() > 1, "longer than the buffer");
    assert!(writes.concat() == [b"\0\x01\x38\x80\x02", &message[..]].concat());
}

#[test]
fn length_refuses_an_announced_message_beyond_maxmessage_at_once() {
    let (backend, _far) = write_pair();
    let mut config = service(Framing::Length);
    config.max_message = 1000;
    let mut out = to(&backend, &config);
    assert!(out.start(true, Some(1000)).is_ok());
    for length in [1001, 1 << 32, i64::MAX as u64] {
        let refused = out.start(true, Some(length));
        assert!(matches!(refused, Err(Delivery::TooBig)), "{length}");
    }
}

#[test]
fn length_holds_fragments_up_to_maxmessage_and_no_more_memory() {
    let mut config = service(Framing::Length);
    config.max_message = 100_000;
    let half = noise(50_000);
    let whole = [frame(0x02, &half), frame(0x80, &half)];
    let written = writes(&config, &whole, 5000);
    assert!(written == [[b"\0\x01\x86\xa0\x02", &half[..], &half].concat()]);

    let (backend, far) = write_pair();
    let mut out = to(&backend, &config);
    let more = [frame(0x02, &half), frame(0x00, &half), frame(0x80, b"x")];
    let refused = deliver(&mut out, &more.concat(), 5000);
    assert!(matches!(refused, Err(Delivery::TooBig)));
    assert!(out.buffer.len() <= config.max_message + LARGE_BUFFER);
    out.broken().expect("nothing to write");
    backend.end();
    assert!(far.rest().is_empty());
}

/// The packets that a message becomes, up to the one that ends it.
fn packets(far: &Packets, len: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    while lengths.iter().sum::<usize>() < len || lengths.last() == Some(&PACKET) {
        lengths.push(far.read().len());
    }
    lengths
}

#[test]
fn seqpacket_messages_end_with_a_short_packet() {
    const P: usize = PACKET;
    for (len, wanted) in [
        (1, vec![1]),
        (P - 1, vec![P - 1]),
        (P, vec![P, 0]),
        (P + 1, vec![P, 1]),
        (2 * P, vec![P, P, 0]),
        (2 * P + 1, vec![P, P, 1]),
        (3 * P + 7, vec![P, P, P, 7]),
    ] {
        for size in [4096, 10_000, 200_000] {
            let (backend, far) = packet_pair();
            let mut out = to(&backend, &service(Framing::Stream));
            deliver(&mut out, &frame(0x82, &noise(len)), size).expect("delivered");
            assert_eq!(packets(&far, len), wanted, "{len} in reads of {size}");
        }
    }
    let (backend, far) = packet_pair();
    let mut out = to(&backend, &service(Framing::Stream));
    let frames = [frame(0x82, b""), frame(0x82, b"x")].concat();
    deliver(&mut out, &frames, 100).expect("delivered");
    assert_eq!((far.read(), far.read()), (vec![], b"x".to_vec()));
}

#[test]
fn a_seqpacket_backend_gets_packets_whatever_the_framing() {
    // `framing` is about byte streams; a message in one packet may not fit the socket.
    for framing in [Framing::Line, Framing::Nul, Framing::Length] {
        let (backend, far) = packet_pair();
        let mut out = to(&backend, &service(framing));
        deliver(&mut out, &frame(0x82, &noise(PACKET + 3)), 4096).expect("delivered");
        assert_eq!(packets(&far, PACKET + 3), [PACKET, 3], "{framing:?}");
    }
}

#[test]
fn the_beginning_of_a_message_is_delivered_by_stream_only_when_the_client_vanishes() {
    let frames = [frame(0x81, b"whole"), frame(0x01, b"half")].concat();
    for (framing, wanted) in [
        (Framing::Stream, &b"wholehalf"[..]),
        (Framing::Line, b"whole\n"),
        (Framing::Length, b"\0\0\0\x05\x01whole"),
    ] {
        for merge in [false, true] {
            let (backend, far) = write_pair();
            let mut config = service(framing);
            config.merge = merge;
            let mut out = to(&backend, &config);
            deliver(&mut out, &frames, 1000).expect("delivered");
            out.finish().expect("delivered");
            backend.end();
            assert_eq!(far.rest().concat(), wanted, "{framing:?}");
        }
    }
}

#[test]
fn what_was_whole_before_a_broken_rule_is_delivered() {
    let frames = [frame(0x81, b"whole"), frame(0x01, b"half")].concat();
    for framing in [Framing::Stream, Framing::Nul] {
        let (backend, far) = write_pair();
        let mut out = to(&backend, &service(framing));
        deliver(&mut out, &frames, 1000).expect("delivered");
        out.broken().expect("delivered");
        backend.end();
        assert!(far.rest().concat().starts_with(b"whole"), "{framing:?}");
        assert!(out.count() <= 6, "{framing:?}");
    }
}

#[test]
fn a_quiet_connection_gives_its_buffer_back_but_no_payload() {
    let (backend, far) = write_pair();
    let mut out = to(&backend, &service(Framing::Stream));
    deliver(&mut out, &frame(0x82, &noise(60_000)), 60_000).expect("delivered");
    assert_eq!(far.read().len(), 60_000);
    deliver(&mut out, &frame(0x02, b"half"), 1000).expect("delivered");
    for _ in 0..SMALL_READS {
        out.adapt(1, 2);
    }
    assert_eq!(out.buffer.len(), SMALL_BUFFER);
    out.finish().expect("delivered");
    assert_eq!(far.read(), b"half");
}
