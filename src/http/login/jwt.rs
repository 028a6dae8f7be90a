//! JSON Web Tokens (RFC 7519), signed by HS256 or ES256 (RFC 7518, section 3).
//!
//! The algorithm is that of the configuration: a token that names another one is refused, and no
//! claim is read before the signature has been checked.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::{hmac, signature};

use super::json::Json;

/// How far the clock of whoever made a token may be off, in seconds.
const LEEWAY: i64 = 30;
/// Shortest secret for HS256, in bytes (RFC 7518, section 3.2).
const MIN_SECRET: usize = 32;
/// Longest header, in base64 (our limit): it is read before the signature has been checked.
const MAX_HEADER: usize = 4096;
/// Longest user, in bytes (our limit).
const MAX_USER: usize = 255;
/// A public key of P-256 up to its point (RFC 5480): SEQUENCE, algorithm and curve, BIT STRING.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point of P-256: a 4 and two numbers of 32 bytes.
const POINT: usize = 65;

/// What signatures are checked with.
pub enum Key {
    /// A secret.
    Hs256(hmac::Key),
    /// A public key: its point.
    Es256(Vec<u8>),
}

impl Key {
    /// Makes a key of a secret, which is all of a file but a line feed at its end.
    ///
    /// # Errors
    /// Why it is no secret.
    pub fn of_secret(file: &[u8]) -> Result<Self, &'static str> {
        let secret = file.strip_suffix(b"\n").unwrap_or(file);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.starts_with(b"-----BEGIN") {
            return Err("a PEM file is no secret for HS256");
        }
        match secret.len() < MIN_SECRET {
            true => Err("a secret for HS256 has at least 32 bytes"),
            false => Ok(Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        }
    }

    /// Makes a key of a PEM file (RFC 7468, section 13).
    ///
    /// # Errors
    /// Why it is no public key for ES256.
    pub(super) fn of_pem(file: &[u8]) -> Result<Self, &'static str> {
        let no_key = "no public key of the curve P-256; 'openssl ec -in PRIVATE -pubout' makes one";
        let text = std::str::from_utf8(file).map_err(|_| no_key)?;
        let (_, text) = text
            .split_once("-----BEGIN PUBLIC KEY-----")
            .ok_or(no_key)?;
        let (text, _) = text.split_once("-----END PUBLIC KEY-----").ok_or(no_key)?;
        let digits: String = text.split_ascii_whitespace().collect();
        let key = BASE64.decode(digits.as_bytes()).map_err(|_| no_key)?;
        match key.strip_prefix(&P256) {
            Some(point) if point.len() == POINT && point[0] == 4 => Ok(Self::Es256(point.to_vec())),
            _ => Err(no_key),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Es256(_) => "ES256",
        }
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, text, signature).is_ok(),
            Self::Es256(point) => {
                let key =
                    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(text, signature).is_ok()
            }
        }
    }
}

/// The user that a token names.
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user (`sub`).
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

/// Whether a text looks like a token of this kind: three parts.
pub(super) fn is_one(token: &str) -> bool {
    token.split('.').count() == 3
}

/// Reads a token that is for one of these audiences; for none if the list is empty.
///
/// # Errors
/// Why it lets nobody in.
pub(super) fn check(key: &Key, audiences: &[String], token: &str) -> Result<Claims, &'static str> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    check_at(key, audiences, token, now)
}

/// As [`check`], at this time in seconds since 1970.
///
/// # Errors
/// As [`check`].
pub fn check_at(
    key: &Key,
    audiences: &[String],
    token: &str,
    now: i64,
) -> Result<Claims, &'static str> {
    let malformed = "it is no JSON Web Token";
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(malformed)?;
    if header.len() > MAX_HEADER {
        return Err("its header is longer than 4096 bytes");
    }
    let header = object(header).ok_or(malformed)?;
    if !matches!(header.member("alg"), Some(Json::Text(own)) if own == key.algorithm()) {
        return Err("its algorithm is not that of 'algorithm'");
    }
    // RFC 7515, section 4.1.11: we know no extension.
    if header.member("crit").is_some() {
        return Err("it has an extension that is not known");
    }
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes());
    let signature = signature.map_err(|_| malformed)?;
    if !key.has_signed(signed.as_bytes(), &signature) {
        return Err("its signature is wrong");
    }
    let claims = object(claims).ok_or(malformed)?;
    check_time(&claims, now)?;
    check_audience(&claims, audiences)?;
    let user = match claims.member("sub") {
        Some(Json::Text(user)) if is_user(user) => user.clone(),
        _ => return Err("it has no 'sub', which names the user"),
    };
    let groups = claims.member("groups").and_then(Json::texts);
    let groups = groups.unwrap_or_default().into_iter();
    Ok(Claims {
        user,
        groups: groups.map(str::to_owned).collect(),
    })
}

/// Reads a part of a token.
fn object(part: &str) -> Option<Json> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
    let json = Json::parse(std::str::from_utf8(&bytes).ok()?)?;
    matches!(json, Json::Object(_)).then_some(json)
}

/// RFC 7519, sections 4.1.4 and 4.1.5. A token without an end would let in for ever.
fn check_time(claims: &Json, now: i64) -> Result<(), &'static str> {
    match claims.member("exp").map(time) {
        Some(Some(end)) if now < end.saturating_add(LEEWAY) => {}
        Some(Some(_)) => return Err("it has expired"),
        _ => return Err("it has no 'exp', the time of its end"),
    }
    match claims.member("nbf").map(time) {
        None => Ok(()),
        Some(Some(start)) if start <= now.saturating_add(LEEWAY) => Ok(()),
        Some(_) => Err("it is not valid yet, or this machine's clock is wrong"),
    }
}

/// A number of seconds, without an exponent; a fraction of one is cut off.
fn time(claim: &Json) -> Option<i64> {
    match claim {
        Json::Number(digits) if !digits.contains(['e', 'E']) => {
            digits.split('.').next()?.parse().ok()
        }
        _ => None,
    }
}

/// RFC 7519, section 4.1.3: a token for others is refused even where we go by no name.
fn check_audience(claims: &Json, own: &[String]) -> Result<(), &'static str> {
    let audiences = match claims.member("aud") {
        None if own.is_empty() => return Ok(()),
        named => named.and_then(Json::texts).unwrap_or_default(),
    };
    let is_own = |audience: &&str| own.iter().any(|own| own == audience);
    match audiences.iter().any(is_own) {
        true => Ok(()),
        false => Err("it is for another 'audience'"),
    }
}

fn is_user(user: &str) -> bool {
    !user.is_empty() && user.len() <= MAX_USER && !user.contains(char::is_control)
}

#[cfg(test)]
mod tests;
