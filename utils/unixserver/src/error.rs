//! Start-up: why a server did not start, in words its administrator can act on.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a server did not start or had to end.
#[derive(Debug)]
pub enum Error {
    /// The command line is wrong (exit code 2).
    Usage(String),
    /// No such user (`-u`).
    UnknownUser(String),
    /// The process may not become that user (`-u`).
    CannotBecome(String, nix::Error),
    /// The directory of the socket can be neither used nor made (`-R`).
    Directory(PathBuf, io::Error),
    /// Another program holds the directory of the socket.
    Locked(PathBuf),
    /// Another server listens on the socket.
    InUse(PathBuf),
    /// The file at the socket's path is not a socket.
    NotASocket(PathBuf),
    /// The socket cannot be made.
    Bind(PathBuf, io::Error),
    /// The system refuses something a server cannot be without.
    System(&'static str, io::Error),
    /// A reason of the server's own.
    Other(String),
}

impl Error {
    /// The exit code that tells this error to a script: 2 for a wrong command line, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::UnknownUser(_)
            | Error::CannotBecome(..)
            | Error::Directory(..)
            | Error::Locked(_)
            | Error::InUse(_)
            | Error::NotASocket(_)
            | Error::Bind(..)
            | Error::System(..)
            | Error::Other(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(reason) => write!(f, "{reason} (-h lists the options)"),
            Error::UnknownUser(user) => write!(f, "unknown user '{user}'"),
            Error::CannotBecome(user, error) => {
                write!(
                    f,
                    "cannot become user '{user}': {error}; start as root to use -u"
                )
            }
            Error::Directory(path, error) => {
                write!(f, "cannot use directory {}: {error}", path.display())
            }
            Error::Locked(path) => write!(
                f,
                "directory {} is locked by another program (lslocks tells which); \
                 end that or choose another directory with -R",
                path.display()
            ),
            Error::InUse(path) => write!(
                f,
                "{} is in use by a running server; stop it or choose another name with -n",
                path.display()
            ),
            Error::NotASocket(path) => write!(
                f,
                "{} exists and is not a socket; remove it or choose another name with -n",
                path.display()
            ),
            Error::Bind(path, error) => {
                write!(f, "cannot bind {}: {error}", path.display())?;
                match error.kind() {
                    // sun_path of unix(7), less its end.
                    io::ErrorKind::InvalidFilename => {
                        f.write_str("; it may have 107 bytes: choose a shorter -R or -n")
                    }
                    _ => Ok(()),
                }
            }
            Error::System(what, error) => write!(f, "{what}: {error}"),
            Error::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    /// A reason of the server's own.
    fn from(reason: String) -> Self {
        Error::Other(reason)
    }
}
