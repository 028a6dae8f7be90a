//! Why users, tokens or keys cannot be had.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use crate::system::reason::reason;

/// Why users cannot be had.
#[derive(Debug)]
pub enum UsersError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than 1 MiB.
    TooLong(PathBuf),
    /// A line of the file is wrong; its number, why, and what a line is.
    BadLine(PathBuf, usize, &'static str, &'static str),
    /// The file is no key.
    BadKey(PathBuf, &'static str),
    /// The type of login needs a feature that this program does not have.
    #[cfg(not(all(feature = "auth_rpc", feature = "auth_forward", feature = "bearer")))]
    NotBuilt,
    /// The password in the configuration is wrong.
    BadPassword(&'static str),
}

impl Display for UsersError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                let (path, why) = (path.display(), reason(error));
                write!(f, "cannot read {path}, a file of auth: {why}")?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => f.write_str(
                        " (whoever starts ouistiti must be able to read it; at a reload 'user' must, \
                         or the start must have named it, in a directory of root's)",
                    ),
                    _ => Ok(()),
                }
            }
            Self::TooLong(path) => write!(f, "{}: longer than 1 MiB", path.display()),
            Self::BadLine(path, line, why, form) => {
                write!(f, "{}:{line}: {why}; a line is {form}", path.display())
            }
            Self::BadKey(path, why) => write!(f, "{}: {why}", path.display()),
            #[cfg(not(all(feature = "auth_rpc", feature = "auth_forward", feature = "bearer")))]
            Self::NotBuilt => f.write_str("'type' of auth: this ouistiti was built without it"),
            Self::BadPassword(why) => write!(f, "'passwd' of auth: {why}"),
        }
    }
}

impl std::error::Error for UsersError {}
