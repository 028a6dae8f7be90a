//! Checks text that arrives in pieces for UTF-8 (RFC 6455, section 8.1).

use core::str::Utf8Error;

/// The bits that no byte of ASCII has.
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Checks a whole text as [`core::str::from_utf8`] does, in fewer instructions if it is ASCII, as
/// most is.
///
/// # Errors
/// Where the text is not UTF-8, or ends within a character.
pub fn check_utf8(bytes: &[u8]) -> Result<(), Utf8Error> {
    match is_ascii(bytes) {
        true => Ok(()),
        false => core::str::from_utf8(bytes).map(drop),
    }
}

/// Whether all bytes are ASCII; false for fewer than 8. That of core takes five times as many
/// instructions in a build for size.
fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return false;
    };
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut all = word(last);
    for block in blocks {
        if let ([a, b, c, d], _) = block.as_chunks() {
            all |= word(a) | word(b) | word(c) | word(d);
        }
        if all & HIGH_BITS != 0 {
            return false;
        }
    }
    for bytes in rest.as_chunks().0 {
        all |= word(bytes);
    }
    all & HIGH_BITS == 0
}

/// Checks a text piece by piece; a character may be cut anywhere.
#[derive(Debug, Default, Clone, Copy)]
pub struct Utf8 {
    /// The first bytes of a character whose rest has not come yet.
    cut: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// The start of a text.
    pub const fn new() -> Self {
        Utf8 {
            cut: [0; 4],
            len: 0,
        }
    }

    /// Takes the next bytes; false as soon as the text cannot be UTF-8.
    #[must_use]
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&first, rest)) = bytes.split_first() else {
                return true;
            };
            self.cut[self.len] = first;
            self.len += 1;
            bytes = rest;
            match core::str::from_utf8(&self.cut[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = check_utf8(bytes) else {
            return true;
        };
        if error.error_len().is_some() {
            return false;
        }
        let cut = &bytes[error.valid_up_to()..];
        self.cut[..cut.len()].copy_from_slice(cut);
        self.len = cut.len();
        true
    }

    /// Whether the text may end here: no character is cut.
    pub fn is_whole(&self) -> bool {
        self.len == 0
    }

    /// Bytes of a character whose rest has not come yet, 0 to 3.
    pub fn unfinished(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_checked_as_core_does_wherever_its_only_bad_byte_is() {
        for length in 0..100 {
            let mut text = [b'x'; 100];
            assert_eq!(check_utf8(&text[..length]), Ok(()));
            for at in 0..length {
                for (byte, good) in [(0x7f, true), (0x80, false), (0xff, false)] {
                    text[at] = byte;
                    let checked = check_utf8(&text[..length]);
                    assert_eq!(checked.is_ok(), good, "{byte:#x} at {at} of {length}");
                    let core = core::str::from_utf8(&text[..length]).map(drop);
                    assert_eq!(checked, core);
                }
                text[at] = b'x';
            }
        }
    }

    #[test]
    fn text_is_valid_wherever_it_is_cut() {
        let text = "h\u{e9}llo \u{20ac} \u{1f600}".as_bytes();
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::new();
            assert!(utf8.push(&text[..cut]) && utf8.push(&text[cut..]));
            assert_eq!(utf8.unfinished(), 0);
        }
        let mut utf8 = Utf8::new();
        assert!(text.iter().all(|byte| utf8.push(&[*byte])));
    }

    #[test]
    fn an_unfinished_character_is_counted() {
        let mut utf8 = Utf8::new();
        assert!(utf8.push(&[b'a', 0xe2, 0x82]));
        assert_eq!(utf8.unfinished(), 2);
    }

    #[test]
    fn the_first_impossible_byte_fails() {
        // Beyond U+10FFFF: known at the second byte (Autobahn 6.4).
        let mut utf8 = Utf8::new();
        assert!(utf8.push(&[0xf4]));
        assert!(!utf8.push(&[0x90]));
        // A surrogate and an overlong form.
        assert!(!Utf8::new().push(&[0xed, 0xa0]));
        assert!(!Utf8::new().push(&[0xc0, 0xaf]));
    }
}
