//! The text of an error, as part of a sentence.

use core::fmt::{self, Display, Formatter, Write};

/// Shows the text of an error without the number that the standard library puts behind it, its
/// first letter small: of `Permission denied (os error 13)` this is `permission denied`.
pub struct Reason<'a>(pub &'a str);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self.0.rsplit_once(" (os error ") {
            Some((text, number)) if number.ends_with(')') => text,
            _ => self.0,
        };
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            // Leaves an abbreviation, such as TLS, as it is.
            (Some(first), Some(second)) if first.is_ascii_uppercase() && second.is_lowercase() => {
                f.write_char(first.to_ascii_lowercase())?;
                f.write_str(&text[1..])
            }
            _ => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn the_number_of_an_error_goes_and_abbreviations_stay() {
        for (text, wanted) in [
            ("Permission denied (os error 13)", "permission denied"),
            ("TLS is not for this", "TLS is not for this"),
            ("x", "x"),
            ("", ""),
        ] {
            assert_eq!(Reason(text).to_string(), wanted);
        }
    }
}
