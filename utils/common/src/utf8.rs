//! Checks text that arrives in pieces for UTF-8 (RFC 6455, section 8.1).

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
        let Err(error) = core::str::from_utf8(bytes) else {
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
