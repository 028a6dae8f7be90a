//! Masking (RFC 6455, section 5.3).

/// Masks or unmasks `bytes` in place and turns `key` for the byte that follows them, so that a
/// payload may come in pieces.
pub fn unmask(bytes: &mut [u8], key: &mut [u8; 4]) {
    let [a, b, c, d] = *key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (index, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
    key.rotate_left(bytes.len() % 4);
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
        let plain: [u8; 100] = core::array::from_fn(|at| at as u8);
        let masked: [u8; 100] = core::array::from_fn(|at| plain[at] ^ mask[at % 4]);
        for cut in 0..100 {
            let (mut bytes, mut key) = (masked, mask);
            let (left, right) = bytes.split_at_mut(cut);
            unmask(left, &mut key);
            unmask(right, &mut key);
            assert_eq!(bytes, plain, "cut at {cut}");
        }
    }
}
