//! Text to tokens: the words of a libconfig file and of the files that it includes.
//!
//! It accepts what libconfig 1.5 to 1.8 accept, and reports errors inside a word. Errors in the
//! order of words are the parser's.

use std::path::Path;

use super::diagnostic::Report;
use super::literal::{self, Number, Wrong};
use super::source::{Sources, Span};
use crate::system::reason::reason;

/// Deepest `@include` within `@include`, as in libconfig.
const MAX_INCLUDE: usize = 10;

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is.
    pub(crate) span: Span,
}

/// The kinds of words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The name of a setting.
    Name(String),
    /// `=` or `:`.
    Assign,
    /// A punctuation character: one of `; , { } ( ) [ ]`.
    Mark(char),
    /// A string literal.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent.
    Float(String),
    /// `true` or `false`.
    Bool(bool),
    /// A word with an error that was reported.
    Bad,
    /// The end of the main file.
    End,
}

/// Reads a file and the files that it includes, word by word.
pub(crate) struct Lexer<'a> {
    pub(crate) sources: &'a mut Sources,
    report: &'a Report,
    /// Whether a string or comment without end took the rest of a file.
    pub(crate) cut: bool,
    /// The files being read, each with the offset reached. The innermost is last.
    open: Vec<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    /// Starts at the first byte of a file.
    pub(crate) fn new(sources: &'a mut Sources, report: &'a Report, file: usize) -> Self {
        Self {
            sources,
            report,
            cut: false,
            open: vec![(file, 0)],
        }
    }

    /// Returns the next word, and `End` from the last one on.
    pub(crate) fn next(&mut self) -> Token {
        loop {
            let (file, at) = self.open[self.open.len() - 1];
            let text = self.sources.get(file).text.as_str();
            let span = |start, length| Span {
                file,
                start,
                end: start + length,
            };
            let start = match skip_blanks(text, at) {
                Ok(start) => start,
                Err(comment) => {
                    self.cut = true;
                    self.report
                        .error(span(comment, 2), "this comment is never closed with '*/'");
                    text.len()
                }
            };
            if start == text.len() {
                if self.open.len() > 1 {
                    self.open.pop();
                    continue;
                }
                return self.token(Kind::End, span(start, 0));
            }
            if text[start..].starts_with("@include") {
                self.include(file, start);
                continue;
            }
            let (kind, length) = match scan(&text[start..]) {
                Ok(found) => found,
                Err(wrong) => {
                    let place = span(start + wrong.offset, wrong.shown);
                    self.report.error(place, wrong.message);
                    self.cut |= start + wrong.length == text.len();
                    (Kind::Bad, wrong.length)
                }
            };
            return self.token(kind, span(start, length));
        }
    }

    fn token(&mut self, kind: Kind, span: Span) -> Token {
        if let Some(top) = self.open.last_mut() {
            top.1 = span.end;
        }
        Token { kind, span }
    }

    /// Opens the file that `@include "FILE"` at `start` names. FILE is relative to the directory of
    /// the file with the `@include`.
    fn include(&mut self, file: usize, start: usize) {
        let source = self.sources.get(file);
        let after = start + "@include".len();
        let rest = source.text[after..].trim_start_matches([' ', '\t']);
        let quote = source.text.len() - rest.len();
        let name = file_name(rest);
        let (Ok((_, length)) | Err(Wrong { length, .. })) = name;
        let span = Span {
            file,
            start: quote,
            end: quote + length,
        };
        let directory = source.path.parent().unwrap_or(Path::new("")).to_owned();
        self.token(Kind::Bad, span);
        let message = match name {
            Err(wrong) => wrong.message,
            Ok(_) if self.open.len() > MAX_INCLUDE => {
                format!("files include each other more than {MAX_INCLUDE} deep")
            }
            Ok((name, _)) => match self.sources.read(&directory.join(&name)) {
                Ok(included) => return self.open.push((included, 0)),
                Err(error) => {
                    let path = directory.join(name);
                    format!("cannot read {}: {}", path.display(), reason(&error))
                }
            },
        };
        self.report.error(span, message);
    }
}

/// Returns the quoted file name that `rest` begins with, and its length.
fn file_name(rest: &str) -> Result<(String, usize), Wrong> {
    match rest.starts_with('"') {
        true => literal::string(rest),
        false => Err(Wrong::at(0, 0, "expected the name of a file in quotes")),
    }
}

/// Returns the offset of the next word from `at` on.
///
/// # Errors
/// The offset of a comment that has no end.
fn skip_blanks(text: &str, mut at: usize) -> Result<usize, usize> {
    loop {
        let rest = &text[at..];
        let blank = rest.len()
            - rest
                .trim_start_matches([' ', '\t', '\r', '\n', '\x0c', '\x0b', '\u{feff}'])
                .len();
        at += blank;
        let rest = &text[at..];
        if rest.starts_with('#') || rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(inside) = rest.strip_prefix("/*") {
            at += 4 + inside.find("*/").ok_or(at)?;
        } else {
            return Ok(at);
        }
    }
}

/// Returns the word that `rest` begins with, and its length. `rest` is not empty.
fn scan(rest: &str) -> Result<(Kind, usize), Wrong> {
    let first = rest.chars().next().unwrap_or_default();
    match first {
        '=' | ':' => Ok((Kind::Assign, 1)),
        ';' | ',' | '{' | '}' | '(' | ')' | '[' | ']' => Ok((Kind::Mark(first), 1)),
        '"' => literal::string(rest).map(|(text, length)| (Kind::Text(text), length)),
        '0'..='9' | '+' | '-' | '.' => literal::number(rest).map(|(number, length)| match number {
            Number::Int(value) => (Kind::Int(value), length),
            Number::Float(value) => (Kind::Float(value), length),
        }),
        'A'..='Z' | 'a'..='z' | '*' => Ok(name(rest)),
        '/' | '\'' | '‘' | '“' => Err(literal::unquoted(rest)),
        _ => {
            let length = rest.find(is_plain).unwrap_or(rest.len());
            let shown: String = rest[..length].chars().take(20).map(plain).collect();
            let message = format!("unexpected '{shown}'");
            Err(Wrong::at(0, length.max(1), &message))
        }
    }
}

/// Whether a character begins a word or stands between words.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "=:;,{}()[]\"+-.*#/@".contains(c)
}

/// Returns a character as it is, or as libconfig's escape if a terminal would not show it.
fn plain(c: char) -> String {
    match c.is_control() {
        true => format!("\\x{:02x}", u32::from(c)),
        false => c.to_string(),
    }
}

fn name(rest: &str) -> (Kind, usize) {
    let length = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_*".contains(c)))
        .unwrap_or(rest.len());
    let word = &rest[..length];
    let kind = if word.eq_ignore_ascii_case("true") {
        Kind::Bool(true)
    } else if word.eq_ignore_ascii_case("false") {
        Kind::Bool(false)
    } else {
        Kind::Name(word.to_owned())
    };
    (kind, length)
}
