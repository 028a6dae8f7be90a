//! Running: what a client sends is what is typed, but for the size of its window.
//!
//! The size is told by the sequence with which terminals report it, `ESC [ 8 ; ROWS ; COLUMNS t`
//! (xterm's control sequences, "Window manipulation"). No key sends it, so that it needs no
//! envelope around the keys and works with every framing.

/// What a report of the size begins with.
const REPORT: &[u8] = b"\x1b[8;";

/// Of a report that a read has cut, this much is waited for: less would hold back the Escape key
/// and Alt+[.
const CERTAIN: usize = 3;

/// Most digits of a number of rows or columns.
const DIGITS: usize = 4;

/// A part of what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Bytes for the program.
    Keys(Vec<u8>),
    /// The client's window has this size.
    Size {
        /// Lines of text, 1 to 9999.
        rows: u16,
        /// Characters a line, 1 to 9999.
        columns: u16,
    },
}

/// Tells keys and sizes apart, across reads.
#[derive(Default)]
pub(crate) struct Input {
    /// The beginning of a report whose end has not come yet: 15 bytes at the most.
    held: Vec<u8>,
}

/// What stands at an Escape.
enum Found {
    /// A report of this length in bytes.
    Report(usize, Part),
    /// The beginning of one.
    Beginning,
    /// Something else.
    Other,
}

impl Input {
    /// The parts of what was read, in order.
    pub(crate) fn split(&mut self, bytes: &[u8]) -> Vec<Part> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut parts = Vec::new();
        let mut keys = Vec::new();
        let mut rest = &all[..];
        while let Some(escape) = rest.iter().position(|&byte| byte == REPORT[0]) {
            keys.extend_from_slice(&rest[..escape]);
            rest = &rest[escape..];
            match find(rest) {
                Found::Report(length, size) => {
                    push(&mut parts, &mut keys);
                    parts.push(size);
                    rest = &rest[length..];
                }
                Found::Beginning => {
                    self.held = rest.to_vec();
                    rest = &[];
                }
                Found::Other => {
                    keys.push(REPORT[0]);
                    rest = &rest[1..];
                }
            }
        }
        keys.extend_from_slice(rest);
        push(&mut parts, &mut keys);
        parts
    }
}

fn push(parts: &mut Vec<Part>, keys: &mut Vec<u8>) {
    if !keys.is_empty() {
        parts.push(Part::Keys(std::mem::take(keys)));
    }
}

/// Looks at bytes that begin with an Escape.
fn find(bytes: &[u8]) -> Found {
    let beginning = bytes.len().min(REPORT.len());
    if bytes[..beginning] != REPORT[..beginning] || bytes.len() < CERTAIN {
        return Found::Other;
    }
    let Some(numbers) = bytes.get(REPORT.len()..) else {
        return Found::Beginning;
    };
    let Some((rows, after_rows)) = number(numbers, b';') else {
        return unfinished(numbers);
    };
    let Some((columns, after_columns)) = number(&numbers[after_rows..], b't') else {
        return unfinished(&numbers[after_rows..]);
    };
    let length = REPORT.len() + after_rows + after_columns;
    Found::Report(length, Part::Size { rows, columns })
}

/// The number at the start of `bytes` and what it takes with its `end`; not 0.
fn number(bytes: &[u8], end: u8) -> Option<(u16, usize)> {
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > DIGITS || bytes.get(digits) != Some(&end) {
        return None;
    }
    let text = str::from_utf8(&bytes[..digits]).ok()?;
    let number = text.parse().ok().filter(|number| *number > 0)?;
    Some((number, digits + 1))
}

/// Whether more bytes could still make a report of a number without its end.
fn unfinished(bytes: &[u8]) -> Found {
    if bytes.len() <= DIGITS && bytes.iter().all(u8::is_ascii_digit) {
        Found::Beginning
    } else {
        Found::Other
    }
}

#[cfg(test)]
mod tests;
