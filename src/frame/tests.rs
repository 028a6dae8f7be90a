//! Tests of `frame`: the RFC's bytes, and every broken rule.

use super::*;

mod opinion;

/// What a decoder returns, payload joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Start(bool, Option<u64>),
    Payload(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// Feeds `bytes` in pieces of `size` bytes; stops at a Close.
pub(super) fn decode_in(bytes: &[u8], size: usize) -> (Vec<Told>, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let mut told = Vec::new();
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let mut at = 0;
        loop {
            let next = match decoder.next(&mut piece, &mut at) {
                Err(error) => return (told, Some(error)),
                Ok(Event::Starved) => break,
                Ok(Event::Start { text, length }) => Told::Start(text, length),
                Ok(Event::Payload(range)) => {
                    assert!(!range.is_empty(), "payload is never empty");
                    if let Some(Told::Payload(before)) = told.last_mut() {
                        before.extend_from_slice(&piece[range]);
                        continue;
                    }
                    Told::Payload(piece[range].to_vec())
                }
                Ok(Event::End) => Told::End,
                Ok(Event::Message { text, payload }) => {
                    told.push(Told::Start(text, Some(payload.len() as u64)));
                    if !payload.is_empty() {
                        told.push(Told::Payload(piece[payload].to_vec()));
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
        assert_eq!(at, piece.len(), "a starved decoder has taken everything");
    }
    (told, None)
}

/// What a decoder returns, the same for every way of cutting the bytes.
pub(super) fn decode(bytes: &[u8]) -> (Vec<Told>, Option<ProtocolError>) {
    let whole = decode_in(bytes, bytes.len().max(1));
    for size in [1, 2, 3, 7] {
        let (told, error) = decode_in(bytes, size);
        assert_eq!(error, whole.1, "in pieces of {size}");
        // Payload that comes together with a bad byte is not returned.
        assert!(
            error.is_some() || told == whole.0,
            "in pieces of {size}: {told:?}"
        );
    }
    whole
}

pub(super) fn good(bytes: &[u8]) -> Vec<Told> {
    let (told, error) = decode(bytes);
    assert_eq!(error, None);
    told
}

pub(super) fn broken(bytes: &[u8]) -> ProtocolError {
    decode(bytes).1.expect("a broken rule")
}

/// A client's frame: its first byte, its payload, the key.
pub(super) fn frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    let masked = payload.iter().zip(key.iter().cycle());
    bytes.extend(masked.map(|(byte, key)| byte ^ key));
    bytes
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn hello() -> Told {
    Told::Payload(b"Hello".to_vec())
}

#[test]
fn the_masked_hello_of_the_rfc_is_read() {
    let told = good(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(told, [Told::Start(true, Some(5)), hello(), Told::End]);
}

#[test]
fn the_fragmented_hello_of_the_rfc_is_one_message() {
    let bytes = [frame(0x01, b"Hel", KEY), frame(0x80, b"lo", [1, 2, 3, 4])].concat();
    let told = good(&bytes);
    assert_eq!(told, [Told::Start(true, None), hello(), Told::End]);
}

#[test]
fn the_masked_pong_of_the_rfc_is_a_pong() {
    assert_eq!(
        good(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        [Told::Pong]
    );
}

#[test]
fn a_ping_between_fragments_is_returned_between_them() {
    let bytes = [
        frame(0x01, b"He", KEY),
        frame(0x89, b"Hello", KEY),
        frame(0x80, b"llo", KEY),
    ];
    let told = good(&bytes.concat());
    assert_eq!(
        told,
        [
            Told::Start(true, None),
            Told::Payload(b"He".to_vec()),
            Told::Ping(b"Hello".to_vec()),
            Told::Payload(b"llo".to_vec()),
            Told::End,
        ]
    );
}

#[test]
fn the_headers_of_the_rfc_are_made() {
    let hex = |opcode, last, length| header(opcode, last, length).bytes().to_vec();
    let (text, binary) = (OpCode::Data(Data::Text), OpCode::Data(Data::Binary));
    assert_eq!(hex(text, true, 5), [0x81, 5]);
    assert_eq!(hex(text, false, 3), [0x01, 3]);
    assert_eq!(hex(OpCode::Data(Data::Continue), true, 2), [0x80, 2]);
    assert_eq!(hex(OpCode::Control(Control::Ping), true, 5), [0x89, 5]);
    assert_eq!(hex(binary, true, 125), [0x82, 125]);
    assert_eq!(hex(binary, true, 126), [0x82, 126, 0, 126]);
    assert_eq!(hex(binary, true, 256), [0x82, 0x7e, 1, 0]);
    assert_eq!(hex(binary, true, 0xffff), [0x82, 126, 0xff, 0xff]);
    assert_eq!(
        hex(binary, true, 65_536),
        [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
    );
}

#[test]
fn messages_of_every_header_form_are_read() {
    for len in [1, 124, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..len).map(|byte: u32| byte as u8).collect();
        let told = good(&frame(0x82, &payload, KEY));
        let start = Told::Start(false, Some(u64::from(len)));
        assert_eq!(told, [start, Told::Payload(payload), Told::End], "{len}");
    }
}

#[test]
fn empty_messages_and_fragments_are_read() {
    let empty = [Told::Start(true, Some(0)), Told::End];
    assert_eq!(good(&frame(0x81, b"", KEY)), empty);
    let bytes = [
        frame(0x02, b"", KEY),
        frame(0x00, b"", KEY),
        frame(0x00, b"Hello", KEY),
        frame(0x80, b"", KEY),
    ];
    let told = good(&bytes.concat());
    assert_eq!(told, [Told::Start(false, None), hello(), Told::End]);
}

#[test]
fn any_number_of_empty_fragments_needs_no_stack() {
    let mut bytes = frame(0x01, b"", KEY);
    for _ in 0..10_000 {
        bytes.extend(frame(0x00, b"", KEY));
    }
    let reader = std::thread::Builder::new().stack_size(128 << 10);
    let reader = reader.spawn(move || decode_in(&bytes, bytes.len()));
    let (told, error) = reader.expect("a thread").join().expect("no overflow");
    assert_eq!((told, error), (vec![Told::Start(true, None)], None));
}

#[test]
fn each_broken_rule_has_its_error() {
    use ProtocolError as E;
    let hello = frame(0x81, b"Hello", KEY);
    for (rsv, name) in [(0x40, "RSV1"), (0x20, "RSV2"), (0x10, "RSV3")] {
        assert_eq!(broken(&[0x81 | rsv]), E::ReservedBits, "{name}");
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        assert_eq!(broken(&[0x80 | opcode]), E::ReservedOpcode(opcode));
    }
    assert_eq!(broken(b"\x81\x05Hello"), E::Unmasked);
    assert_eq!(broken(b"\x89\x05Hello"), E::Unmasked);
    let long = |length: u64| [&[0x82, 0xff], &length.to_be_bytes()[..], &KEY].concat();
    assert_eq!(broken(&long(1 << 63)), E::LengthOverflow(1 << 63));
    assert_eq!(broken(&long(u64::MAX)), E::LengthOverflow(u64::MAX));
    assert_eq!(broken(&long(0xffff)), E::PaddedLength(0xffff));
    assert_eq!(broken(&long(0)), E::PaddedLength(0));
    let short = |length: u16| [&[0x82, 0xfe], &length.to_be_bytes()[..], &KEY].concat();
    assert_eq!(broken(&short(125)), E::PaddedLength(125));
    for opcode in [8, 9, 10] {
        assert_eq!(broken(&[opcode]), E::FragmentedControl);
        let long = frame(0x80 | opcode, &[0; 126], KEY);
        assert_eq!(broken(&long), E::LongControl);
    }
    assert_eq!(broken(&frame(0x80, b"lo", KEY)), E::NothingToContinue);
    assert_eq!(broken(&frame(0x00, b"", KEY)), E::NothingToContinue);
    let again = [hello.clone(), frame(0x80, b"", KEY)].concat();
    assert_eq!(broken(&again), E::NothingToContinue);
    let nested = [frame(0x01, b"Hel", KEY), hello].concat();
    assert_eq!(broken(&nested), E::UnfinishedMessage);
    assert_eq!(broken(&frame(0x88, b"\x03", KEY)), E::HalfCloseCode);
    assert_eq!(broken(&frame(0x81, b"\xff", KEY)), E::BadUtf8);
    assert_eq!(broken(&frame(0x88, b"\x03\xe8\xff", KEY)), E::BadUtf8);
}

#[test]
fn only_bad_text_is_answered_with_1007() {
    assert_eq!(ProtocolError::BadUtf8.close_code(), 1007);
    for error in [
        ProtocolError::ReservedBits,
        ProtocolError::PaddedLength(1),
        ProtocolError::LongControl,
        ProtocolError::BadCloseCode(1005),
    ] {
        assert_eq!(error.close_code(), 1002, "{error}");
    }
}

#[test]
fn closes_are_read_with_and_without_code() {
    assert_eq!(good(&frame(0x88, b"", KEY)), [Told::Close(None)]);
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        let payload = [&u16::to_be_bytes(code)[..], "gr\u{fc}ezi".as_bytes()].concat();
        let told = good(&frame(0x88, &payload, KEY));
        assert_eq!(told, [Told::Close(Some(code))]);
    }
}

#[test]
fn close_codes_that_may_not_be_sent_are_refused() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let bytes = frame(0x88, &u16::to_be_bytes(code), KEY);
        assert_eq!(broken(&bytes), ProtocolError::BadCloseCode(code));
    }
}

#[test]
fn a_control_frame_of_125_bytes_is_whole() {
    let payload: Vec<u8> = (0..125).collect();
    assert_eq!(good(&frame(0x89, &payload, KEY)), [Told::Ping(payload)]);
}

#[test]
fn a_short_message_that_is_here_as_a_whole_is_one_event() {
    let whole = |opcode, size| {
        let mut bytes = [frame(opcode, &vec![b'x'; size], KEY), vec![0x81]].concat();
        let (mut decoder, mut at) = (Decoder::default(), 0);
        match decoder.next(&mut bytes, &mut at) {
            Ok(Event::Message { text, payload }) => Some((text, bytes[payload].to_vec(), at)),
            _ => None,
        }
    };
    for size in [0, 1, 125] {
        let payload = vec![b'x'; size];
        assert_eq!(whole(0x81, size), Some((true, payload.clone(), 6 + size)));
        assert_eq!(whole(0x82, size), Some((false, payload, 6 + size)));
        // A fragment; a ping.
        assert_eq!(whole(0x01, size), None);
        assert_eq!(whole(0x89, size), None);
    }
    assert_eq!(whole(0x81, 126), None);
}

#[test]
fn the_mask_goes_on_across_every_cut() {
    let payload: Vec<u8> = (0..=255).collect();
    let bytes = frame(0x82, &payload, [0xde, 0xad, 0xbe, 0xef]);
    let whole = good(&bytes);
    for first in 1..bytes.len() {
        let mut decoder = Decoder::default();
        let mut read = Vec::new();
        for part in [&bytes[..first], &bytes[first..]] {
            let (mut part, mut at) = (part.to_vec(), 0);
            while let Ok(event) = decoder.next(&mut part, &mut at) {
                match event {
                    Event::Message { payload: range, .. } | Event::Payload(range) => {
                        read.extend_from_slice(&part[range]);
                    }
                    Event::Starved => break,
                    _ => {}
                }
            }
        }
        assert_eq!(Told::Payload(read), whole[1], "cut at {first}");
    }
}

#[test]
fn text_fails_at_its_first_bad_byte() {
    // Not the end of the frame: Autobahn 6.4 wants it at once (section 8.1).
    for (text, bad) in [
        (&b"ok\x80 and so on"[..], 2),
        (b"\xc0\xaf overlong", 0),
        (b"\xe0\x80\x80 overlong", 1),
        (b"\xed\xa0\x80 surrogate", 1),
        (b"\xf4\x90\x80\x80 beyond", 1),
        (b"\xf5 beyond", 0),
        (b"\xe2\x82 cut short", 2),
    ] {
        let bytes = frame(0x01, text, KEY);
        let header = bytes.len() - text.len();
        assert_eq!(decode(&bytes[..header + bad]).1, None, "{text:x?}");
        let found = decode(&bytes[..=header + bad]).1;
        assert_eq!(found, Some(ProtocolError::BadUtf8), "{text:x?}");
    }
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_by_the_end() {
    let euro = "\u{20ac}\u{1f600}".as_bytes();
    for cut in 1..euro.len() {
        let first = frame(0x01, &euro[..cut], KEY);
        let rest = frame(0x80, &euro[cut..], KEY);
        let told = good(&[first.clone(), frame(0x89, b"", KEY), rest].concat());
        assert_eq!(told.last(), Some(&Told::End), "cut at {cut}");
        if cut != 3 {
            let end = [first, frame(0x80, b"", KEY)].concat();
            assert_eq!(broken(&end), ProtocolError::BadUtf8, "ends at {cut}");
        }
    }
    let binary = frame(0x82, &euro[..2], KEY);
    assert_eq!(good(&binary).last(), Some(&Told::End));
}
