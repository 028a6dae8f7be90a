//! The part of a file that a client asks for (RFC 9110, section 14).

use std::ops::Range;

use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// The one range that is asked for. Several ranges, and what is not a range, mean the whole file
/// (RFC 9110, section 14.2).
///
/// # Errors
/// `BadRange` if the file has none of it.
pub(super) fn asked(
    request: &Request,
    size: u64,
    tag: &str,
) -> Result<Option<Range<u64>>, Refusal> {
    if request.header("If-Range").is_some_and(|own| own != tag) {
        return Ok(None);
    }
    let Ok(Some(value)) = request.once("Range") else {
        return Ok(None);
    };
    match parse(value, size) {
        Some(range) if range.is_empty() => Err(Refusal::BadRange(size)),
        range => Ok(range),
    }
}

/// Reads `bytes=2-5`, `bytes=2-` or `bytes=-4` (RFC 9110, section 14.1.2). The range is empty if
/// the file has none of it.
fn parse(value: &str, size: u64) -> Option<Range<u64>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    match set.split_once('-')? {
        ("", length) => Some(size.saturating_sub(number(length)?)..size),
        (first, "") => Some(number(first)?..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first..size.min(last.saturating_add(1)))
        }
    }
}

/// Reads digits and nothing else. A number too large for a `u64` lies behind any file.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}
