//! A group of the tree, read by the key table: the values of its keys with
//! the right type and in their bounds, and an error for whatever else is in
//! it.

use super::built::Built;
use super::keys::ROOT;
use super::libconfig::diagnostic::Report;
use super::libconfig::source::Span;
use super::libconfig::value::{Node, Setting, Value};
use super::schema::{Choice, Key, Kind, NEEDED, Section};
use super::suggest;

/// The settings of one group.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    section: &'static Section,
    settings: &'a [Setting],
    /// Where to point when something is missing.
    span: Span,
    /// The group this one's inherited keys fall back to.
    outer: Option<&'a Reader<'a>>,
    /// Where errors go.
    pub(crate) report: &'a Report,
    /// What this program was built with.
    pub(crate) built: Built,
    /// The file could not be read whole: what is missing may have been there.
    partial: bool,
}

impl<'a> Reader<'a> {
    /// Reads the top of a file.
    pub(crate) fn root(
        settings: &'a [Setting],
        span: Span,
        report: &'a Report,
        built: Built,
    ) -> Self {
        let reader = Self {
            section: &ROOT,
            settings,
            span,
            outer: None,
            report,
            built,
            partial: report.has_errors(),
        };
        reader.check_names();
        reader
    }

    fn inner(&self, section: &'static Section, node: &'a Node, span: Span) -> Option<Reader<'a>> {
        let Value::Group(settings) = &node.value else {
            let kind = node.value.kind();
            let message = format!("'{}' takes groups {{ ... }}, not {kind}", section.name);
            self.report.error(node.span, message);
            return None;
        };
        let reader = Reader {
            section,
            settings,
            span,
            outer: None,
            ..*self
        };
        reader.check_names();
        Some(reader)
    }

    /// The same group; keys it inherits and does not set are read in `outer`.
    pub(crate) fn within(self, outer: &'a Reader<'a>) -> Self {
        let outer = Some(outer);
        Self { outer, ..self }
    }

    /// Looks for names that do not belong here.
    fn check_names(&self) {
        let section = self.section;
        for setting in self.settings {
            let name = setting.name.as_str();
            let foreign = section.foreign.iter().find(|(foreign, _)| *foreign == name);
            match (section.find(name), foreign) {
                (Some(key), _) => self.check_former(setting, key),
                (None, Some((_, why))) => self.warn_foreign(setting, why),
                (None, None) => {
                    let hint = suggest::hint(name, section.all().map(|key| key.name));
                    let message = format!("unknown setting '{name}' in {}{hint}", section.name);
                    self.report.error(setting.name_span, message);
                }
            }
        }
    }

    /// A key cannot be set under two of its names.
    fn check_former(&self, setting: &Setting, key: &Key) {
        let present = |other: &Setting| other.name == key.name;
        if setting.name != key.name && self.settings.iter().any(present) {
            let (former, name) = (&setting.name, key.name);
            let message =
                format!("'{former}' is the former name of '{name}', which is set as well");
            self.report.error(setting.name_span, message);
        }
    }

    fn warn_foreign(&self, setting: &Setting, why: &str) {
        let what = match setting.node.value {
            Value::Group(_) | Value::List(_) => "section",
            _ => "setting",
        };
        let colon = if why.is_empty() { "" } else { ": " };
        let name = &setting.name;
        let message = format!("{what} '{name}' of the C gateway has no effect here{colon}{why}");
        self.report.warning(setting.name_span, message);
    }

    fn find(&self, key: &'static Key) -> Option<&'a Setting> {
        let named = |s: &&Setting| s.name == key.name || key.former.contains(&s.name.as_str());
        let own = self.settings.iter().find(named);
        let inherits = || self.section.inherited.iter().any(|k| std::ptr::eq(*k, key));
        match (own, self.outer) {
            (None, Some(outer)) if inherits() => outer.find(key),
            _ => own,
        }
    }

    /// Whether this very group sets the key.
    pub(crate) fn sets(&self, key: &'static Key) -> bool {
        let alone = Reader {
            outer: None,
            ..*self
        };
        alone.find(key).is_some()
    }

    /// Where to point for this key: at its value, or at the group's name.
    pub(crate) fn span(&self, key: &'static Key) -> Span {
        self.find(key)
            .map_or(self.span, |setting| setting.node.span)
    }

    /// Where to point for the group as a whole.
    pub(crate) fn here(&self) -> Span {
        self.span
    }

    /// Notes an error about a key.
    pub(crate) fn error(&self, key: &'static Key, message: impl Into<String>) {
        self.report.error(self.span(key), message);
    }

    /// Notes that a key must be set and is not, unless it may have been lost
    /// in a syntax error.
    pub(crate) fn missing(&self, key: &'static Key) {
        if !self.partial {
            let (section, name, sample) = (self.section.name, key.name, key.sample());
            let message = format!("{section} needs '{name}', such as {name} = {sample};");
            self.report.error(self.span, message);
        }
    }

    fn wrong_type(&self, key: &Key, node: &Node, wanted: &str) {
        let message = format!("'{}' takes {wanted}, not {}", key.name, node.value.kind());
        self.report.error(node.span, message);
    }

    /// The text of a key, if it is set or has a default.
    pub(crate) fn text(&self, key: &'static Key) -> Option<String> {
        let Kind::Text(default) = key.kind else {
            unreachable!("'{}' is read as text", key.name);
        };
        let Some(setting) = self.find(key) else {
            return default.map(str::to_owned);
        };
        match &setting.node.value {
            Value::Text(text) if text.is_empty() => self.empty(key, &setting.node),
            Value::Text(text) => return Some(text.clone()),
            _ => self.wrong_type(key, &setting.node, "a string"),
        }
        None
    }

    /// An empty string unsets what may be missing, as in the C gateway.
    fn empty(&self, key: &Key, node: &Node) {
        let name = key.name;
        if key.absent == NEEDED || key.default().is_some() {
            self.report.error(node.span, format!("'{name}' is empty"));
        } else {
            let message = format!("'{name}' is empty, which is as if it were not set");
            self.report.warning(node.span, message);
        }
    }

    /// The text of a key that must be set; an error, and nothing, if not.
    pub(crate) fn needed(&self, key: &'static Key) -> Option<String> {
        if self.find(key).is_none() {
            self.missing(key);
        }
        self.text(key)
    }

    /// The words of a comma list, each trimmed, none empty; nothing if the
    /// key is not set and has no default.
    pub(crate) fn words(&self, key: &'static Key) -> Option<Vec<String>> {
        let Kind::Words(default) = key.kind else {
            unreachable!("'{}' is read as words", key.name);
        };
        let Some(setting) = self.find(key) else {
            return default.map(split);
        };
        let wanted = "a string of words between commas";
        match &setting.node.value {
            Value::Text(text) => return Some(split(text)),
            Value::Array(nodes) | Value::List(nodes) => {
                let mut words = Vec::new();
                for node in nodes {
                    match &node.value {
                        Value::Text(text) => words.extend(split(text)),
                        _ => self.wrong_type(key, node, wanted),
                    }
                }
                return Some(words);
            }
            _ => self.wrong_type(key, &setting.node, wanted),
        }
        None
    }

    /// The number of a key, if it is set or has a default. Digits in quotes
    /// are a number too.
    pub(crate) fn number(&self, key: &'static Key) -> Option<i64> {
        let Kind::Number(default, least, most) = key.kind else {
            unreachable!("'{}' is read as a number", key.name);
        };
        let Some(setting) = self.find(key) else {
            return default;
        };
        let number = match &setting.node.value {
            Value::Int(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            None => self.wrong_type(key, &setting.node, "a whole number"),
            Some(number) if (least..=most).contains(&number) => return Some(number),
            Some(number) => {
                self.error(
                    key,
                    format!(
                        "'{}' is {number}, but must be from {least} to {most}",
                        key.name
                    ),
                );
            }
        }
        default
    }

    /// The number of a key that has a default and no negative values.
    pub(crate) fn count(&self, key: &'static Key) -> u32 {
        self.number(key)
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or_default()
    }

    /// A key that is true or false.
    pub(crate) fn flag(&self, key: &'static Key) -> bool {
        let Kind::Flag(default) = key.kind else {
            unreachable!("'{}' is read as a flag", key.name);
        };
        match self.find(key).map(|setting| &setting.node) {
            None => default,
            Some(Node {
                value: Value::Bool(flag),
                ..
            }) => *flag,
            Some(node) => {
                self.wrong_type(key, node, "true or false");
                default
            }
        }
    }

    /// What the word of a key stands for; the default's value after an error.
    pub(crate) fn choice<T: Copy, const N: usize>(
        &self,
        key: &'static Key,
        choices: &[Choice<T>; N],
    ) -> T {
        let Kind::Choice(default, _) = key.kind else {
            unreachable!("'{}' is read as a choice", key.name);
        };
        let value = |word: &str| choices.iter().find(|c| c.word == word).map(|c| c.value);
        let node = self.find(key).map(|setting| &setting.node);
        match node.map(|node| &node.value) {
            None => {}
            Some(Value::Text(word)) => match value(word) {
                Some(value) => return value,
                None => self.unknown_word(key, word, choices),
            },
            Some(_) => {
                let list = one_of(choices);
                node.into_iter()
                    .for_each(|node| self.wrong_type(key, node, &list));
            }
        }
        value(default).unwrap_or(choices[0].value)
    }

    /// Notes that a word is none of those a key takes.
    pub(crate) fn unknown_word<T>(&self, key: &'static Key, word: &str, choices: &[Choice<T>]) {
        let hint = suggest::hint(word, choices.iter().map(|choice| choice.word));
        let list = one_of(choices);
        let message = format!("'{}' cannot be '{word}': it takes {list}{hint}", key.name);
        self.error(key, message);
    }

    /// A section, if it is there.
    pub(crate) fn group(&self, key: &'static Key) -> Option<Reader<'a>> {
        let Kind::Group(section) = key.kind else {
            unreachable!("'{}' is read as a group", key.name);
        };
        let setting = self.find(key)?;
        if let Value::List(_) = setting.node.value {
            let message = format!("a server has at most one '{0}': {0} = {{ ... }};", key.name);
            self.report.error(setting.name_span, message);
            return None;
        }
        self.inner(section, &setting.node, setting.name_span)
    }

    /// The elements of a list of sections.
    pub(crate) fn list(&self, key: &'static Key) -> Vec<Reader<'a>> {
        let Kind::List(section) = key.kind else {
            unreachable!("'{}' is read as a list", key.name);
        };
        let Some(setting) = self.find(key) else {
            return Vec::new();
        };
        let Value::List(nodes) = &setting.node.value else {
            let message = format!(
                "'{0}' is a list of groups, not {1}: {0} = ( {{ ... }}, {{ ... }} );",
                key.name,
                setting.node.value.kind()
            );
            self.report.error(setting.name_span, message);
            return Vec::new();
        };
        let element = |node: &'a Node| self.inner(section, node, node.span);
        nodes.iter().filter_map(element).collect()
    }
}

fn split(text: &str) -> Vec<String> {
    let words = text.split(',').map(str::trim);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn one_of<T>(choices: &[Choice<T>]) -> String {
    let words: Vec<_> = choices
        .iter()
        .map(|choice| format!("\"{}\"", choice.word))
        .collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
