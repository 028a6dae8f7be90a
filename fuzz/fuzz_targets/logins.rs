//! What a client logs in with (`login/credentials`, `login/bearer`, `request`): the headers
//! Authorization and Cookie, and a token in the query, each read as another reading has it.
//!
//! The first line is a query, the others are headers.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use ouistiti::parts::http::{Request, inspect};
use ouistiti::parts::login::{credentials, in_cookie, in_header, is_token};

/// The name of the parameter and of the cookie.
const NAME: &str = "access_token";
/// Longest user and password, in bytes.
const MAX_CREDENTIALS: usize = 1024;

fn request(text: &str) -> Option<Request> {
    let (query, headers) = text.split_once('\n').unwrap_or((text, ""));
    let mut head = format!("GET /echo?{query} HTTP/1.1\r\nHost: a\r\n");
    for line in headers.split('\n').filter(|line| !line.is_empty()) {
        head.extend([line, "\r\n"]);
    }
    head.push_str("\r\n");
    let (end, request) = inspect(head.as_bytes()).ok()??;
    (end == head.len()).then_some(request)
}

/// The user and password of RFC 7617, section 2, by another reading of base64.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = (value.get(..6)?, value.get(6..)?);
    let digits = rest.trim_matches(' ');
    let text = String::from_utf8(STANDARD.decode(digits).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    let is_good = scheme.eq_ignore_ascii_case("basic ")
        && text.len() <= MAX_CREDENTIALS
        && !text.chars().any(char::is_control)
        && !password.is_empty();
    is_good.then(|| (user.to_owned(), password.to_owned()))
}

/// The token of RFC 6750, section 2.1.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = (value.get(..7)?, value.get(7..)?);
    (scheme.eq_ignore_ascii_case("bearer ")).then(|| token.trim_matches(' '))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits =
                    [bytes.next()?, bytes.next()?].map(|byte| char::from(byte).to_digit(16));
                u8::try_from(digits[0]? << 4 | digits[1]?).expect("two digits")
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// What is left of a request has no token, in no spelling; what is taken is one of its values.
fn check_query(mut request: Request) {
    let query = request.query.clone().unwrap_or_default();
    let named = |query: &str| -> Vec<String> {
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(|(name, _)| decode(name).as_deref() == Some(NAME.as_bytes()))
            .map(|(_, value)| value.to_owned())
            .collect()
    };
    let values = named(&query);
    let taken = request.take_parameter(NAME);
    let wanted = match &values[..] {
        [] => Some(None),
        [value] => decode(value)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Some),
        _ => None,
    };
    assert_eq!(taken.as_ref().ok(), wanted.as_ref(), "{query}");
    if let Err(refusal) = taken {
        let told = refusal.to_string();
        let tells = |value: &String| value.len() > NAME.len() && told.contains(value.as_str());
        assert!(!values.iter().any(tells), "{told}");
    }
    assert!(request.target.starts_with("/echo"));
    let (_, left) = request.target.split_once('?').unwrap_or_default();
    assert_eq!(request.query.as_deref().unwrap_or_default(), left);
    assert!(named(left).is_empty(), "{left}");
}

fn check_cookie(request: &Request) {
    let pairs = request.headers("Cookie").flat_map(|line| line.split(';'));
    let mut values = pairs.filter_map(|pair| {
        let value = pair
            .trim_start_matches([' ', '\t'])
            .strip_prefix(NAME)?
            .strip_prefix('=')?;
        let value = value.trim_end_matches([' ', '\t']);
        let is_quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
        Some(if is_quoted {
            &value[1..value.len() - 1]
        } else {
            value
        })
    });
    assert_eq!(in_cookie(request, NAME), values.next());
}

fuzz_target!(|text: &str| {
    let Some(request) = request(text) else {
        return;
    };
    for value in request.headers("Authorization") {
        let ours = credentials(value).map(|own| (own.user, own.password));
        assert_eq!(ours, basic(value), "{value}");
        assert_eq!(in_header(value), bearer(value), "{value}");
        let digits = value.trim_end_matches('=');
        let is_good = !digits.is_empty()
            && digits
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        assert_eq!(is_token(value), is_good);
    }
    check_cookie(&request);
    check_query(request);
});
