//! Errors and warnings about a configuration file, each with the line it is about.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use super::source::{Sources, Span};

/// Most errors listed for one configuration. The rest are counted.
const MAX_ERRORS: usize = 50;
/// Longest part of a source line shown, in characters.
const MAX_LINE: usize = 100;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// The configuration can be used, but the administrator should look.
    Warning,
}

/// One error or warning and its place.
///
/// It displays as `file:line:column: error: message`, the source line, and a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub path: PathBuf,
    /// Line and column, counted from one, where there is a line to show.
    pub at: Option<(usize, usize)>,
    /// The source line and the marker beneath it.
    excerpt: Option<(String, String)>,
}

impl Diagnostic {
    /// An error about a file as a whole.
    pub(crate) fn of_file(path: &Path, message: String) -> Self {
        Self {
            severity: Severity::Error,
            message,
            path: path.to_owned(),
            at: None,
            excerpt: None,
        }
    }

    fn new(sources: &Sources, entry: &Entry) -> Self {
        let place = sources.place(entry.span);
        Self {
            severity: entry.severity,
            message: entry.message.clone(),
            path: place.path.to_owned(),
            at: Some((place.line, place.column)),
            excerpt: Some(excerpt(place.text, place.column - 1, place.width)),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:", self.path.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {severity}: {}", self.message)?;
        if let Some((line, marker)) = &self.excerpt {
            write!(f, "\n    {line}\n    {marker}")?;
        }
        Ok(())
    }
}

/// Returns the line without its indentation, and a marker `^~~~` for the `width` characters from
/// `column` on. A long line is cut around the place.
fn excerpt(line: &str, column: usize, width: usize) -> (String, String) {
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    let skip = match column.saturating_sub(indent) {
        inside if inside > MAX_LINE * 3 / 4 => column - MAX_LINE / 2,
        _ => indent.min(column),
    };
    let shown: String = line
        .chars()
        .skip(skip)
        .take(MAX_LINE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let room = shown.chars().count().saturating_sub(column - skip).max(1);
    let marker = " ".repeat(column - skip) + "^" + &"~".repeat(width.clamp(1, room) - 1);
    (shown.trim_end().to_owned(), marker)
}

/// The errors and warnings found so far.
#[derive(Debug, Default)]
pub(crate) struct Report(RefCell<Vec<Entry>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    span: Span,
    severity: Severity,
    message: String,
}

impl Report {
    /// Notes an error.
    pub(crate) fn error(&self, span: Span, message: impl Into<String>) {
        self.push(Severity::Error, span, message.into());
    }

    /// Notes a warning.
    pub(crate) fn warning(&self, span: Span, message: impl Into<String>) {
        self.push(Severity::Warning, span, message.into());
    }

    fn push(&self, severity: Severity, span: Span, message: String) {
        self.0.borrow_mut().push(Entry {
            span,
            severity,
            message,
        });
    }

    /// Whether an error was noted.
    pub(crate) fn has_errors(&self) -> bool {
        let entries = self.0.borrow();
        entries.iter().any(|e| e.severity == Severity::Error)
    }

    /// Returns everything noted in the order of the text, without repetitions.
    pub(crate) fn finish(self, sources: &Sources) -> Vec<Diagnostic> {
        let mut entries = self.0.into_inner();
        entries.sort();
        entries.dedup();
        let rest = entries.split_off(entries.len().min(MAX_ERRORS));
        let mut list: Vec<_> = entries
            .iter()
            .map(|entry| Diagnostic::new(sources, entry))
            .collect();
        if let Some(first) = rest.first() {
            let path = sources.place(first.span).path;
            let mut more = Diagnostic::of_file(path, format!("and {} more", rest.len()));
            more.severity = rest
                .iter()
                .map(|e| e.severity)
                .min()
                .unwrap_or(more.severity);
            list.push(more);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, start: usize, end: usize) -> String {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("/etc/x.conf"), text.to_owned());
        let report = Report::default();
        report.error(Span { file, start, end }, "no good");
        report.finish(&sources)[0].to_string()
    }

    #[test]
    fn an_error_shows_its_line_without_indentation_and_a_caret() {
        assert_eq!(
            report("a;\n\t\talow = \"ws_*\";\n", 5, 9),
            "/etc/x.conf:2:3: error: no good\n    alow = \"ws_*\";\n    ^~~~"
        );
        assert_eq!(
            report("  b = 1;", 6, 7),
            "/etc/x.conf:1:7: error: no good\n    b = 1;\n        ^"
        );
    }

    #[test]
    fn a_place_at_the_end_of_the_file_can_be_shown() {
        assert_eq!(
            report("", 0, 0),
            "/etc/x.conf:1:1: error: no good\n    \n    ^"
        );
        assert_eq!(
            report("  a", 3, 3),
            "/etc/x.conf:1:4: error: no good\n    a\n     ^"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place_and_control_characters_are_blanked() {
        let text = "x".repeat(5000) + "\x1b[31mHERE" + &"y".repeat(5000);
        let shown = report(&text, 5005, 5009);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].len() < 110 && lines[2].len() < 110);
        let column = lines[2].find('^').expect("a caret");
        assert_eq!(&lines[1][column..column + 4], "HERE");
        assert!(!shown.contains('\x1b'));
    }

    #[test]
    fn entries_come_once_in_the_order_of_the_text() {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("x"), "abc".to_owned());
        let report = Report::default();
        let at = |start| Span {
            file,
            start,
            end: start + 1,
        };
        report.error(at(2), "second");
        report.warning(at(0), "first");
        report.error(at(2), "second");
        let list = report.finish(&sources);
        let messages: Vec<_> = list.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["first", "second"]);
    }

    #[test]
    fn a_flood_of_errors_is_counted_and_not_listed() {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("x"), "a".repeat(200));
        let report = Report::default();
        for start in 0..200 {
            report.error(
                Span {
                    file,
                    start,
                    end: start,
                },
                "bad",
            );
        }
        let list = report.finish(&sources);
        assert_eq!(list.len(), MAX_ERRORS + 1);
        assert_eq!(list[MAX_ERRORS].to_string(), "x: error: and 150 more");
    }
}
