//! The key table as the example file and as the list of `-hh`.

use std::fmt::Write;

use super::keys::ROOT;
use super::schema::{Key, Kind, NEEDED, Section};

/// Width of the texts, in characters.
const WIDTH: usize = 79;
/// Column of the explanations in [`summary`].
const COLUMN: usize = 29;

const HEADER: &str = "\
# ouistiti.conf: every setting of ouistiti, with its default.
#
# Most files need little of it:  servers = ( { websocket = { }; } );
# A setting behind a '#' without space has no default: its value is an
# example, and 'Without it' tells what holds. See ouistiti.conf(5).
";

/// Returns the file etc/ouistiti.conf: every key with its meaning and default. Unchanged it means
/// the same as the smallest file that serves.
pub(crate) fn example() -> String {
    let mut text = String::from(HEADER);
    example_section(&mut text, &ROOT, "", true);
    text
}

/// Writes the keys of a section. A key without a default, and every key of a section that is off,
/// gets a `#` without space in front.
fn example_section(text: &mut String, section: &Section, indent: &str, on: bool) {
    for (index, key) in section.keys.iter().enumerate() {
        if index > 0 || section.name == ROOT.name {
            text.push('\n');
        }
        for line in explanation(key, WIDTH - indent.len() - 2) {
            let _ = writeln!(text, "{indent}# {line}");
        }
        let off = if on { "" } else { "#" };
        let deeper = format!("{indent}    ");
        match (key.kind.section(), key.default()) {
            (Some(inner), _) => {
                let on = on && key.in_smallest_file;
                let off = if on { "" } else { "#" };
                let (open, close) = key.kind.brackets();
                let _ = writeln!(text, "{indent}{off}{} = {open}", key.name);
                example_section(text, inner, &deeper, on);
                let _ = writeln!(text, "{indent}{off}{close};");
            }
            (None, Some(default)) => drop(writeln!(text, "{indent}{off}{} = {default};", key.name)),
            (None, None) => drop(writeln!(text, "{indent}#{} = {};", key.name, key.sample())),
        }
    }
    if !section.inherited.is_empty() {
        text.push('\n');
        for line in wrap(&inherited(section), WIDTH - indent.len() - 2) {
            let _ = writeln!(text, "{indent}# {line}");
        }
    }
}

/// Returns the keys that an element may set for itself, as a sentence.
pub(crate) fn inherited(section: &Section) -> String {
    let names: Vec<_> = section.inherited.iter().map(|key| key.name).collect();
    format!(
        "Also, as above but for this one alone: {}.",
        names.join(", ")
    )
}

fn explanation(key: &Key, width: usize) -> Vec<String> {
    let mut words = String::from(key.meaning);
    if let Some(bounds) = key.bounds() {
        let _ = write!(words, " {bounds}");
    }
    if key.absent == NEEDED {
        words.push_str(" Needed.");
    } else if !key.absent.is_empty() {
        let _ = write!(words, " Without it: {}.", key.absent);
    }
    let mut lines = wrap(&words, width);
    if let Kind::Choice(_, choices) = key.kind {
        for choice in choices {
            let word = format!("\"{}\"", choice.word);
            let hanging = wrap(choice.meaning, width - 14);
            for (index, line) in hanging.iter().enumerate() {
                let word = if index == 0 { word.as_str() } else { "" };
                lines.push(format!("  {word:12}{line}"));
            }
        }
    }
    lines
}

/// Returns the list of `-hh`: every key with its default and one sentence.
pub(crate) fn summary() -> String {
    let mut text =
        String::from("Settings of the file, with their defaults (ouistiti.conf(5) tells more):\n");
    summary_section(&mut text, &ROOT, "  ");
    text
}

fn summary_section(text: &mut String, section: &Section, indent: &str) {
    for key in section.keys {
        let inner = key.kind.section();
        let left = match (inner, key.default()) {
            (Some(_), _) => format!("{indent}{} = {}", key.name, key.kind.brackets().0),
            (None, Some(default)) => format!("{indent}{} = {default}", key.name),
            (None, None) => format!("{indent}{}", key.name),
        };
        let lines = wrap(first_sentence(key.meaning), WIDTH - COLUMN);
        let is_long = left.len() >= COLUMN;
        if is_long {
            let _ = writeln!(text, "{left}");
        }
        for (index, line) in lines.iter().enumerate() {
            let left = if index == 0 && !is_long {
                left.as_str()
            } else {
                ""
            };
            let _ = writeln!(text, "{left:width$} {line}", width = COLUMN - 1);
        }
        if let Some(inner) = inner {
            summary_section(text, inner, &format!("{indent}  "));
        }
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ")
        .map_or_else(|| text.trim_end_matches('.'), |(first, _)| first)
}

/// Breaks a text into lines of at most `width` characters. A longer word gets a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let at = lines.len() - 1;
        if lines[at].is_empty() {
            lines[at].push_str(word);
        } else if lines[at].chars().count() + 1 + word.chars().count() <= width {
            lines[at].push(' ');
            lines[at].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("overlong a b", 3), ["overlong", "a b"]);
    }

    #[test]
    fn the_summary_fits_a_terminal_and_names_every_section() {
        let summary = summary();
        assert!(
            summary.lines().all(|line| line.chars().count() <= WIDTH),
            "{summary}"
        );
        for key in [
            "user",
            "maxclients = 200",
            "framing = \"stream\"",
            "crtfile",
            "defaultpage",
        ] {
            assert!(summary.contains(key), "{key} is missing in\n{summary}");
        }
    }
}
