//! Frames and the opening handshake, as little of them as a load needs.
//!
//! The relay and the load client share this; neither checks what a gateway must check, which is the
//! point of a roofline.

use std::io::{self, Read, Write};

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

/// Largest frame header: two bytes, a 64-bit length, a masking key (RFC 6455, section 5.2).
pub const MAX_HEADER: usize = 14;
/// Largest request or response head either side sends here, in bytes.
const MAX_HEAD: usize = 4096;
/// Appended to the key before hashing (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The client's masking key: a fixed one, because only its cost matters.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Opcodes (RFC 6455, section 5.2).
pub const TEXT: u8 = 1;
/// Opcode of a binary message.
pub const BINARY: u8 = 2;
/// Opcode of the close handshake.
pub const CLOSE: u8 = 8;

/// The parts of a frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What kind of frame follows.
    pub opcode: u8,
    /// Masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// Length of the payload, in bytes.
    pub payload: u64,
    /// Length of the header itself, in bytes.
    pub size: usize,
}

impl Header {
    /// Reads a header from the front of `bytes`; `None` while it is incomplete.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (payload, mut size) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10),
            short => (u64::from(short), 2),
        };
        let mask = if second & 0x80 != 0 {
            size += 4;
            Some(*bytes.get(size - 4..)?.first_chunk()?)
        } else {
            None
        };
        Some(Header {
            opcode: first & 0x0f,
            mask,
            payload,
            size,
        })
    }
}

/// Writes the header of an unmasked final frame so that it ends where `room` ends.
///
/// Returns where in `room` it begins.
pub fn put_header(room: &mut [u8], opcode: u8, payload: usize) -> usize {
    let end = room.len();
    let start = match payload {
        0..=125 => {
            room[end - 1] = payload as u8;
            end - 2
        }
        126..=0xffff => {
            room[end - 3] = 126;
            room[end - 2..].copy_from_slice(&(payload as u16).to_be_bytes());
            end - 4
        }
        _ => {
            room[end - 9] = 127;
            room[end - 8..].copy_from_slice(&(payload as u64).to_be_bytes());
            end - 10
        }
    };
    room[start] = 0x80 | opcode;
    start
}

/// Applies the masking key to `payload`, whose first byte is number `offset` of its frame.
pub fn unmask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let key: [u8; 4] = std::array::from_fn(|i| key[(offset + i) % 4]);
    let half = u32::from_ne_bytes(key);
    let wide = u64::from(half) << 32 | u64::from(half);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// A masked final frame as a client sends it.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut room = [0; MAX_HEADER];
    let start = put_header(&mut room, opcode, payload.len());
    let mut frame = room[start..].to_vec();
    frame[1] |= 0x80;
    frame.extend_from_slice(&MASK);
    let begin = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[begin..], MASK, 0);
    frame
}

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455, section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    BASE64.encode(&digest)
}

/// The client's opening handshake on a fresh connection.
pub fn connect(stream: &mut (impl Read + Write), path: &str) -> io::Result<()> {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let head = read_head(stream)?;
    let accepted = head.starts_with("HTTP/1.1 101 ")
        && header_value(&head, "sec-websocket-accept") == Some(&accept_key(KEY));
    if accepted {
        Ok(())
    } else {
        let first = head.lines().next().unwrap_or_default();
        Err(io::Error::other(format!(
            "{path} was not upgraded: {first}"
        )))
    }
}

/// Reads up to the empty line that ends a head; the peer sends nothing after it yet.
pub fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        let n = stream.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..n]);
        if n == 0 || head.len() > MAX_HEAD {
            return Err(io::Error::other("the peer's head does not end"));
        }
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// The value of a header in a head, by its lower-case name.
pub fn header_value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_matches_the_example_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn hello_is_masked_as_in_the_rfc() {
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(client_frame(TEXT, b"Hello"), hello);
    }

    #[test]
    fn headers_of_every_size_are_read_back() {
        for payload in [0, 125, 126, 0xffff, 0x10000] {
            let frame = client_frame(BINARY, &vec![7; payload]);
            let header = Header::parse(&frame).expect("complete");
            assert_eq!((header.payload, header.mask), (payload as u64, Some(MASK)));
            assert_eq!(header.size + payload, frame.len());
            assert_eq!(Header::parse(&frame[..header.size - 1]), None);
        }
    }

    #[test]
    fn unmasking_in_parts_equals_unmasking_at_once() {
        let mut whole = *b"a payload of some length, odd";
        let mut parts = whole;
        unmask(&mut whole, MASK, 0);
        for (i, byte) in parts.chunks_mut(5).enumerate() {
            unmask(byte, MASK, i * 5);
        }
        assert_eq!(whole, parts);
    }
}
