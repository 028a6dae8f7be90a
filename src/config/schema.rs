//! The types of the key table: what describes a key of the configuration. The keys are in `keys`.

/// The value of `absent` for a key that must be set.
pub(crate) const NEEDED: &str = "needed";

/// One setting of the configuration.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// Former names, which are still read.
    pub(crate) former: &'static [&'static str],
    /// The type of its value, and the default.
    pub(crate) kind: Kind,
    /// What holds without the key, in words, where there is no default value.
    pub(crate) absent: &'static str,
    /// A value for the example file, where there is no default value.
    pub(crate) example: &'static str,
    /// Whether the empty string is a value.
    pub(crate) may_be_empty: bool,
    /// Whether the smallest file that serves has this section.
    pub(crate) in_smallest_file: bool,
    /// What it means. The first sentence stands alone.
    pub(crate) meaning: &'static str,
}

/// The type of a value, with the default.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A string; not an empty one unless the key allows it.
    Text(Option<&'static str>),
    /// Words between commas in a string, or an array of strings.
    Words(Option<&'static str>),
    /// An array of strings, or one string, each taken as it is.
    Texts,
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

/// One of the words of a key, and its meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<T> {
    /// The word in the file.
    pub(crate) word: &'static str,
    /// Its value in the program.
    pub(crate) value: T,
    /// Its meaning for a person.
    pub(crate) meaning: &'static str,
}

/// The keys that may stand in one group.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name in messages and in the manual.
    pub(crate) name: &'static str,
    /// Its own keys.
    pub(crate) keys: &'static [&'static Key],
    /// Keys of the enclosing section that may be set here too, for this element alone.
    pub(crate) inherited: &'static [&'static Key],
    /// Settings of the C gateway that have no effect here: the name, and what to do instead where
    /// there is something. Where a key has the same name, these are groups and lists, and the key
    /// takes neither.
    pub(crate) foreign: &'static [(&'static str, &'static str)],
    /// Settings of the C gateway that keep people out there and are not known here. They are errors
    /// unless `ignore` names them.
    pub(crate) refused: &'static [&'static str],
}

impl Section {
    /// A section without keys.
    pub(crate) const EMPTY: Self = Self {
        name: "",
        keys: &[],
        inherited: &[],
        foreign: &[],
        refused: &[],
    };

    /// Returns the key with this name, present or former.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        let named = |key: &&&'static Key| key.name == name || key.former.contains(&name);
        self.all().find(named).copied()
    }

    /// Returns all keys that may be set in it.
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

    /// A key that takes strings as they are and has no default.
    pub(crate) const fn texts(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Texts, meaning)
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

    /// Sets what holds without the key, in words, and a value for the example file.
    pub(crate) const fn absent(mut self, absent: &'static str, example: &'static str) -> Self {
        self.absent = absent;
        self.example = example;
        self
    }

    /// Marks a section that the smallest file that serves has.
    pub(crate) const fn in_smallest_file(mut self) -> Self {
        self.in_smallest_file = true;
        self
    }

    /// Marks a key that takes the empty string.
    pub(crate) const fn may_be_empty(mut self) -> Self {
        self.may_be_empty = true;
        self
    }

    /// Sets former names.
    pub(crate) const fn formerly(mut self, former: &'static [&'static str]) -> Self {
        self.former = former;
        self
    }

    /// Returns the default value, if there is one, as it is written in a file.
    pub(crate) fn default(&self) -> Option<String> {
        match self.kind {
            Kind::Text(default) | Kind::Words(default) => default.map(|text| format!("\"{text}\"")),
            Kind::Choice(default, _) => Some(format!("\"{default}\"")),
            Kind::Number(default, ..) => default.map(|number| number.to_string()),
            Kind::Size(default, ..) => Some(format!("\"{}\"", bytes(default))),
            Kind::Flag(default) => Some(default.to_string()),
            Kind::Texts | Kind::Group(_) | Kind::List(_) => None,
        }
    }

    /// Returns the bounds of a number as a sentence.
    pub(crate) fn bounds(&self) -> Option<String> {
        match self.kind {
            Kind::Number(_, least, most) => Some(format!("From {least} to {most}.")),
            Kind::Size(_, least, most) => {
                Some(format!("From {} to {}.", bytes(least), bytes(most)))
            }
            _ => None,
        }
    }

    /// Returns the example value as it is written in a file.
    pub(crate) fn sample(&self) -> String {
        match self.kind {
            Kind::Number(..) => self.example.to_owned(),
            _ => format!("\"{}\"", self.example),
        }
    }
}

impl Kind {
    /// Returns the section of this, if it takes groups.
    pub(crate) fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Group(section) | Self::List(section) => Some(section),
            _ => None,
        }
    }

    /// Returns the brackets around the keys of such groups.
    pub(crate) fn brackets(&self) -> (&'static str, &'static str) {
        match self {
            Self::List(_) => ("({", "})"),
            _ => ("{", "}"),
        }
    }
}

/// Returns a number of bytes as it is written in a file.
pub(crate) fn bytes(number: i64) -> String {
    match number {
        0 => "0".to_owned(),
        _ if number % (1 << 20) == 0 => format!("{}M", number >> 20),
        _ if number % (1 << 10) == 0 => format!("{}K", number >> 10),
        _ => number.to_string(),
    }
}

/// Returns the same choices without their values, for the key table.
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
                // A group of the C gateway may have the name of a word.
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
