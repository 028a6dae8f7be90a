//! What the gateway reads of a certificate beside what rustls checks (RFC 5280, section 4.1): its
//! dates and its version, for a warning, and its subject, for the log and for backends.

use std::fmt;

use common::calendar;

use super::der::{Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

const BMP_STRING: u8 = 0x1e;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Attribute types with a short name (RFC 4514, section 3), as encoded.
const ATTRIBUTES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
        "UID",
    ),
];

/// A moment as certificates write it; shown as its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Seconds since 1970.
    pub(super) seconds: i64,
    date: (i64, i64, i64),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// From when and until when a certificate is valid.
pub(super) fn validity(certificate: &[u8]) -> Option<(Moment, Moment)> {
    let mut validity = Der(fields(certificate)?.0);
    Some((moment(validity.next()?)?, moment(validity.next()?)?))
}

/// The subject of a certificate in the text form of RFC 4514: the most specific name first,
/// attributes without a short name left out.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let mut names = Der(fields(certificate)?.1);
    let mut parts = Vec::new();
    while let Some((SET, set)) = names.next() {
        let mut attributes = Der(set);
        while let Some((SEQUENCE, attribute)) = attributes.next() {
            parts.extend(attribute_text(attribute));
        }
    }
    parts.reverse();
    Some(parts.join(","))
}

/// Whether a certificate is of version 1, which has no field for the version and none for
/// extensions.
pub(super) fn is_version_1(certificate: &[u8]) -> bool {
    let body = Der(certificate).expect(SEQUENCE);
    let body = body.and_then(|body| Der(body).expect(SEQUENCE));
    body.is_some_and(|body| body.first() == Some(&INTEGER))
}

/// The contents of the fields `validity` and `subject`.
fn fields(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Der(Der(Der(certificate).expect(SEQUENCE)?).expect(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.next()?;
    }
    fields.expect(INTEGER)?; // serialNumber
    fields.expect(SEQUENCE)?; // signature
    fields.expect(SEQUENCE)?; // issuer
    Some((fields.expect(SEQUENCE)?, fields.expect(SEQUENCE)?))
}

fn attribute_text(attribute: &[u8]) -> Option<String> {
    let mut attribute = Der(attribute);
    let object = attribute.expect(OBJECT_IDENTIFIER)?;
    let (tag, value) = attribute.next()?;
    let (_, name) = ATTRIBUTES.iter().find(|(known, _)| *known == object)?;
    let text = if tag == BMP_STRING {
        let units = value
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        char::decode_utf16(units)
            .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    } else {
        String::from_utf8_lossy(value).into_owned()
    };
    Some(format!("{name}={}", escaped(&text)))
}

/// Escapes what has a meaning in the text form, and control characters (RFC 4514, section 2.4).
fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' | '#' => {
                result.extend(['\\', character]);
            }
            _ if character.is_control() => {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    result.push_str(&format!("\\{byte:02x}"));
                }
            }
            _ => result.push(character),
        }
    }
    result
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` after (RFC 5280, section 4.1.2.5).
fn moment((tag, text): (u8, &[u8])) -> Option<Moment> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, _) = number(rest, 2)?;
    let seconds =
        ((calendar::days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Moment {
        seconds,
        date: (year, month, day),
    })
}

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_2050_are_read() {
        let utc = moment((UTC_TIME, b"260228235959Z")).expect("valid");
        assert_eq!(
            (utc.seconds, utc.to_string()),
            (1_772_323_199, "2026-02-28".into())
        );
        let later = moment((GENERALIZED_TIME, b"20500301000000Z")).expect("valid");
        assert_eq!(later.seconds, 2_529_705_600);
        assert_eq!(
            moment((UTC_TIME, b"700101000000Z")).map(|epoch| epoch.seconds),
            Some(0)
        );
    }

    #[test]
    fn garbage_has_no_validity_and_no_subject() {
        for garbage in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\x02",
        ] {
            assert_eq!(validity(garbage), None);
            assert_eq!(subject(garbage), None);
        }
    }

    #[test]
    fn a_name_cannot_forge_another_attribute() {
        assert_eq!(escaped("eve,O=Admins\n"), "eve\\,O\\=Admins\\0a");
    }
}
