//! What a key of the configuration is: its name, what it takes, what holds
//! without it, what it means. The keys themselves are in `keys`.

/// What `absent` says of a key that must be set.
pub(crate) const NEEDED: &str = "needed";

/// One setting the configuration knows.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// Names it had, still understood.
    pub(crate) former: &'static [&'static str],
    /// What it takes, and the default.
    pub(crate) kind: Kind,
    /// In words, what holds where there is no default value.
    pub(crate) absent: &'static str,
    /// A value to show in the example file where there is no default value.
    pub(crate) example: &'static str,
    /// The empty string is a value like any other.
    pub(crate) may_be_empty: bool,
    /// A section that the smallest file which serves has.
    pub(crate) in_smallest_file: bool,
    /// What it means, in one or more sentences; the first stands alone.
    pub(crate) meaning: &'static str,
}

/// What a key takes.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Any string; not an empty one unless the key says so.
    Text(Option<&'static str>),
    /// Words between commas in a string, or an array of strings.
    Words(Option<&'static str>),
    /// One of several words.
    Choice(&'static str, &'static [Choice<()>]),
    /// A whole number between two bounds, both allowed.
    Number(Option<i64>, i64, i64),
    /// A number of bytes between two bounds, with K or M for 1024 or 1024 times as many.
    Size(i64, i64, i64),
    /// `true` or `false`.
    Flag(bool),
    /// One group with keys of its own.
    Group(&'static Section),
    /// A list of such groups.
    List(&'static Section),
}

/// One of the words a key takes, and what it stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<T> {
    /// The word in the file.
    pub(crate) word: &'static str,
    /// What it stands for in the program.
    pub(crate) value: T,
    /// What it means to a person.
    pub(crate) meaning: &'static str,
}

/// The keys that may stand in one group.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name in messages, tables and the manual.
    pub(crate) name: &'static str,
    /// The keys it brings.
    pub(crate) keys: &'static [&'static Key],
    /// Keys of the enclosing section that may stand here too, for this
    /// element alone.
    pub(crate) inherited: &'static [&'static Key],
    /// Settings of the C gateway that have no effect here: name and, if there
    /// is more to say than that, why or what instead. Where a key has the same
    /// name, they are groups and lists, and the key takes neither.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
    /// Settings of the C gateway that keep people out and are not understood
    /// here: an error unless `ignore` names them.
    pub(crate) refused: &'static [&'static str],
}

impl Section {
    /// A section without anything.
    pub(crate) const EMPTY: Self = Self {
        name: "",
        keys: &[],
        inherited: &[],
        foreign: &[],
        refused: &[],
    };

    /// The key of that name, present or former.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        let named = |key: &&&'static Key| key.name == name || key.former.contains(&name);
        self.all().find(named).copied()
    }

    /// All keys that may stand in it.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static &'static Key> {
        self.keys.iter().chain(self.inherited)
    }
}

impl Key {
    const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            name,
            former: &[],
            kind,
            absent: "",
            example: "",
            may_be_empty: false,
            in_smallest_file: false,
            meaning,
        }
    }

    /// A key that takes text and has a default.
    pub(crate) const fn text(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Text(Some(default)), meaning)
    }

    /// A key that takes text and has none.
    pub(crate) const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Text(None), meaning)
    }

    /// A key that takes a comma list.
    pub(crate) const fn words(
        name: &'static str,
        default: Option<&'static str>,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Words(default), meaning)
    }

    /// A key that takes one of several words.
    pub(crate) const fn choice(
        name: &'static str,
        default: &'static str,
        choices: &'static [Choice<()>],
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Choice(default, choices), meaning)
    }

    /// A key that takes a number and has a default.
    pub(crate) const fn number(
        name: &'static str,
        default: Option<i64>,
        (least, most): (i64, i64),
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Number(default, least, most), meaning)
    }

    /// A key that takes a number of bytes and has a default.
    pub(crate) const fn size(
        name: &'static str,
        default: i64,
        (least, most): (i64, i64),
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Size(default, least, most), meaning)
    }

    /// A key that is true or false.
    pub(crate) const fn flag(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Flag(false), meaning)
    }

    /// A section.
    pub(crate) const fn group(section: &'static Section, meaning: &'static str) -> Self {
        Self::new(section.name, Kind::Group(section), meaning)
    }

    /// A list of sections.
    pub(crate) const fn list(section: &'static Section, meaning: &'static str) -> Self {
        Self::new(section.name, Kind::List(section), meaning)
    }

    /// What holds without the key, in words, and a value to show it with.
    pub(crate) const fn absent(mut self, absent: &'static str, example: &'static str) -> Self {
        self.absent = absent;
        self.example = example;
        self
    }

    /// Marks a section that the smallest file which serves has.
    pub(crate) const fn in_smallest_file(mut self) -> Self {
        self.in_smallest_file = true;
        self
    }

    /// The empty string is a value of this key.
    pub(crate) const fn may_be_empty(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    /// Names the key had.
    pub(crate) const fn formerly(mut self, former: &'static [&'static str]) -> Self {
        self.former = former;
        self
    }

    /// The default value as it would stand in a file, if there is one.
    pub(crate) fn default(&self) -> Option<String> {
        match self.kind {
            Kind::Text(default) | Kind::Words(default) => default.map(|text| format!("\"{text}\"")),
            Kind::Choice(default, _) => Some(format!("\"{default}\"")),
            Kind::Number(default, ..) => default.map(|number| number.to_string()),
            Kind::Size(default, ..) => Some(format!("\"{}\"", bytes(default))),
            Kind::Flag(default) => Some(default.to_string()),
            Kind::Group(_) | Kind::List(_) => None,
        }
    }

    /// The bounds of a number, as a sentence.
    pub(crate) fn bounds(&self) -> Option<String> {
        match self.kind {
            Kind::Number(_, least, most) => Some(format!("From {least} to {most}.")),
            Kind::Size(_, least, most) => {
                Some(format!("From {} to {}.", bytes(least), bytes(most)))
            }
            _ => None,
        }
    }

    /// The example value as it would stand in a file.
    pub(crate) fn sample(&self) -> String {
        match self.kind {
            Kind::Number(..) => self.example.to_owned(),
            _ => format!("\"{}\"", self.example),
        }
    }
}

impl Kind {
    /// The keys of what this takes, if it takes groups.
    pub(crate) fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Group(section) | Self::List(section) => Some(section),
            _ => None,
        }
    }

    /// What stands around the keys of such groups.
    pub(crate) fn brackets(&self) -> (&'static str, &'static str) {
        match self {
            Self::List(_) => ("({", "})"),
            _ => ("{", "}"),
        }
    }
}

/// A number of bytes as it is written in a file.
pub(crate) fn bytes(number: i64) -> String {
    match number {
        _ if number % (1 << 20) == 0 => format!("{}M", number >> 20),
        _ if number % (1 << 10) == 0 => format!("{}K", number >> 10),
        _ => number.to_string(),
    }
}

/// The same choices without their values, for the key table.
pub(crate) const fn words<T, const N: usize>(choices: &[Choice<T>; N]) -> [Choice<()>; N] {
    let mut words = [Choice {
        word: "",
        value: (),
        meaning: "",
    }; N];
    let mut i = 0;
    while i < N {
        words[i].word = choices[i].word;
        words[i].meaning = choices[i].meaning;
        i += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::keys::ROOT;
    use super::*;

    fn each(section: &'static Section, check: &mut impl FnMut(&'static Section, &'static Key)) {
        for &key in section.keys {
            check(section, key);
            if let Kind::Group(inner) | Kind::List(inner) = key.kind {
                each(inner, check);
            }
        }
    }

    #[test]
    fn a_name_means_one_thing_in_a_section() {
        each(&ROOT, &mut |section, key| {
            let mut names: Vec<_> = section.all().map(|key| key.name).collect();
            names.extend(section.all().flat_map(|key| key.former));
            names.extend(section.refused);
            let foreign = section.foreign.iter().map(|(name, _)| name);
            match key.kind {
                // A group of this name is another setting than the word.
                Kind::Choice(..) => {}
                _ => names.extend(foreign),
            }
            let of = names.iter().filter(|name| **name == key.name).count();
            assert_eq!(of, 1, "{} in {}", key.name, section.name);
        });
    }

    #[test]
    fn every_key_says_its_default_or_what_holds_without() {
        each(&ROOT, &mut |section, key| {
            let whole = matches!(key.kind, Kind::Group(_) | Kind::List(_));
            let said = !key.absent.is_empty() && (whole || !key.example.is_empty());
            assert!(
                said != key.default().is_some() || whole,
                "{} in {}",
                key.name,
                section.name
            );
            assert!(key.meaning.ends_with('.'), "{}", key.name);
        });
    }

    #[test]
    fn a_default_is_one_of_the_choices_and_within_the_bounds() {
        each(&ROOT, &mut |_, key| match key.kind {
            Kind::Choice(default, choices) => assert!(choices.iter().any(|c| c.word == default)),
            Kind::Number(Some(default), least, most) | Kind::Size(default, least, most) => {
                assert!((least..=most).contains(&default));
            }
            _ => {}
        });
    }
}
