//! Files of users, tokens and keys, read at the start and at a reload.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use log::warn;

use super::error::UsersError;
use crate::system::privileged;

/// Longest file, in bytes: some 10 000 users.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file.
///
/// # Errors
/// The file cannot be read, or is too long.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, UsersError> {
    let bytes = privileged::read(path, MAX_FILE + 1)
        .map_err(|error| UsersError::Unreadable(path.to_owned(), error))?;
    match bytes.len() as u64 {
        length if length > MAX_FILE => Err(UsersError::TooLong(path.to_owned())),
        _ => Ok(bytes),
    }
}

/// As [`read`], of a file that nobody else should read: warns if every user of the machine can.
///
/// # Errors
/// As [`read`].
pub(super) fn read_secret(path: &Path) -> Result<Vec<u8>, UsersError> {
    let metadata = path.metadata();
    if metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        warn!(
            "{}: every user of this machine can read it, and may come in by what it says; \
             'chmod o=' closes it",
            path.display()
        );
    }
    read(path)
}

/// As [`read_secret`], of a file that is text.
///
/// # Errors
/// As [`read`], and that it is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String, UsersError> {
    String::from_utf8(read_secret(path)?).map_err(|_| {
        let error = io::Error::new(io::ErrorKind::InvalidData, "not UTF-8");
        UsersError::Unreadable(path.to_owned(), error)
    })
}

/// The lines of a text that mean something, with their numbers: empty ones and those that begin
/// with `#` do not.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let numbered = (1..).zip(lines);
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The words of a comma list.
pub(super) fn groups(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}
