//! MD5-crypt, the form `$1$SALT$HASH` of crypt(5), by which many routers still store passwords.
//!
//! Poul-Henning Kamp's scheme: no crate of it is kept, and it is short.

use md5::{Digest, Md5};

/// Digits of crypt(3)'s base64, the least significant six bits first.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The order in which the bytes of the digest are written.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
/// Longest salt, in bytes.
const MAX_SALT: usize = 8;
const ROUNDS: usize = 1000;

/// The hash of a password, 22 digits.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> String {
    let salt = &salt[..salt.len().min(MAX_SALT)];
    let inner = Md5::new_with_prefix([password, salt, password].concat()).finalize();
    let mut first = Md5::new_with_prefix([password, b"$1$", salt].concat());
    let mut left = password.len();
    while left > 0 {
        first.update(&inner[..left.min(inner.len())]);
        left = left.saturating_sub(inner.len());
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(match bits & 1 {
            1 => &[0][..],
            _ => &password[..1],
        });
        bits >>= 1;
    }
    let mut digest: [u8; 16] = first.finalize().into();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        let is_odd = round & 1 == 1;
        next.update(if is_odd { password } else { &digest });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if is_odd { &digest } else { password });
        digest = next.finalize().into();
    }
    encode(&digest)
}

fn encode(digest: &[u8; 16]) -> String {
    let mut text = String::with_capacity(22);
    let mut push = |mut bits: u32, digits: usize| {
        for _ in 0..digits {
            text.push(char::from(DIGITS[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        let [high, middle, low] = [high, middle, low].map(|place| u32::from(digest[place]));
        push(high << 16 | middle << 8 | low, 4);
    }
    push(u32::from(digest[11]), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_openssl_passwd() {
        // `openssl passwd -1 -salt SALT PASSWORD`
        for (password, salt, wanted) in [
            ("test", "abcdefgh", "irWbblnpmw.5z7wgBnprh0"),
            ("", "x", "fwjfZtMwarkdetsjiQreU1"),
            (
                "a password of more than sixteen bytes",
                "12345678",
                "wvzuBsVyUF4J/aMZRnJt.1",
            ),
            ("0123456789abcdef", "s", "s4GxODGyIRXlp2tPq4Rql."),
            ("p", "abc./XYZ", "W3K25G2G/mV/JT/qUhK7S1"),
        ] {
            assert_eq!(hash(password.as_bytes(), salt.as_bytes()), wanted);
        }
    }
}
