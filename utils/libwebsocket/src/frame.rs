//! Frame headers on the wire, masking, and what a client may break (RFC 6455, sections 5.2 to 5.5
//! and 7.4).

use common::ProtocolError;

/// Longest header of a client's frame: 2 bytes, 8 of length, 4 of masking key.
pub const MAX_HEADER: usize = 14;
/// Shortest header of a client's frame: 2 bytes and the masking key.
pub const MIN_HEADER: usize = 6;
/// Longest header of a server's frame, which has no masking key.
pub const MAX_SERVER_HEADER: usize = 10;
/// Longest control-frame payload, in bytes (RFC 6455, section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// The FIN bit of a frame's first byte.
pub const FIN: u8 = 0x80;

/// What a frame is (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Continues the open message.
    Continuation = 0,
    /// Begins a text message.
    Text = 1,
    /// Begins a binary message.
    Binary = 2,
    /// Ends the connection.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

impl Opcode {
    /// The opcode of these four bits; None if they are reserved.
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Close, ping and pong may stand between fragments.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Last frame of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// Length of the payload, in bytes.
    pub len: u64,
    /// The masking key.
    pub mask: [u8; 4],
}

impl Header {
    /// The length of the header that starts with these two bytes.
    ///
    /// # Errors
    /// The rule that the two bytes break, so that a bad frame is refused at once.
    pub fn length_of(start: [u8; 2]) -> Result<usize, ProtocolError> {
        let [first, second] = start;
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode =
            Opcode::from_bits(first & 0x0f).ok_or(ProtocolError::ReservedOpcode(first & 0x0f))?;
        if second & 0x80 == 0 {
            return Err(ProtocolError::Unmasked);
        }
        if opcode.is_control() && first & FIN == 0 {
            return Err(ProtocolError::FragmentedControl);
        }
        match second & 0x7f {
            126 | 127 if opcode.is_control() => Err(ProtocolError::LongControl),
            126 => Ok(8),
            127 => Ok(MAX_HEADER),
            _ => Ok(MIN_HEADER),
        }
    }

    /// Reads a whole header, of the length that [`Header::length_of`] returns.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse(bytes: &[u8; MAX_HEADER]) -> Result<Self, ProtocolError> {
        let [first, second, rest @ ..] = bytes;
        let size = Header::length_of([*first, *second])?;
        let len = match size {
            8 => u64::from(u16::from_be_bytes([rest[0], rest[1]])),
            MAX_HEADER => rest[..8]
                .iter()
                .fold(0, |len, byte| len << 8 | u64::from(*byte)),
            _ => u64::from(second & 0x7f),
        };
        let shortest = match len {
            0..=125 => MIN_HEADER,
            126..=0xffff => 8,
            _ => MAX_HEADER,
        };
        if len >> 63 != 0 {
            return Err(ProtocolError::LengthOverflow(len));
        }
        if size != shortest {
            return Err(ProtocolError::PaddedLength(len));
        }
        let key = &rest[size - 6..];
        Ok(Header {
            fin: first & FIN != 0,
            opcode: Opcode::from_bits(first & 0x0f)
                .ok_or(ProtocolError::ReservedOpcode(first & 0x0f))?,
            len,
            mask: [key[0], key[1], key[2], key[3]],
        })
    }
}

/// Writes the header of a server's frame; returns its length.
pub fn write_header(first: u8, len: u64, out: &mut [u8; MAX_SERVER_HEADER]) -> usize {
    out[0] = first;
    match len {
        0..=125 => {
            out[1] = len as u8;
            2
        }
        126..=0xffff => {
            out[1] = 126;
            out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            out[1] = 127;
            out[2..10].copy_from_slice(&len.to_be_bytes());
            10
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::unmask;

    fn header(bytes: &[u8]) -> Result<Header, ProtocolError> {
        let mut padded = [0; MAX_HEADER];
        padded[..bytes.len()].copy_from_slice(bytes);
        Header::parse(&padded)
    }

    #[test]
    fn the_masked_hello_of_the_rfc_is_read() {
        let bytes = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(Header::length_of([bytes[0], bytes[1]]), Ok(6));
        let header = header(&bytes[..6]).expect("a good header");
        assert_eq!(
            (header.fin, header.opcode, header.len),
            (true, Opcode::Text, 5)
        );
        let mut payload = [0; 5];
        payload.copy_from_slice(&bytes[6..]);
        unmask(&mut payload, &mut { header.mask });
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn headers_that_break_a_rule_name_it() {
        assert_eq!(
            Header::length_of([0xc1, 0x80]),
            Err(ProtocolError::ReservedBits)
        );
        assert_eq!(
            Header::length_of([0x83, 0x80]),
            Err(ProtocolError::ReservedOpcode(3))
        );
        assert_eq!(
            Header::length_of([0x81, 0x05]),
            Err(ProtocolError::Unmasked)
        );
        assert_eq!(
            Header::length_of([0x09, 0x80]),
            Err(ProtocolError::FragmentedControl)
        );
        assert_eq!(
            Header::length_of([0x89, 0xfe]),
            Err(ProtocolError::LongControl)
        );
        assert_eq!(
            header(&[0x82, 0xfe, 0, 125]),
            Err(ProtocolError::PaddedLength(125))
        );
        assert_eq!(
            header(&[0x82, 0xff, 0x80]),
            Err(ProtocolError::LengthOverflow(1 << 63))
        );
        assert_eq!(
            header(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            Err(ProtocolError::PaddedLength(0xffff))
        );
    }

    #[test]
    fn each_length_has_its_shortest_header() {
        for (len, bytes) in [
            (125, &[0x82, 125][..]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = [0; MAX_SERVER_HEADER];
            let size = write_header(0x82, len, &mut out);
            assert_eq!(&out[..size], bytes);
        }
    }
}
