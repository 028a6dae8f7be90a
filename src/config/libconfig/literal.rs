//! String and number literals of libconfig.

/// An error inside a word.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    /// Its offset in the word, in bytes.
    pub(crate) offset: usize,
    /// Length of the part to show, in bytes.
    pub(crate) shown: usize,
    /// Length of the text to pass over, in bytes.
    pub(crate) length: usize,
    /// What is wrong.
    pub(crate) message: String,
}

impl Wrong {
    /// An error in the `length` bytes from `offset` on, which are the end of the word.
    pub(crate) fn at(offset: usize, length: usize, message: &str) -> Self {
        Self {
            offset,
            shown: length,
            length: offset + length,
            message: message.to_owned(),
        }
    }
}

/// The value of a number literal.
#[derive(Debug, PartialEq)]
pub(crate) enum Number {
    /// A number without point and exponent.
    Int(i64),
    /// A number with a point or an exponent, as it was written.
    Float(String),
}

/// Returns the string that `rest` begins with, and the length of its literal. `rest` begins at the
/// opening quote. As in libconfig, an unknown escape is taken as it stands, and the string may
/// contain line ends.
pub(crate) fn string(rest: &str) -> Result<(String, usize), Wrong> {
    let bytes = rest.as_bytes();
    let mut value = Vec::new();
    let mut bad = None;
    let mut at = 1;
    loop {
        match bytes.get(at) {
            None => {
                let mut wrong = Wrong::at(0, 1, "this string is never closed with '\"'");
                wrong.length = rest.len();
                return Err(wrong);
            }
            Some(b'"') => break,
            Some(b'\\') => {
                let (byte, length) = escape(&bytes[at..]);
                if byte == 0 {
                    bad = bad.or(Some((at, length, "a string cannot hold a NUL")));
                }
                value.push(byte);
                at += length;
            }
            Some(&byte) => {
                value.push(byte);
                at += 1;
            }
        }
    }
    let length = at + 1;
    match String::from_utf8(value) {
        _ if bad.is_some() => {}
        Ok(text) if !text.contains(['\u{fffd}', '\0']) => return Ok((text, length)),
        _ => bad = Some((0, length, "this string is not UTF-8 text")),
    }
    let (offset, shown, message) = bad.unwrap_or_default();
    let mut wrong = Wrong::at(offset, shown, message);
    wrong.length = length;
    Err(wrong)
}

/// Describes a string without quotes, or in others than `"`. `rest` begins with its first character.
pub(crate) fn unquoted(rest: &str) -> Wrong {
    let first = rest.chars().next().unwrap_or_default();
    let close = match first {
        '‘' => Some('’'),
        '“' => Some('”'),
        '\'' => Some(first),
        _ => None,
    };
    let (start, end, length) = match close {
        Some(close) => {
            let start = first.len_utf8();
            let line = rest.find('\n').unwrap_or(rest.len());
            let end = rest[start..line].find(close).map(|at| start + at);
            (
                start,
                end.unwrap_or(line),
                end.map_or(line, |end| end + close.len_utf8()),
            )
        }
        None => {
            let is_after = |c: char| c.is_ascii_whitespace() || ";,{}()[]\"#".contains(c);
            let end = rest.find(is_after).unwrap_or(rest.len());
            (0, end, end)
        }
    };
    let text = rest[start..end].escape_debug();
    Wrong::at(
        0,
        length,
        &format!("a string stands in double quotes: \"{text}\""),
    )
}

/// Returns the byte that an escape stands for, and the length of the escape with its backslash.
fn escape(bytes: &[u8]) -> (u8, usize) {
    match bytes.get(1) {
        Some(b'n') => (b'\n', 2),
        Some(b't') => (b'\t', 2),
        Some(b'r') => (b'\r', 2),
        Some(b'f') => (b'\x0c', 2),
        Some(b'a') => (b'\x07', 2),
        Some(b'b') => (b'\x08', 2),
        Some(b'v') => (b'\x0b', 2),
        Some(&same @ (b'"' | b'\\')) => (same, 2),
        Some(b'x') => {
            let digits = bytes.get(2..4).and_then(|d| std::str::from_utf8(d).ok());
            let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
            match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
                Some(byte) => (byte, 4),
                None => (b'\\', 1),
            }
        }
        _ => (b'\\', 1),
    }
}

/// Returns the number that `rest` begins with, and the length of its literal.
pub(crate) fn number(rest: &str) -> Result<(Number, usize), Wrong> {
    let length = number_length(rest.as_bytes());
    let word = &rest[..length];
    let wrong = |message: String| Wrong::at(0, length, &message);
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let prefix = digits.get(..2).unwrap_or("").to_ascii_lowercase();
    let radix = match prefix.as_str() {
        "0x" => 16,
        "0b" => 2,
        "0o" | "0q" => 8,
        _ => 10,
    };
    let digits = if radix == 10 { digits } else { &digits[2..] };
    if radix == 10 && digits.contains(['.', 'e', 'E']) {
        return match is_float(digits) {
            true => Ok((Number::Float(word.to_owned()), length)),
            false => Err(wrong(format!("'{word}' is not a number{}", quotes(word)))),
        };
    }
    let digits = digits.strip_suffix('L').unwrap_or(digits);
    let digits = digits.strip_suffix('L').unwrap_or(digits);
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(wrong(format!("'{word}' is not a number{}", quotes(word))));
    }
    let value = i128::from_str_radix(digits, radix).ok();
    let value = value.map(|value| if negative { -value } else { value });
    match value.and_then(|value| i64::try_from(value).ok()) {
        Some(value) => Ok((Number::Int(value), length)),
        None => Err(wrong(format!("'{word}' is too large a number"))),
    }
}

/// Returns what to write instead of a word that begins like a number, such as an address or `16M`.
fn quotes(word: &str) -> String {
    match word.starts_with(|c: char| c.is_ascii_digit()) && !word.starts_with("0x") {
        true => format!("; a string stands in double quotes: \"{word}\""),
        false => String::new(),
    }
}

/// Whether these are digits with a point, an exponent, or both. Converting them would make the
/// program 3 % larger, and no setting takes them.
fn is_float(digits: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    (!whole.is_empty() || !fraction.is_empty())
        && is_digits(whole)
        && is_digits(fraction)
        && !exponent.is_empty()
        && is_digits(exponent)
}

/// Returns the length of a number, well-formed or not.
fn number_length(bytes: &[u8]) -> usize {
    let hex = bytes.get(1).is_some_and(|b| b.eq_ignore_ascii_case(&b'x'));
    let mut end = 1;
    while let Some(&byte) = bytes.get(end) {
        let exponent = !hex && bytes[end - 1].eq_ignore_ascii_case(&b'e');
        let signed = exponent && (byte == b'+' || byte == b'-');
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || signed) {
            break;
        }
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(literal: &str) -> String {
        let (value, length) = string(literal).expect(literal);
        assert_eq!(length, literal.len(), "{literal}");
        value
    }

    #[test]
    fn escapes_stand_for_their_characters() {
        assert_eq!(text(r#""a\n\t\r\f\\\"b""#), "a\n\t\r\x0c\\\"b");
        assert_eq!(text(r#""\x41\xc3\xa9\x7F""#), "Aé\x7f");
        assert_eq!(text("\"two\nlines\""), "two\nlines");
    }

    #[test]
    fn a_backslash_without_meaning_stands_for_itself() {
        assert_eq!(text(r#""ws_\*""#), r"ws_\*");
        assert_eq!(text(r#""\xZZ \x4""#), r"\xZZ \x4");
    }

    #[test]
    fn a_string_ends_at_its_quote_or_is_an_error() {
        assert_eq!(string("\"a\" \"b\""), Ok(("a".into(), 3)));
        for open in ["\"", "\"abc", "\"abc\\\"", "\"\\"] {
            let wrong = string(open).expect_err(open);
            assert!(wrong.message.contains("never closed"), "{wrong:?}");
            assert_eq!(wrong.length, open.len());
        }
    }

    #[test]
    fn a_string_that_is_no_text_is_an_error() {
        let nul = string(r#""ab\x00""#).expect_err("a NUL");
        assert_eq!((nul.offset, nul.shown, nul.length), (3, 4, 8));
        assert!(string(r#""\xff""#).is_err());
        assert!(string("\"\u{fffd}\"").is_err());
    }

    #[test]
    fn whole_numbers_have_four_bases_and_may_end_in_l() {
        let cases = [
            ("0", 0),
            ("-12", -12),
            ("+7", 7),
            ("0x1F", 31),
            ("0XffL", 255),
            ("0b101", 5),
            ("0o17", 15),
            ("0q17", 15),
            ("10L", 10),
            ("10LL", 10),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ];
        for (word, value) in cases {
            assert_eq!(number(word), Ok((Number::Int(value), word.len())), "{word}");
        }
    }

    #[test]
    fn fractions_and_exponents_make_a_float() {
        for word in ["1.5", "-.5", "1.", "2e-3", "+1.5E+2", "1e999"] {
            let float = Number::Float(word.to_owned());
            assert_eq!(number(word), Ok((float, word.len())), "{word}");
        }
    }

    #[test]
    fn what_only_begins_like_a_number_is_an_error_as_a_whole() {
        for word in [
            "12abc",
            "0x",
            "0xg",
            "-",
            ".",
            "1.2.3",
            "0b2",
            "1e",
            "1.e+",
            ".e1",
            "1e2.5",
            "1e2e3",
            "+-1",
            "9223372036854775808",
        ] {
            let wrong = number(word).expect_err(word);
            assert!(wrong.message.contains("number"), "{word}");
        }
        assert_eq!(number("80;"), Ok((Number::Int(80), 2)));
        assert_eq!(number("0xE+1"), Ok((Number::Int(14), 3)));
    }
}
