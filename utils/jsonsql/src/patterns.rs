//! The patterns of LIKE and GLOB. SQLite takes a quarter of a second to match a long one with a
//! long text, and a statement may have thousands. This one looks at the clock meanwhile.

/// Characters compared between two looks at the clock.
const COMPARED: u32 = 10_000;

/// A part of a pattern.
enum Part {
    /// Any characters.
    Any,
    /// Any one character.
    One,
    /// This character.
    Letter(char),
    /// A character in one of these ranges, or in none of them.
    Set {
        ranges: Vec<(char, char)>,
        inverted: bool,
    },
    /// No character: the pattern is not complete.
    Nothing,
}

/// The pattern of LIKE or GLOB.
pub(crate) struct Pattern {
    parts: Vec<Part>,
    fold: bool,
}

impl Pattern {
    /// `%` and `_`. ASCII letters match in both cases.
    pub(crate) fn like(text: &str, escape: Option<char>) -> Pattern {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                _ if Some(character) == escape => {
                    characters.next().map_or(Part::Nothing, Part::Letter)
                }
                '%' => Part::Any,
                '_' => Part::One,
                letter => Part::Letter(letter),
            });
        }
        Pattern { parts, fold: true }
    }

    /// `*`, `?` and `[a-z]`.
    pub(crate) fn glob(text: &str) -> Pattern {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            rest = &rest[character.len_utf8()..];
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '[' => {
                    let (set, after) = set(rest).unwrap_or((Part::Nothing, ""));
                    rest = after;
                    set
                }
                letter => Part::Letter(letter),
            });
        }
        Pattern { parts, fold: false }
    }

    /// Whether it fits all of a text; `None` if `is_over` ended it.
    pub(crate) fn fits(&self, text: &str, is_over: impl Fn() -> bool) -> Option<bool> {
        let mut rest = text;
        let mut part = 0;
        // Where the last `Any` ends: in the pattern, and in the text so far.
        let mut any = None;
        let mut compared: u32 = 0;
        while let Some(character) = rest.chars().next() {
            compared += 1;
            if compared.is_multiple_of(COMPARED) && is_over() {
                return None;
            }
            match self.parts.get(part) {
                Some(Part::Any) => {
                    part += 1;
                    any = Some((part, rest));
                }
                Some(other) if self.fit(other, character) => {
                    part += 1;
                    rest = &rest[character.len_utf8()..];
                }
                Some(_) | None => {
                    let Some((after, from)) = any else {
                        return Some(false);
                    };
                    let mut characters = from.chars();
                    characters.next();
                    rest = characters.as_str();
                    part = after;
                    any = Some((part, rest));
                }
            }
        }
        let left = self.parts.get(part..).unwrap_or_default();
        Some(left.iter().all(|part| matches!(part, Part::Any)))
    }

    fn fit(&self, part: &Part, character: char) -> bool {
        match part {
            Part::Any | Part::One => true,
            Part::Letter(letter) if self.fold => letter.eq_ignore_ascii_case(&character),
            Part::Letter(letter) => *letter == character,
            Part::Set { ranges, inverted } => {
                let within = |(first, last): &(char, char)| (first..=last).contains(&&character);
                ranges.iter().any(within) != *inverted
            }
            Part::Nothing => false,
        }
    }
}

/// The set that `text` begins with, after its bracket, and what follows it.
fn set(text: &str) -> Option<(Part, &str)> {
    let inner = text.strip_prefix('^');
    let inverted = inner.is_some();
    let inner = inner.unwrap_or(text);
    // A bracket at the start is a member.
    let from = usize::from(inner.starts_with(']'));
    let end = from + inner[from..].find(']')?;
    let mut ranges = Vec::new();
    let mut members = inner[..end].chars().peekable();
    let mut first = None;
    while let Some(member) = members.next() {
        let range = first.take().zip(members.peek().copied());
        if let ('-', Some((first, last))) = (member, range) {
            ranges.push((first, last));
            members.next();
        } else {
            ranges.push((member, member));
            first = Some(member);
        }
    }
    Some((Part::Set { ranges, inverted }, &inner[end + 1..]))
}
