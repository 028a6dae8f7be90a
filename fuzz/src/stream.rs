//! Frames of any kind and length, in a few bytes of input.

use libwebsocket::ahead::LONGEST;
use libwebsocket::frame;

/// Longest payload that is made; a frame that says it has more is cut off by the end.
const MOST: u64 = LONGEST as u64 + 5000;
/// Lengths at which something changes, and some that do not fit 32 bits or are bad.
const LENGTHS: [u64; 12] = [
    126,
    127,
    1000,
    0xffff,
    0x10000,
    LONGEST as u64 - 20,
    LONGEST as u64,
    LONGEST as u64 + 1,
    MOST,
    1 << 32,
    u64::MAX >> 1,
    u64::MAX,
];
/// Mostly what may come next, at times what may not.
const OPCODES: [u8; 16] = [0, 0, 0, 0, 1, 1, 2, 2, 8, 9, 9, 9, 10, 0, 2, 3];

/// The client's stream: three bytes are a frame. And where payloads begin, with FIN.
pub fn stream(list: &[u8]) -> (Vec<u8>, Vec<(usize, bool)>) {
    let mut wire = Vec::new();
    let mut frames = Vec::new();
    for part in list.chunks_exact(3) {
        let &[first, length, key] = part else { break };
        let opcode = OPCODES[usize::from(first & 15)];
        let reserved = if first & 0x70 == 0x70 { 0x40 } else { 0 };
        let mut len = match usize::from(length).checked_sub(256 - LENGTHS.len()) {
            Some(at) => LENGTHS[at],
            None => u64::from(length),
        };
        if opcode >= 8 && length != 244 {
            len = len.min(125);
        }
        let mask = [key, 0x5a, key.wrapping_mul(3), 1];
        let masked = if key == 0xee { 0 } else { 0x80 };
        wire.push(first & frame::FIN | reserved | opcode);
        match len {
            0..=125 => wire.push(masked | len as u8),
            126..=0xffff => {
                wire.push(masked | 126);
                wire.extend((len as u16).to_be_bytes());
            }
            _ => {
                wire.push(masked | 127);
                wire.extend(len.to_be_bytes());
            }
        }
        wire.extend(mask);
        let start = wire.len();
        frames.push((start, first & frame::FIN != 0));
        let mut payload: Vec<u8> = (0..len.min(MOST))
            .map(|at| ((start as u64 + at * 7) & 0x7f) as u8)
            .collect();
        match &mut payload[..] {
            [high, low, ..] if opcode == 8 => [*high, *low] = [0x03, 0xe8],
            [.., last] if key & 0x80 != 0 => *last = 0xff,
            _ => {}
        }
        common::unmask(&mut payload, &mut { mask });
        wire.extend(payload);
        if len > MOST || wire.len() > 4 * LONGEST {
            break;
        }
    }
    (wire, frames)
}
