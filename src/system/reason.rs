//! Ground: words the reason of a failure for the log.

use std::fmt::Display;

/// Returns an error's text as part of a sentence: `Permission denied (os error 13)` becomes
/// `permission denied`.
pub(crate) fn reason(error: &impl Display) -> String {
    let text = error.to_string();
    let text = match text.rsplit_once(" (os error ") {
        Some((text, number)) if number.ends_with(')') => text,
        _ => &text,
    };
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // Leaves an abbreviation, such as TLS, as it is.
        (Some(first), Some(second)) if first.is_ascii_uppercase() && second.is_lowercase() => {
            format!("{}{}", first.to_ascii_lowercase(), &text[1..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_number_of_an_error_goes_and_abbreviations_stay() {
        let denied = io::Error::from_raw_os_error(nix::libc::EACCES);
        assert_eq!(reason(&denied), "permission denied");
        assert_eq!(reason(&"TLS is not for this"), "TLS is not for this");
        assert_eq!(reason(&"x"), "x");
        assert_eq!(reason(&""), "");
    }
}
