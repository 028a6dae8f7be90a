//! Where a configuration comes from: a file, standard input, or the command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::libconfig::source::read_text;
use super::load::{Loaded, load, load_text};
use super::model::OPTIONS;

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file, which is read again at each reload.
    File(PathBuf),
    /// The text that standard input had.
    Stdin(String),
    /// The text that options stand for.
    Options(String),
}

impl Input {
    /// Reads standard input to its end.
    ///
    /// # Errors
    /// As read(2); `InvalidData` for a text that is longer than a file may be.
    pub(crate) fn stdin() -> io::Result<Self> {
        read_text(io::stdin()).map(Self::Stdin)
    }

    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Every error and warning, in the order of the text.
    pub(crate) fn load(&self) -> Loaded {
        match self {
            Self::File(path) => load(path),
            Self::Stdin(text) | Self::Options(text) => load_text(&self.path(), text),
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin(_) | Self::Options(_) => None,
        }
    }

    /// Its name in messages.
    fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Stdin(_) => PathBuf::from("standard input"),
            Self::Options(_) => PathBuf::from(OPTIONS),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().display())
    }
}
