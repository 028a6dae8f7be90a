//! Tokens that mean nothing by themselves, from a file: each lets in one user.

use std::path::Path;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::UsersError;
use super::file::{self, groups};
use super::is_in_one_of;

/// Shortest token, in bytes: nobody can guess a random one of that length.
const MIN_TOKEN: usize = 16;
/// What a line is.
const FORM: &str = "TOKEN:USER:GROUPS";

/// Digests of tokens, each with its user and groups.
pub struct Tokens(Vec<([u8; 32], String, Vec<String>)>);

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong; says which.
    pub(super) fn load(path: &Path) -> Result<Self, UsersError> {
        Self::parse(path, &file::read_text(path)?)
    }

    /// Reads the text of a file: lines `TOKEN:USER:GROUPS`, the last of which may be missing; the
    /// token may be `$a5$` and the base64 of its SHA-256. Empty lines and those that begin with `#`
    /// mean nothing.
    ///
    /// # Errors
    /// Which line is wrong, and why.
    pub fn parse(path: &Path, text: &str) -> Result<Self, UsersError> {
        let mut tokens: Vec<([u8; 32], String, Vec<String>)> = Vec::new();
        for (number, line) in file::lines(text) {
            let wrong = |why| UsersError::BadLine(path.to_owned(), number, why, FORM);
            let mut fields = line.split(':');
            let digest = digest(fields.next().unwrap_or_default()).map_err(wrong)?;
            let user = fields.next().unwrap_or_default();
            if user.is_empty() {
                return Err(wrong("no user"));
            }
            if tokens.iter().any(|(own, ..)| *own == digest) {
                return Err(wrong("the same token again"));
            }
            let groups = groups(fields.next().unwrap_or_default());
            tokens.push((digest, user.to_owned(), groups));
        }
        Ok(Self(tokens))
    }

    /// Whether one of the users is in one of these groups, if there are any.
    pub(super) fn has_one_in(&self, groups: &[String]) -> bool {
        self.0.iter().any(|(_, _, own)| is_in_one_of(own, groups))
    }

    /// The user of a token and the user's groups, in a time that does not depend on the token.
    pub fn find(&self, token: &str) -> Option<(String, Vec<String>)> {
        let digest = Sha256::digest(token.as_bytes());
        let mut found = None;
        for (own, user, groups) in &self.0 {
            if bool::from(own[..].ct_eq(&digest[..])) {
                found = Some((user, groups));
            }
        }
        found.map(|(user, groups)| (user.clone(), groups.clone()))
    }
}

/// Whether this is a token by RFC 6750, section 2.1 (`b64token`).
pub fn is_token(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !digits.is_empty() && digits.bytes().all(is_digit)
}

fn digest(token: &str) -> Result<[u8; 32], &'static str> {
    if let Some(digits) = token.strip_prefix("$a5$") {
        let digest = BASE64.decode(digits.as_bytes()).unwrap_or_default();
        return digest.try_into().map_err(|_| "a damaged $a5$ token");
    }
    if token.len() < MIN_TOKEN {
        return Err("a token of less than 16 characters");
    }
    match is_token(token) {
        true => Ok(Sha256::digest(token.as_bytes()).into()),
        false => Err("a token of other characters than letters, digits and -._~+/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens, String> {
        let scratch = crate::system::beneath::tests::Scratch::new();
        let path = scratch.0.join("tokens");
        std::fs::write(&path, text).expect("a file");
        Tokens::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_lets_in_its_user() {
        // The second is `printf 'second-token-here' | openssl dgst -sha256 -binary | base64`.
        let text = "# tokens\n\nfirst-token-here:anna:staff, root\r\n\
                    $a5$JHsTnZJIwRxXT4YD90MmT041VhGRyxveju0XzvAZiWA=:bert\n";
        let tokens = tokens(text).expect("it is good");
        let groups = vec!["staff".to_owned(), "root".to_owned()];
        let found = tokens.find("first-token-here");
        assert_eq!(found, Some(("anna".to_owned(), groups)));
        let found = tokens.find("second-token-here");
        assert_eq!(found, Some(("bert".to_owned(), Vec::new())));
        for token in ["", "first-token-her", "First-token-here", "#", "anna"] {
            assert_eq!(tokens.find(token), None, "{token}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, wanted) in [
            ("\nshort:anna\n", ":2: a token of less than 16 characters"),
            ("0123456789abcdef\n", ":1: no user"),
            (
                "0123456789 abcdef:anna\n",
                ":1: a token of other characters",
            ),
            ("0123456789abcdé:anna\n", ":1: a token of other characters"),
            ("$a5$AAAA:anna\n", ":1: a damaged $a5$ token"),
            (
                "0123456789abcdef:a\n0123456789abcdef:b\n",
                ":2: the same token again; a line is TOKEN:USER:GROUPS",
            ),
        ] {
            let error = tokens(text).err().expect(text);
            assert!(error.contains(wanted), "{error}");
        }
    }
}
