//! Masking (RFC 6455, section 5.3).

/// Bytes of a step while many are left.
const BLOCK: usize = 32;

/// Masks or unmasks `bytes` in place and turns `key` for the byte that follows them, so that a
/// payload may come in pieces.
pub fn unmask(bytes: &mut [u8], key: &mut [u8; 4]) {
    let wide = u64::from(u32::from_ne_bytes(*key)) * 0x1_0000_0001;
    let turned = u32::from_be_bytes(*key).rotate_left(bytes.len() as u32 % 4 * 8);
    let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
    for block in blocks {
        // Written out: a build for size would leave it a loop.
        if let ([a, b, c, d], _) = block.as_chunks_mut() {
            unmask_word(a, wide);
            unmask_word(b, wide);
            unmask_word(c, wide);
            unmask_word(d, wide);
        }
    }
    let (words, rest) = rest.as_chunks_mut();
    for word in words {
        unmask_word(word, wide);
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
    *key = turned.to_be_bytes();
}

fn unmask_word(word: &mut [u8; 8], wide: u64) {
    *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masked_hello_of_the_rfc_is_read() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut payload, &mut [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn unmasking_is_the_same_in_any_pieces() {
        let mask = [1, 2, 3, 4];
        let plain: [u8; 200] = core::array::from_fn(|at| at as u8);
        let masked: [u8; 200] = core::array::from_fn(|at| plain[at] ^ mask[at % 4]);
        for cut in 0..200 {
            let (mut bytes, mut key) = (masked, mask);
            let (left, right) = bytes.split_at_mut(cut);
            unmask(left, &mut key);
            unmask(right, &mut key);
            assert_eq!(bytes, plain, "cut at {cut}");
        }
    }
}
