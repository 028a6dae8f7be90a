//! Tokens to a tree: the grammar of libconfig. The parser goes on after an error, so that one run
//! finds all of them.

use std::mem;

use super::diagnostic::Report;
use super::lexer::{Kind, Lexer, Token};
use super::source::{Sources, Span};
use super::value::{Node, Setting, Value};

/// Deepest nesting of groups, lists and arrays.
const MAX_DEPTH: usize = 32;
/// Syntax errors after which the rest of the file is not read.
const MAX_ERRORS: usize = 20;

/// Returns the settings of a file. Errors go to the report. After an error the settings that could
/// be read are returned too, so that their values are checked in the same run.
pub(crate) fn parse(sources: &mut Sources, report: &Report, file: usize) -> Vec<Setting> {
    let mut lexer = Lexer::new(sources, report, file);
    let token = lexer.next();
    let mut parser = Parser {
        lexer,
        report,
        token,
        text: None,
        depth: 0,
        errors: 0,
    };
    parser.file()
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    report: &'a Report,
    /// The token not yet taken.
    token: Token,
    /// The place of the last string taken.
    text: Option<Span>,
    depth: usize,
    errors: usize,
}

impl Parser<'_> {
    fn file(&mut self) -> Vec<Setting> {
        let mut settings = Vec::new();
        loop {
            settings = self.settings(settings);
            if self.token.kind == Kind::End {
                return settings;
            }
            self.unexpected("no bracket is open that this could close");
            self.take();
        }
    }

    /// Reads settings up to a closing bracket or the end, which is not taken.
    fn settings(&mut self, mut settings: Vec<Setting>) -> Vec<Setting> {
        loop {
            match &self.token.kind {
                Kind::End | Kind::Mark('}' | ')' | ']') => return settings,
                Kind::Mark(';' | ',') => drop(self.take()),
                Kind::Name(_) => {
                    let Some(setting) = self.setting() else {
                        continue;
                    };
                    match settings.iter().find(|first| first.name == setting.name) {
                        Some(first) => self.twice(&setting, first.name_span),
                        None => settings.push(setting),
                    }
                }
                _ => {
                    self.unexpected("expected the name of a setting");
                    self.recover();
                }
            }
        }
    }

    fn twice(&mut self, setting: &Setting, first: Span) {
        let place = self.lexer.sources.place(first);
        let there = match first.file == setting.name_span.file {
            true => format!("line {}", place.line),
            false => format!("{}:{}", place.path.display(), place.line),
        };
        let message = format!("'{}' is set twice (first in {there})", setting.name);
        self.error(setting.name_span, &message);
    }

    /// Reads `name = value;`. Returns `None` after an error.
    fn setting(&mut self) -> Option<Setting> {
        let Token { kind, span } = self.take();
        let Kind::Name(name) = kind else {
            return None;
        };
        if self.token.kind == Kind::Assign {
            self.take();
        } else {
            self.unexpected(&format!("expected '=' after '{name}'"));
            if !self.begins_value() {
                self.recover();
                return None;
            }
        }
        let Some(node) = self.value() else {
            self.recover();
            return None;
        };
        match &self.token.kind {
            Kind::Mark(';' | ',') => drop(self.take()),
            Kind::Name(_) | Kind::Mark('}' | ')' | ']') | Kind::End => {}
            _ => {
                self.unexpected(&format!("expected ';' after the value of '{name}'"));
                self.recover();
            }
        }
        Some(Setting {
            name,
            name_span: span,
            node,
        })
    }

    fn begins_value(&self) -> bool {
        let kind = &self.token.kind;
        matches!(
            kind,
            Kind::Text(_) | Kind::Int(_) | Kind::Float(_) | Kind::Bool(_)
        ) || matches!(kind, Kind::Mark('{' | '(' | '['))
    }

    /// Reads one value. Returns `None` after an error, whose token is not taken.
    fn value(&mut self) -> Option<Node> {
        if !self.begins_value() {
            let wanted = match &self.token.kind {
                Kind::Name(word) => instead_of(word),
                _ => "expected a value".to_owned(),
            };
            self.unexpected(&wanted);
            return None;
        }
        let Token { kind, mut span } = self.take();
        let value = match kind {
            Kind::Bool(value) => Value::Bool(value),
            Kind::Int(value) => Value::Int(value),
            Kind::Float(value) => Value::Float(value),
            Kind::Text(mut text) => {
                while let Kind::Text(more) = &self.token.kind {
                    text.push_str(more);
                    if self.token.span.file == span.file {
                        span.end = self.token.span.end;
                    }
                    self.take();
                }
                Value::Text(text)
            }
            Kind::Mark(open) => self.bracket(open, span)?,
            Kind::Name(_) | Kind::Assign | Kind::Bad | Kind::End => return None,
        };
        Some(Node { value, span })
    }

    /// Reads what follows an opening bracket, the closing one included.
    fn bracket(&mut self, open: char, span: Span) -> Option<Value> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} deep");
            self.error(span, &message);
            self.give_up();
            return None;
        }
        self.depth += 1;
        let (value, close) = match open {
            '{' => (Value::Group(self.settings(Vec::new())), '}'),
            '(' => (Value::List(self.elements(')')), ')'),
            _ => (Value::Array(self.array()), ']'),
        };
        self.depth -= 1;
        if self.token.kind == Kind::Mark(close) {
            self.take();
        } else if self.token.kind == Kind::End {
            if !self.lexer.cut {
                let message = format!("this '{open}' is never closed with '{close}'");
                self.error(span, &message);
            }
        } else {
            let line = self.lexer.sources.place(span).line;
            self.unexpected(&format!(
                "expected '{close}' for the '{open}' of line {line}"
            ));
        }
        Some(value)
    }

    /// Reads values between commas up to a closing bracket, which is not taken. A comma may follow
    /// the last value.
    fn elements(&mut self, close: char) -> Vec<Node> {
        let mut nodes = Vec::new();
        while !matches!(self.token.kind, Kind::End | Kind::Mark('}' | ')' | ']')) {
            match self.value() {
                Some(node) => nodes.push(node),
                None => self.recover_element(),
            }
            match self.token.kind {
                Kind::Mark(',') => drop(self.take()),
                Kind::End | Kind::Mark('}' | ')' | ']') => {}
                _ => {
                    self.unexpected(&format!("expected ',' or '{close}'"));
                    self.recover_element();
                }
            }
        }
        nodes
    }

    /// Reads the elements of an array: scalars of one type.
    fn array(&mut self) -> Vec<Node> {
        let nodes = self.elements(']');
        let Some(first) = nodes.first().map(|node| mem::discriminant(&node.value)) else {
            return nodes;
        };
        for node in &nodes {
            let message = match &node.value {
                Value::Array(_) | Value::List(_) | Value::Group(_) => {
                    format!(
                        "{} cannot stand in an array; use ( ) instead of [ ]",
                        node.value.kind()
                    )
                }
                value if mem::discriminant(value) != first => {
                    format!(
                        "{} beside {}: an array holds one type",
                        value.kind(),
                        nodes[0].value.kind()
                    )
                }
                _ => continue,
            };
            self.error(node.span, &message);
            break;
        }
        nodes
    }

    fn take(&mut self) -> Token {
        if let Kind::Text(_) = self.token.kind {
            self.text = Some(self.token.span);
        }
        let next = self.lexer.next();
        mem::replace(&mut self.token, next)
    }

    /// Skips the rest of a setting: up to and with its `;`, or up to the bracket that closes the
    /// group.
    fn recover(&mut self) {
        self.skip_to(';');
        if self.token.kind == Kind::Mark(';') {
            self.take();
        }
    }

    /// Skips the rest of an element of a list.
    fn recover_element(&mut self) {
        self.skip_to(',');
    }

    fn skip_to(&mut self, end: char) {
        let mut depth = 0_usize;
        loop {
            match self.token.kind {
                Kind::End => return,
                Kind::Mark(mark) if mark == end && depth == 0 => return,
                Kind::Mark('}' | ')' | ']') if depth == 0 => return,
                Kind::Mark('}' | ')' | ']') => depth -= 1,
                Kind::Mark('{' | '(' | '[') => depth += 1,
                _ => {}
            }
            self.take();
        }
    }

    /// Notes an error at the token not taken, unless the lexer has reported that token.
    fn unexpected(&mut self, message: &str) {
        if self.token.kind == Kind::Bad {
            return;
        }
        let found = match &self.token.kind {
            Kind::Name(name) => format!("'{name}'"),
            Kind::Assign => "'='".to_owned(),
            Kind::Mark(mark) => format!("'{mark}'"),
            Kind::Text(_) => "a string".to_owned(),
            Kind::Int(_) | Kind::Float(_) => "a number".to_owned(),
            Kind::Bool(_) => "a boolean".to_owned(),
            Kind::Bad | Kind::End => "the end of the file".to_owned(),
        };
        let message = format!("{message}, found {found}{}", self.missing_quote());
        self.error(self.token.span, &message);
    }

    /// Returns a hint if the last string went over several lines.
    fn missing_quote(&self) -> String {
        let lines = self.text.map(|span| {
            let text = &self.lexer.sources.get(span.file).text[span.start..span.end];
            (
                self.lexer.sources.place(span).line,
                text.matches('\n').count(),
            )
        });
        match lines {
            None | Some((_, 0)) => String::new(),
            Some((line, more)) => {
                let last = line + more;
                format!(
                    " (the string before reaches from line {line} to {last}: is a '\"' missing?)"
                )
            }
        }
    }

    fn error(&mut self, span: Span, message: &str) {
        if self.errors >= MAX_ERRORS {
            return;
        }
        self.report.error(span, message);
        self.errors += 1;
        if self.errors == MAX_ERRORS {
            self.give_up();
        }
    }

    /// Skips the rest of the file without further errors.
    fn give_up(&mut self) {
        self.errors = MAX_ERRORS;
        while self.token.kind != Kind::End {
            self.token = self.lexer.next();
        }
    }
}

/// Returns what to write where a bare word stands instead of a value.
fn instead_of(word: &str) -> String {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" => "expected a value, such as true".to_owned(),
        "no" | "off" => "expected a value, such as false".to_owned(),
        _ => format!("expected a value, such as the string \"{word}\" in its double quotes"),
    }
}
