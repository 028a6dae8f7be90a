//! Running: recognises pongs without decoding them.

use super::{MAX_CONTROL_PAYLOAD, SHORT_HEADER};

/// First byte of a pong (RFC 6455, section 5.2).
const PONG: u8 = 0x8a;

/// Whether a client's bytes are whole pongs and nothing else. They may begin only where a frame
/// does.
pub(crate) fn are_pongs(mut bytes: &[u8]) -> bool {
    while let &[PONG, length, ..] = bytes {
        let length = match length.checked_sub(0x80) {
            Some(length) if usize::from(length) <= MAX_CONTROL_PAYLOAD => usize::from(length),
            _ => return false,
        };
        match bytes.get(SHORT_HEADER + length..) {
            Some([]) => return true,
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_masked_pongs_are_pongs() {
        let pong = [0x8a, 0x83, 1, 2, 3, 4, b'a', b'b', b'c'];
        assert!(are_pongs(&pong));
        assert!(are_pongs(&[&pong[..], &[0x8a, 0x80, 1, 2, 3, 4]].concat()));
        for end in 0..pong.len() {
            assert!(!are_pongs(&pong[..end]), "{end} bytes");
            assert!(!are_pongs(&[&pong[..], &pong[..end]].concat()) || end == 0);
        }
        assert!(!are_pongs(&[0x8a, 0x00]), "not masked");
        assert!(!are_pongs(&[0x89, 0x80, 1, 2, 3, 4]), "a ping");
        assert!(!are_pongs(&[0x0a, 0x80, 1, 2, 3, 4]), "a fragment");
        let long = [&[0x8a, 0xfe, 0, 126][..], &[0; 4 + 126]].concat();
        assert!(!are_pongs(&long), "too long");
    }
}
