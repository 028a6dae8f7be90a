//! The user and password that a client sends (RFC 7617, section 2).

use data_encoding::BASE64;

/// Longest user and password together, in bytes (our limit).
const MAX_CREDENTIALS: usize = 1024;

/// A user and a password.
#[derive(Debug, PartialEq, Eq)]
pub struct Credentials {
    /// All before the first colon.
    pub user: String,
    /// All behind it; never empty.
    pub password: String,
}

/// Reads the value of an Authorization header; `None` if it is of another scheme, or malformed.
pub fn parse(value: &str) -> Option<Credentials> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let digits = rest.trim_matches(' ');
    // Several padded texts behind each other are no base64 (RFC 4648, section 3.3), though the
    // crate reads them.
    if digits.trim_end_matches('=').contains('=') {
        return None;
    }
    let bytes = BASE64.decode(digits.as_bytes()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    if text.len() > MAX_CREDENTIALS || text.contains(char::is_control) {
        return None;
    }
    let (user, password) = text.split_once(':')?;
    // Stored ones are not empty. Pages sign out with one that is: that is no guess.
    if password.is_empty() {
        return None;
    }
    Some(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_read() {
        let read = parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").expect("it is good");
        assert_eq!((&*read.user, &*read.password), ("Aladdin", "open sesame"));
        // Section 2.1, in UTF-8; the scheme in any case.
        let read = parse("bAsIc dGVzdDoxMjPCow==").expect("it is good");
        assert_eq!((&*read.user, &*read.password), ("test", "123£"));
        let read = parse(&format!("Basic {}", BASE64.encode(b":a:b"))).expect("it is good");
        assert_eq!((&*read.user, &*read.password), ("", "a:b"));
    }

    #[test]
    fn what_is_no_user_and_password_is_none() {
        let encoded = |text: &[u8]| format!("Basic {}", BASE64.encode(text));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
            "Basic QWxh ZGRp",
            "Basic ****",
            "Basic dGVzdDoxMjPCow==dGVzdDoxMjPCow==",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Digest username=\"x\"",
            &encoded(b"no colon"),
            &encoded(b"us\0er:x"),
            &encoded(b"user:x\n"),
            &encoded(b"\xff:x"),
            &encoded("u".repeat(8192).as_bytes()),
            &encoded(format!("{}:x", "u".repeat(8192)).as_bytes()),
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
