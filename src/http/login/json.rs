//! JSON of small size (RFC 8259): what a program answers, and what it is asked.

use std::fmt::Write;

/// Deepest nesting that is read (our limit).
const MAX_DEPTH: usize = 16;

/// A JSON value.
#[derive(Debug, PartialEq, Eq)]
pub enum Json {
    /// A string.
    Text(String),
    /// An object: names and values in order.
    Object(Vec<(String, Json)>),
    /// An array.
    List(Vec<Json>),
    /// A number, as it is written.
    Number(String),
    /// `true`, `false` or `null`.
    Word(&'static str),
}

impl Json {
    /// Reads one value, with white space around it; `None` for anything else, or for a part.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let value = reader.value(MAX_DEPTH)?;
        reader.skip_space();
        reader.0.is_empty().then_some(value)
    }

    /// A member of an object; the last one of its name.
    pub fn member(&self, name: &str) -> Option<&Json> {
        let Self::Object(members) = self else {
            return None;
        };
        let named = members.iter().rev().find(|(own, _)| own == name);
        named.map(|(_, value)| value)
    }

    /// The strings of an array, or of one string; `None` for anything else.
    #[cfg(feature = "bearer")]
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Self::List(values) => values.iter().map(Self::text).collect(),
            value => value.text().map(|text| vec![text]),
        }
    }

    /// The characters of a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Writes a string of JSON.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a String cannot fail.
            '\0'..' ' => drop(write!(quoted, "\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_space();
        match self.0.bytes().next()? {
            b'"' => self.string().map(Json::Text),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.list(depth.checked_sub(1)?),
            _ => self.number_or_word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        let mut members = Vec::new();
        let mut is_open = !self.opens_empty('{', '}');
        while is_open {
            self.skip_space();
            let name = self.string()?;
            self.take(':').then_some(())?;
            members.push((name, self.value(depth)?));
            is_open = self.goes_on('}')?;
        }
        Some(Json::Object(members))
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        let mut values = Vec::new();
        let mut is_open = !self.opens_empty('[', ']');
        while is_open {
            values.push(self.value(depth)?);
            is_open = self.goes_on(']')?;
        }
        Some(Json::List(values))
    }

    /// Takes what opens an array or an object; whether its end follows at once.
    fn opens_empty(&mut self, open: char, end: char) -> bool {
        self.take(open) && self.take(end)
    }

    /// Takes a comma, or the end of an array or an object; `None` for anything else.
    fn goes_on(&mut self, end: char) -> Option<bool> {
        match self.take(',') {
            true => Some(true),
            false => self.take(end).then_some(false),
        }
    }

    fn number_or_word(&mut self) -> Option<Json> {
        let is_end = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
        let end = self.0.find(is_end).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        if let Some(known) = ["true", "false", "null"]
            .into_iter()
            .find(|own| *own == word)
        {
            return Some(Json::Word(known));
        }
        is_number(word).then(|| Json::Number(word.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.0.strip_prefix('"')?;
        loop {
            let special = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..' '))?;
            text.push_str(&rest[..special]);
            rest = &rest[special..];
            if let Some(after) = rest.strip_prefix('"') {
                self.0 = after;
                return Some(text);
            }
            let (character, after) = escape(rest.strip_prefix('\\')?)?;
            text.push(character);
            rest = after;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
    }
}

/// Reads what follows a backslash: a character, and the rest.
fn escape(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let character = match characters.next()? {
        own @ ('"' | '\\' | '/') => own,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(characters.as_str()),
        _ => return None,
    };
    Some((character, characters.as_str()))
}

/// Reads the four digits of an escape, and the eight of a pair (section 7).
fn unicode(text: &str) -> Option<(char, &str)> {
    let (first, rest) = four_digits(text)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, rest));
    }
    let (second, rest) = four_digits(rest.strip_prefix("\\u")?)?;
    let (high, low) = (first.checked_sub(0xd800)?, second.checked_sub(0xdc00)?);
    let character = (high < 0x400 && low < 0x400).then_some(0x10000 + (high << 10) + low)?;
    Some((char::from_u32(character)?, rest))
}

fn four_digits(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = is_hex.then(|| u32::from_str_radix(digits, 16).ok())??;
    Some((number, rest))
}

/// Whether this is a number (section 6).
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        let text = r#" {"a" : [1, -2.5e+3, 0, true, null, []], "b":{}, "c":"x\"\\\/\n\u00e9\ud83d\ude00", "a2": {"d":"é"}} "#;
        let value = Json::parse(text).expect("it is good");
        let Some(Json::List(list)) = value.member("a") else {
            panic!("{value:?}");
        };
        assert_eq!(list.len(), 6);
        assert_eq!(list[1], Json::Number("-2.5e+3".into()));
        assert_eq!(list[3], Json::Word("true"));
        assert_eq!(value.member("b"), Some(&Json::Object(Vec::new())));
        assert_eq!(value.member("c").and_then(Json::text), Some("x\"\\/\né😀"));
        let inner = value.member("a2").and_then(|inner| inner.member("d"));
        assert_eq!(inner.and_then(Json::text), Some("é"));
        assert_eq!(value.member("e"), None);
    }

    #[test]
    fn what_is_no_json_and_every_part_of_a_value_is_none() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "{]",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "tru",
            "nul",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "1 2",
            "'a'",
            "{} x",
        ] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        let whole = r#"{"a":[1,"é\u00e9",{"b":null}]}"#;
        assert!(Json::parse(whole).is_some());
        for (end, _) in whole.char_indices() {
            assert_eq!(Json::parse(&whole[..end]), None, "{end}");
        }
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(MAX_DEPTH)).is_some());
        assert_eq!(Json::parse(&nested(MAX_DEPTH + 1)), None);
        assert_eq!(Json::parse(&"[".repeat(1 << 20)), None);
    }

    #[test]
    fn a_quoted_text_is_read_as_it_was() {
        let text = "a\"b\\c\n\0\u{7f}é😀";
        let quoted = quoted(text);
        assert!(!quoted.contains('\n'), "{quoted}");
        assert_eq!(Json::parse(&quoted), Some(Json::Text(text.into())));
    }
}
