//! Running: UTF-8 (RFC 3629) in pieces, as text frames carry it.

/// Checks UTF-8 in pieces; fails at the first byte that cannot belong to it.
#[derive(Default, Clone, Copy)]
pub(super) struct Utf8 {
    /// The bytes of a character that has begun.
    cut: [u8; 4],
    cut_len: usize,
}

impl Utf8 {
    /// Takes the next piece; false if the text is not UTF-8.
    #[must_use]
    pub(super) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.cut_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return true;
            };
            piece = rest;
            self.cut[self.cut_len] = byte;
            self.cut_len += 1;
            match std::str::from_utf8(&self.cut[..self.cut_len]) {
                Ok(_) => self.cut_len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let cut = &piece[error.valid_up_to()..];
                self.cut[..cut.len()].copy_from_slice(cut);
                self.cut_len = cut.len();
                true
            }
        }
    }

    /// Whether the text may end here: no character is cut.
    pub(super) fn is_whole(&self) -> bool {
        self.cut_len == 0
    }
}
