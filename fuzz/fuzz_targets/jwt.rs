//! JSON Web Tokens (`login/jwt`): nobody gets in without our key, and with it those alone whom
//! another reading of header and claims lets in.
//!
//! The first line is a header, the rest are claims; the target signs them.
#![no_main]

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ouistiti::parts::login::{Claims, Key, check_at};
use ring::hmac;
use serde_json::{Map, Value};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The moment of each check.
const NOW: f64 = 1_800_000_000.0;
/// How far clocks may be off.
const LEEWAY: f64 = 30.0;

fn keys() -> &'static (Key, hmac::Key) {
    static KEYS: OnceLock<(Key, hmac::Key)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let own = Key::of_secret(SECRET).expect("long enough");
        (own, hmac::Key::new(hmac::HMAC_SHA256, SECRET))
    })
}

fn check(audiences: &[String], token: &str) -> Result<Claims, &'static str> {
    check_at(&keys().0, audiences, token, NOW as i64)
}

fn signed(text: &str) -> String {
    let tag = hmac::sign(&keys().1, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// An object by another reading; `Err` where it cannot be read in that way: it has no numbers beyond
/// f64.
fn object(text: &[u8]) -> Result<Option<Map<String, Value>>, ()> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => Ok(Some(members)),
        Err(error) if error.to_string().starts_with("number out of range") => Err(()),
        _ => Ok(None),
    }
}

fn is_for(claims: &Map<String, Value>, own: &[String]) -> bool {
    let is_own = |name: &Value| own.iter().any(|own| name.as_str() == Some(own));
    match claims.get("aud") {
        None => own.is_empty(),
        Some(Value::Array(names)) => names.iter().any(is_own) && names.iter().all(Value::is_string),
        Some(name) => is_own(name),
    }
}

/// Whether a token that got in might, by another reading of the RFC.
fn may_come_in(header: &[u8], claims: &[u8], audiences: &[String], user: &str) -> bool {
    let (header, claims) = match (object(header), object(claims)) {
        (Ok(Some(header)), Ok(Some(claims))) => (header, claims),
        (Err(()), _) | (_, Err(())) => return true,
        _ => return false,
    };
    let time = |name: &str| {
        claims
            .get(name)
            .map(|value| value.as_f64().unwrap_or(f64::NAN))
    };
    header.get("alg").and_then(Value::as_str) == Some("HS256")
        && !header.contains_key("crit")
        && time("exp").is_some_and(|end| end > NOW - LEEWAY - 1.0)
        && time("nbf").is_none_or(|start| start < NOW + LEEWAY + 1.0)
        && is_for(&claims, audiences)
        && claims.get("sub").and_then(Value::as_str) == Some(user)
        && !user.is_empty()
        && !user.contains(char::is_control)
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(token) = str::from_utf8(bytes) {
        // A corpus cannot have a token of our key by chance; libFuzzer cannot make one.
        assert!(check(&[], token).is_err(), "a token that nobody signed");
    }
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (header, claims) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let text = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let token = signed(&text);
    for audiences in [&[][..], &["router".to_owned()]] {
        if let Ok(read) = check(audiences, &token) {
            assert!(
                may_come_in(header, claims, audiences, &read.user),
                "{read:?}"
            );
            // One character more, less or different, and it is nobody's.
            let others = [
                format!("{token}="),
                format!("{token}."),
                token[..token.len() - 1].to_owned(),
                signed(&text).replacen('.', "..", 1),
                format!("{text}."),
                format!("{text}.AAAA"),
            ];
            for other in others {
                assert!(check(audiences, &other).is_err(), "{other}");
            }
        }
    }
    // What is no base64 at all, with our signature.
    let text = String::from_utf8_lossy(bytes);
    if let Ok(read) = check(&[], &signed(&text)) {
        let (header, claims) = text.split_once('.').expect("two parts");
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64"));
        assert!(may_come_in(&header, &claims, &[], &read.user), "{read:?}");
    }
});
