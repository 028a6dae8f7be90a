//! Running: headers of frames to the client.

use tungstenite::protocol::frame::FrameHeader;

use super::{MAX_HEADER, OpCode};

/// The header of a frame to the client, which is never masked (section 5.1).
pub struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Header {
    /// The header's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Makes the header of a frame of `length` payload bytes to the client.
pub fn header(opcode: OpCode, last: bool, length: usize) -> Header {
    let mut bytes = [0; MAX_HEADER];
    // The two-byte header that most frames have (section 5.2).
    if last && let Ok(short @ 0..=125) = u8::try_from(length) {
        bytes[..2].copy_from_slice(&[0x80 | u8::from(opcode), short]);
        return Header { bytes, len: 2 };
    }
    let header = FrameHeader {
        is_final: last,
        opcode,
        ..FrameHeader::default()
    };
    let mut rest = &mut bytes[..];
    header
        .format(length as u64, &mut rest)
        .expect("14 bytes hold every header");
    let len = MAX_HEADER - rest.len();
    Header { bytes, len }
}
