//! The texts of all files of one configuration, and places in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest configuration file, in bytes.
const MAX_FILE: u64 = 256 * 1024;
/// Most files read for one configuration.
const MAX_FILES: usize = 100;

/// A run of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Index of the file in [`Sources`].
    pub file: usize,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset of the byte after the last one.
    pub end: usize,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path, as it was given.
    pub(crate) path: PathBuf,
    /// Its text. U+FFFD stands for bytes that are not UTF-8.
    pub(crate) text: String,
}

/// A place for a person: lines and columns are counted from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location<'a> {
    /// The file.
    pub(crate) path: &'a Path,
    /// Line number.
    pub(crate) line: usize,
    /// Column, in characters.
    pub(crate) column: usize,
    /// The whole line, without its end.
    pub(crate) text: &'a str,
    /// Length of the span on this line, in characters.
    pub(crate) width: usize,
}

/// All files of one configuration, in the order they were opened.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Reads a file and returns its index.
    ///
    /// # Errors
    /// As open(2) and read(2); `InvalidData` for a file longer than [`MAX_FILE`] or one file too
    /// many.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<usize> {
        if self.0.len() == MAX_FILES {
            let message = format!("more than {MAX_FILES} files");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(self.add(path, read_text(File::open(path)?)?))
    }

    /// Adds a text under a name and returns its index.
    pub(crate) fn add(&mut self, path: &Path, text: String) -> usize {
        let path = path.to_owned();
        self.0.push(Source { path, text });
        self.0.len() - 1
    }

    /// Returns the file of an index that `read` or `add` returned.
    pub(crate) fn get(&self, file: usize) -> &Source {
        &self.0[file]
    }

    /// Returns where a span begins.
    pub(crate) fn place(&self, span: Span) -> Location<'_> {
        let source = self.get(span.file);
        let text = source.text.as_str();
        let begin = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.start..]
            .find('\n')
            .map_or(text.len(), |at| span.start + at);
        let shown = span.end.clamp(span.start, end);
        Location {
            path: &source.path,
            line: text[..begin].matches('\n').count() + 1,
            column: text[begin..span.start].chars().count() + 1,
            text: text[begin..end].trim_end_matches('\r'),
            width: text[span.start..shown].chars().count(),
        }
    }
}

/// Reads a text to its end. U+FFFD stands for bytes that are not UTF-8.
///
/// # Errors
/// As read(2); `InvalidData` for more than [`MAX_FILE`] bytes.
pub(crate) fn read_text(reader: impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let message = format!("longer than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, start: usize, end: usize) -> (usize, usize, String, usize) {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("x.conf"), text.to_owned());
        let place = sources.place(Span { file, start, end });
        (place.line, place.column, place.text.to_owned(), place.width)
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        assert_eq!(place("a", 0, 1), (1, 1, "a".into(), 1));
        assert_eq!(place("é = x\r\nb\n", 3, 4), (1, 3, "é = x".into(), 1));
        assert_eq!(place("a\n\n  b", 5, 6), (3, 3, "  b".into(), 1));
        assert_eq!(place("a\n", 2, 2), (2, 1, "".into(), 0));
    }

    #[test]
    fn a_span_over_several_lines_shows_its_first() {
        assert_eq!(place("a \"b\nc\" d", 2, 7), (1, 3, "a \"b".into(), 2));
    }

    #[test]
    fn an_endless_file_is_refused_and_not_read_on() {
        let error = Sources::default().read(Path::new("/dev/zero"));
        assert_eq!(error.map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
    }
}
