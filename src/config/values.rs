//! Reads the values of keys: checks type and bounds, and notes an error for anything else.

use super::libconfig::value::{Node, Value};
use super::reader::Reader;
use super::schema::{Choice, Key, Kind, NEEDED, bytes};
use super::suggest;

impl Reader<'_> {
    /// Returns the text of a key, if it is set or has a default.
    pub(crate) fn text(&self, key: &'static Key) -> Option<String> {
        let Kind::Text(default) = key.kind else {
            unreachable!("'{}' is read as text", key.name);
        };
        let Some(setting) = self.find(key) else {
            return default.map(str::to_owned);
        };
        match &setting.node.value {
            Value::Text(text) if text.is_empty() && !key.may_be_empty => {
                self.empty(key, &setting.node);
            }
            Value::Text(text) => return Some(text.clone()),
            _ => self.wrong_type(key, &setting.node, "a string"),
        }
        None
    }

    /// Notes an empty string. As in the C gateway, it unsets a key that may be missing.
    fn empty(&self, key: &Key, node: &Node) {
        let name = key.name;
        if key.absent == NEEDED || key.default().is_some() {
            self.report.error(node.span, format!("'{name}' is empty"));
        } else {
            let message = format!("'{name}' is empty, which is as if it were not set");
            self.report.warning(node.span, message);
        }
    }

    /// Returns the text of a key that must be set. Notes an error if it is not, or is empty.
    pub(crate) fn needed(&self, key: &'static Key) -> Option<String> {
        match self.find(key).map(|setting| &setting.node.value) {
            None => self.missing(key),
            Some(Value::Text(text)) if text.is_empty() && !key.may_be_empty => {
                self.error(key, format!("'{}' is empty", key.name));
                return None;
            }
            Some(_) => {}
        }
        self.text(key)
    }

    /// Returns the words of a comma list, trimmed and without empty ones; `None` if the key is not
    /// set and has no default.
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

    /// Returns the strings of a key, each as it is; none if the key is not set.
    #[cfg(feature = "exec")]
    pub(crate) fn texts(&self, key: &'static Key) -> Vec<String> {
        let nodes = match self.find(key).map(|setting| &setting.node) {
            None => &[],
            Some(node) => match &node.value {
                Value::Array(nodes) | Value::List(nodes) => nodes.as_slice(),
                _ => std::slice::from_ref(node),
            },
        };
        let mut texts = Vec::new();
        for node in nodes {
            match &node.value {
                Value::Text(text) => texts.push(text.clone()),
                _ => self.wrong_type(key, node, "an array of strings"),
            }
        }
        texts
    }

    /// Returns the number of a key, if it is set or has a default. It may stand in quotes.
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

    /// Returns the bytes of a key that takes a size. In quotes it may end with K or M.
    pub(crate) fn size(&self, key: &'static Key) -> usize {
        let Kind::Size(default, least, most) = key.kind else {
            unreachable!("'{}' is read as a size", key.name);
        };
        let node = self.find(key).map(|setting| &setting.node);
        let read = match node.map(|node| &node.value) {
            None => Some(default),
            Some(Value::Int(number)) => Some(*number),
            Some(Value::Text(text)) => bytes_of(text.trim()),
            Some(_) => None,
        };
        match (read, node) {
            (Some(number), _) if (least..=most).contains(&number) => {
                return usize::try_from(number).unwrap_or(usize::MAX);
            }
            (None, Some(node)) => {
                self.wrong_type(key, node, "a number of bytes, such as \"512K\" or \"16M\"");
            }
            (number, _) => {
                let [number, least, most] = [number.unwrap_or_default(), least, most].map(bytes);
                let name = key.name;
                self.error(
                    key,
                    format!("'{name}' is {number}, but must be from {least} to {most}"),
                );
            }
        }
        usize::try_from(default).unwrap_or(usize::MAX)
    }

    /// Returns the number of a key that has a default and no negative values.
    pub(crate) fn count(&self, key: &'static Key) -> u32 {
        self.number(key)
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or_default()
    }

    /// Returns the value of a key that is true or false.
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

    /// Returns the value of the word of a key, or that of the default after an error.
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

    /// Notes that a key does not take a word.
    pub(crate) fn unknown_word<T>(&self, key: &'static Key, word: &str, choices: &[Choice<T>]) {
        let hint = suggest::hint(word, choices.iter().map(|choice| choice.word));
        let list = one_of(choices);
        let message = format!("'{}' cannot be '{word}': it takes {list}{hint}", key.name);
        self.error(key, message);
    }
}

/// Reads a number of bytes: digits, and K for 1024 or M for 1024 K.
fn bytes_of(text: &str) -> Option<i64> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
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
