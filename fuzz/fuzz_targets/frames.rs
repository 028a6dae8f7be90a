//! The client's frames (`frame::Decoder`): the same events however the stream is cut, and the
//! messages that tungstenite reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ouistiti::parts::frame::{Decoder, Event, ProtocolError};
use ouistiti_fuzz::{Opinion, Random, agrees_with_tungstenite};
use tungstenite::Message;

/// What a decoder tells, the payload of a message joined.
#[derive(Debug, PartialEq)]
enum Told {
    Start(bool, Option<u64>),
    Payload(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

type Reading = (Vec<Told>, Option<ProtocolError>);

fn read(bytes: &[u8], mut piece: impl FnMut(usize) -> usize) -> Reading {
    let mut decoder = Decoder::default();
    let mut told = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece(rest.len()).min(rest.len()));
        rest = later;
        let mut now = now.to_vec();
        let mut at = 0;
        loop {
            let next = match decoder.next(&mut now, &mut at) {
                Err(error) => return (told, Some(error)),
                Ok(Event::Starved) => break,
                Ok(Event::Start { text, length }) => Told::Start(text, length),
                Ok(Event::Payload(range)) => {
                    assert!(!range.is_empty(), "payload is never empty");
                    match told.last_mut() {
                        Some(Told::Payload(before)) => before.extend_from_slice(&now[range]),
                        _ => told.push(Told::Payload(now[range].to_vec())),
                    }
                    continue;
                }
                Ok(Event::End) => Told::End,
                Ok(Event::Message { text, payload }) => {
                    told.push(Told::Start(text, Some(payload.len() as u64)));
                    if !payload.is_empty() {
                        told.push(Told::Payload(now[payload].to_vec()));
                    }
                    Told::End
                }
                Ok(Event::Ping) => Told::Ping(decoder.control().bytes().to_vec()),
                Ok(Event::Pong) => Told::Pong,
                Ok(Event::Close(code)) => {
                    told.push(Told::Close(code.map(u16::from)));
                    return (told, None);
                }
            };
            told.push(next);
        }
        assert_eq!(at, now.len(), "a starved decoder has taken everything");
    }
    (told, None)
}

/// Whether one reading is the other, but for payload that came together with the bad byte behind
/// it: that is not told.
fn is_same(whole: &Reading, cut: &Reading) -> bool {
    if whole.1.is_none() || whole.1 != cut.1 {
        return whole == cut;
    }
    let (more, less) = match whole.0.len() >= cut.0.len() {
        true => (&whole.0, &cut.0),
        false => (&cut.0, &whole.0),
    };
    more.starts_with(less)
        || less.split_last().is_some_and(|(last, before)| {
            let payload = |told: Option<&Told>| match told {
                Some(Told::Payload(bytes)) => bytes.clone(),
                _ => Vec::new(),
            };
            let longer = payload(more.get(before.len()));
            let shorter = payload(Some(last));
            more.starts_with(before)
                && (longer.starts_with(&shorter) || shorter.starts_with(&longer))
        })
}

/// The whole messages and control frames of a reading.
fn opinion((told, error): Reading) -> Opinion {
    let mut messages = Vec::new();
    let mut message = (false, Vec::new());
    for told in told {
        match told {
            Told::Start(text, _) => message = (text, Vec::new()),
            Told::Payload(payload) => message.1.extend(payload),
            Told::End => messages.push(match std::mem::take(&mut message) {
                (true, text) => Message::text(String::from_utf8(text).expect("checked")),
                (false, bytes) => Message::binary(bytes),
            }),
            Told::Ping(payload) => messages.push(Message::Ping(payload.into())),
            Told::Pong => messages.push(Message::Pong(Vec::new().into())),
            Told::Close(_) => messages.push(Message::Close(None)),
        }
    }
    Opinion {
        messages,
        fails: error.is_some(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, |left| left);
    let mut random = Random::of(bytes);
    let cut = read(bytes, |left| random.piece(left));
    assert!(is_same(&whole, &cut), "{whole:?} in one piece, {cut:?} cut");
    let single = read(bytes, |_| 1);
    assert!(
        is_same(&whole, &single),
        "{whole:?} in one piece, {single:?} byte by byte"
    );
    agrees_with_tungstenite(bytes, &opinion(whole));
});
