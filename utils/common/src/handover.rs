//! What the gateway says of a client that it hands over, behind the client's address.
//!
//! The data of a hand-over is a `sockaddr_in` or a `sockaddr_in6`, and that is all of it where
//! there is nothing to say. Else [`MARK`] follows, and TLVs as in the PROXY protocol
//! ([`split_tlv`]), of the same types where that has one. The library of the C gateway takes the
//! address and closes the connection, and so passes over the rest.

use crate::proxy::split_tlv;

/// Begins the TLVs: two letters and the version of the format.
pub const MARK: [u8; 3] = *b"WS\x01";

/// Most bytes of the mark and the TLVs together. A hand-over must fit into one packet, which a
/// receiver takes from its stack.
pub const MAX: usize = 4096;

/// TLV of the type of the messages to the client: one byte, a [`FrameType`](crate::MessageType).
pub const MESSAGE_TYPE: u8 = 0xe7;

/// Length of a `sockaddr_in`, in bytes.
const SIZE_V4: usize = 16;

/// Length of a `sockaddr_in6`, in bytes.
const SIZE_V6: usize = 28;

/// Most bytes of a hand-over.
pub const MAX_DATA: usize = SIZE_V6 + MAX;

/// Bytes that show whether a message is a hand-over.
pub const SHOWN: usize = SIZE_V6 + MARK.len();

/// The length of the address that data begins with, whose family is `inet` or `inet6`; `None` if it
/// is not that of a hand-over. The first [`SHOWN`] bytes are enough.
pub fn address_len(data: &[u8], inet: u16, inet6: u16) -> Option<usize> {
    let family = u16::from_ne_bytes(*data.first_chunk()?);
    let size = match family {
        _ if family == inet => SIZE_V4,
        _ if family == inet6 => SIZE_V6,
        _ => return None,
    };
    let rest = data.get(size..)?;
    (rest.is_empty() || rest.starts_with(&MARK)).then_some(size)
}

/// The TLVs in what follows the address, up to one that is cut: types and values.
pub fn fields(behind: &[u8]) -> impl Iterator<Item = (u8, &[u8])> + Clone {
    let mut rest = behind.strip_prefix(&MARK).unwrap_or_default();
    core::iter::from_fn(move || {
        let (kind, value, next) = split_tlv(rest)?;
        rest = next;
        Some((kind, value))
    })
}

/// The value of the first TLV of a type in what follows the address.
pub fn find(behind: &[u8], wanted: u8) -> Option<&[u8]> {
    let (_, value) = fields(behind).find(|(kind, _)| *kind == wanted)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AF_INET and AF_INET6 of Linux.
    const FAMILIES: (u16, u16) = (2, 10);

    fn len(data: &[u8]) -> Option<usize> {
        address_len(data, FAMILIES.0, FAMILIES.1)
    }

    #[test]
    fn an_address_alone_or_with_the_mark_behind_it_is_a_hand_over() {
        for (family, size) in [(FAMILIES.0, 16), (FAMILIES.1, 28)] {
            let mut data = [0; 40];
            data[..2].copy_from_slice(&family.to_ne_bytes());
            assert_eq!(len(&data[..size]), Some(size));
            assert_eq!(len(&data[..size - 1]), None, "too short");
            assert_eq!(len(&data[..size + 3]), None, "no mark");
            data[size..size + 3].copy_from_slice(&MARK);
            assert_eq!(len(&data), Some(size));
        }
        assert_eq!(len(b"hello, world 123"), None);
        assert_eq!(len(&[]), None);
    }

    #[test]
    fn a_tlv_is_found_behind_others_of_any_type() {
        let block = *b"WS\x01\x77\0\x02??\xe7\0\x01\x02\xe7\0\x01\x03";
        assert_eq!(find(&block, MESSAGE_TYPE), Some(&[2][..]));
        assert_eq!(find(&block, 0xe3), None);
        assert_eq!(find(&block[..9], MESSAGE_TYPE), None, "cut");
        assert_eq!(
            find(b"WS\x02\xe7\0\x01\x02", MESSAGE_TYPE),
            None,
            "another version"
        );
        assert_eq!(find(&[], MESSAGE_TYPE), None);
    }
}
