//! Frames on the wire, written by hand (RFC 6455, section 5.2).

/// Opcodes (RFC 6455, section 11.8).
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// The bit that ends a message.
pub(crate) const FIN: u8 = 0x80;

/// The masking key of every frame sent here; no byte of it is zero and no two are alike, so a wrong
/// phase shows.
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The head of a client's frame: `first` byte, then the masked length, the key.
pub(crate) fn head(first: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes
}

/// A whole client's frame with `first` as its first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len());
    bytes.extend(masked(payload));
    bytes
}

/// A whole message in one frame.
pub(crate) fn message(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(FIN | opcode, payload)
}

/// A Close frame with a code and no reason.
pub(crate) fn close(code: u16) -> Vec<u8> {
    frame(FIN | CLOSE, &code.to_be_bytes())
}

/// `payload` under `KEY`.
pub(crate) fn masked(payload: &[u8]) -> Vec<u8> {
    payload
        .iter()
        .zip(KEY.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect()
}

/// `count` bytes that look random and are always the same (xorshift).
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    let mut bytes: Vec<u8> = (0..count.div_ceil(8))
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    bytes.truncate(count);
    bytes
}

/// A small generator of numbers: the same in every run.
pub(crate) struct Random(u64);

impl Random {
    /// One for this seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn the_examples_of_rfc_6455_section_5_7_are_written_so() {
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(message(TEXT, b"Hello"), hello);
    assert_eq!(&head(FIN | BINARY, 256)[..4], [0x82, 0xfe, 0x01, 0x00]);
    assert_eq!(
        &head(FIN | BINARY, 65536)[..10],
        [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]
    );
}
