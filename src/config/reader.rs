//! A group of the tree, checked against its section of the key table: finds settings by their keys,
//! and notes an error for any other setting. `values` reads their values.

use std::path::Path;

use glob::PatternError;

use super::built::Built;
use super::choices::AUTH_TYPES;
use super::disk::Disk;
use super::keys::auth::TYPE;
use super::keys::foreign::{ANYWHERE, Foreign};
use super::keys::{AUTH, IGNORE, ROOT};
use super::libconfig::diagnostic::Report;
use super::libconfig::source::Span;
use super::libconfig::value::{Node, Setting, Value};
use super::schema::{Key, Kind, Section};
use super::suggest;

/// What is the same for all groups of a configuration.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The errors and warnings so far.
    pub(crate) report: &'a Report,
    /// The features of the program.
    pub(crate) built: Built,
    /// Where directories are looked up, if they are.
    pub(crate) disk: Option<&'a Disk>,
}

/// The settings of one group.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    section: &'static Section,
    settings: &'a [Setting],
    /// The place for messages about the whole group.
    span: Span,
    /// The group in which inherited keys are looked up that this one does not set.
    outer: Option<&'a Reader<'a>>,
    /// The errors and warnings so far.
    pub(crate) report: &'a Report,
    /// The features of the program.
    pub(crate) built: Built,
    /// Where directories are looked up, if they are.
    pub(crate) disk: Option<&'a Disk>,
    /// Whether the file had syntax errors: a missing setting may be lost in one of them.
    partial: bool,
}

impl<'a> Reader<'a> {
    /// Reads the top of a file.
    pub(crate) fn root(settings: &'a [Setting], span: Span, context: Context<'a>) -> Self {
        let Context {
            report,
            built,
            disk,
        } = context;
        let reader = Self {
            section: &ROOT,
            settings,
            span,
            outer: None,
            report,
            built,
            disk,
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

    /// Returns the same group with another one in which inherited keys are looked up.
    pub(crate) fn within(self, outer: &'a Reader<'a>) -> Self {
        let outer = Some(outer);
        Self { outer, ..self }
    }

    /// Notes an error or a warning for each setting that is not a key of this section.
    fn check_names(&self) {
        let section = self.section;
        for setting in self.settings {
            let name = setting.name.as_str();
            if let Some(key) = self.key(setting) {
                self.check_former(setting, key);
            } else if let Some((_, why)) = foreign(section, name) {
                self.warn_foreign(setting, why);
            } else if section.refused.contains(&name) || section.find(name).is_some() {
                self.refuse(setting);
            } else {
                let near = suggest::hint(name, section.all().map(|key| key.name));
                let hint = match near.is_empty() {
                    true => home_of(name),
                    false => near,
                };
                let message = format!("unknown setting '{name}' in {}{hint}", section.name);
                self.report.error(setting.name_span, message);
            }
        }
    }

    /// Returns the key of a setting, if the section has it.
    fn key(&self, setting: &Setting) -> Option<&'static Key> {
        let key = self.section.find(&setting.name)?;
        let is_group = matches!(setting.node.value, Value::Group(_) | Value::List(_));
        let is_ours = !is_group || foreign(self.section, &setting.name).is_none();
        // Some logins of the C gateway are ours; the others are refused by their name.
        let is_known = key.name != AUTH.name || is_known_login(setting);
        (is_ours && is_known).then_some(key)
    }

    /// Notes a setting that keeps people out in the C gateway: an error unless `ignore` names it.
    fn refuse(&self, setting: &Setting) {
        let name = &setting.name;
        let is_waived = self.section.find(IGNORE.name).is_some()
            && self.words(&IGNORE).unwrap_or_default().contains(name);
        if is_waived {
            let message =
                format!("'{name}' of the C gateway has no effect here: everybody may come in");
            self.report.warning(setting.name_span, message);
        } else {
            let words = || AUTH_TYPES.map(|known| known.word).join(", ");
            let kind = match type_of_login(setting) {
                _ if name != AUTH.name => String::new(),
                Some(kind) => format!(" of type \"{kind}\" (there are {})", words()),
                None => format!(" without 'type' (there are {})", words()),
            };
            let message = format!(
                "'{name}'{kind} is not understood here, and without it everybody may come in; \
                 ignore = \"{name}\"; says that this is meant"
            );
            self.report.error(setting.name_span, message);
        }
    }

    /// Notes an error for a key that is set under two of its names.
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

    /// Returns the setting of a key in this group or, if the key is inherited, in the outer one.
    pub(crate) fn find(&self, key: &'static Key) -> Option<&'a Setting> {
        let is_of =
            |setting: &&Setting| self.key(setting).is_some_and(|own| std::ptr::eq(own, key));
        let own = self.settings.iter().find(is_of);
        let inherits = || self.section.inherited.iter().any(|k| std::ptr::eq(*k, key));
        match (own, self.outer) {
            (None, Some(outer)) if inherits() => outer.find(key),
            _ => own,
        }
    }

    /// Whether this group sets the key itself.
    pub(crate) fn sets(&self, key: &'static Key) -> bool {
        let alone = Reader {
            outer: None,
            ..*self
        };
        alone.find(key).is_some()
    }

    /// Returns the place for messages about a key: its value, or else the group.
    pub(crate) fn span(&self, key: &'static Key) -> Span {
        self.find(key)
            .map_or(self.span, |setting| setting.node.span)
    }

    /// Returns the place for messages about the whole group.
    pub(crate) fn here(&self) -> Span {
        self.span
    }

    /// Notes an error about a key.
    pub(crate) fn error(&self, key: &'static Key, message: impl Into<String>) {
        self.report.error(self.span(key), message);
    }

    /// Notes that a glob cannot be read.
    pub(crate) fn bad_glob(&self, key: &'static Key, glob: &str, error: &PatternError) {
        let (what, at) = (error.msg, error.pos + 1);
        self.error(
            key,
            format!("'{glob}' is not a glob: {what} (character {at})"),
        );
    }

    /// Warns of a directory that is missing or that the user of the daemon may not enter.
    pub(crate) fn check_directory(&self, key: &'static Key, directory: &Path) {
        // An empty path is an error of its own.
        let disk = self.disk.filter(|_| !directory.as_os_str().is_empty());
        if let Some(trouble) = disk.and_then(|disk| disk.trouble(directory)) {
            let (name, directory) = (key.name, directory.display());
            let message = format!("nothing in '{name}' can be served: {directory}: {trouble}");
            self.report.warning(self.span(key), message);
        }
    }

    /// Notes that a needed key is missing, unless it may be lost in a syntax error.
    pub(crate) fn missing(&self, key: &'static Key) {
        if !self.partial {
            let (section, name, sample) = (self.section.name, key.name, key.sample());
            let message = format!("{section} needs '{name}', such as {name} = {sample};");
            self.report.error(self.span, message);
        }
    }

    /// Notes that the value of a key has the wrong type.
    pub(crate) fn wrong_type(&self, key: &Key, node: &Node, wanted: &str) {
        let message = format!("'{}' takes {wanted}, not {}", key.name, node.value.kind());
        self.report.error(node.span, message);
    }

    /// Returns the group of a section, if it is there.
    pub(crate) fn group(&self, key: &'static Key) -> Option<Reader<'a>> {
        let Kind::Group(section) = key.kind else {
            unreachable!("'{}' is read as a group", key.name);
        };
        let setting = self.find(key)?;
        match &setting.node.value {
            // Files of the C gateway have lists.
            Value::List(nodes) if nodes.len() == 1 => {
                self.inner(section, &nodes[0], setting.name_span)
            }
            Value::List(_) => {
                let message = format!("a server has at most one '{0}': {0} = {{ ... }};", key.name);
                self.report.error(setting.name_span, message);
                None
            }
            _ => self.inner(section, &setting.node, setting.name_span),
        }
    }

    /// Returns the elements of a list of groups.
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

/// Returns ` (it belongs in ...)` for the name of a setting of other sections, or the empty string.
fn home_of(name: &str) -> String {
    let homes: Vec<_> = all_sections()
        .into_iter()
        .filter(|section| section.keys.iter().any(|key| key.name == name))
        .map(|section| section.name)
        .collect();
    match homes.is_empty() {
        true => String::new(),
        false => format!(" (it belongs in {})", homes.join(" or ")),
    }
}

/// Returns every section once, the outermost first.
fn all_sections() -> Vec<&'static Section> {
    let mut sections: Vec<&'static Section> = vec![&ROOT];
    let mut next = 0;
    while let Some(section) = sections.get(next) {
        next += 1;
        for key in section.keys {
            if let Kind::Group(inner) | Kind::List(inner) = key.kind
                && !sections.iter().any(|known| std::ptr::eq(*known, inner))
            {
                sections.push(inner);
            }
        }
    }
    sections
}

/// Returns the setting of the C gateway with this name that has no effect here.
fn foreign(section: &Section, name: &str) -> Option<&'static Foreign> {
    let mut all = section.foreign.iter().chain(ANYWHERE);
    all.find(|(foreign, _)| *foreign == name)
}

/// Whether an `auth` is of a type that is known here.
fn is_known_login(auth: &Setting) -> bool {
    let mut known = AUTH_TYPES.iter().map(|known| known.word);
    type_of_login(auth).is_some_and(|kind| known.any(|word| word.eq_ignore_ascii_case(kind)))
}

/// The type that an `auth` names.
fn type_of_login(auth: &Setting) -> Option<&str> {
    let group = match &auth.node.value {
        Value::List(nodes) => nodes.first().map(|node| &node.value),
        value => Some(value),
    };
    let Some(Value::Group(settings)) = group else {
        return None;
    };
    settings
        .iter()
        .find_map(|setting| match &setting.node.value {
            Value::Text(text) if setting.name == TYPE.name => Some(text.as_str()),
            _ => None,
        })
}
