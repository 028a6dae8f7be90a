//! Text that others chose, made safe for a log line and a terminal.

use core::fmt::{self, Display, Formatter, Write};

/// Shows text with everything escaped that could end a line, move a cursor or turn the reading
/// direction. Printable text of any script stays as it is, so escaping twice changes nothing.
///
/// Bytes that are not UTF-8 have become U+FFFD where they were made a `str`.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_unsafe(character) {
                write!(f, "\\u{{{:x}}}", u32::from(character))?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and what is invisible or turns
/// the reading direction (Unicode Standard Annex 9, section 2).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn what_moves_a_cursor_is_escaped() {
        let text = "a\r\n\u{1b}[2J\u{7f}\u{9b}\u{202e}b";
        assert_eq!(
            Escaped(text).to_string(),
            "a\\u{d}\\u{a}\\u{1b}[2J\\u{7f}\\u{9b}\\u{202e}b"
        );
    }

    #[test]
    fn printable_text_of_any_script_stays() {
        assert_eq!(
            Escaped("ouistiti été 猿 🐒").to_string(),
            "ouistiti été 猿 🐒"
        );
    }

    #[test]
    fn escaping_twice_changes_nothing() {
        let once = Escaped("a\nb\\").to_string();
        assert_eq!(Escaped(&once).to_string(), once);
    }
}
