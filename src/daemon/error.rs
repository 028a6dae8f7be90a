//! Start-up: why the daemon does not start, and the exit code that says so.

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use crate::cli::UsageError;
use crate::server::StartError;
use crate::system::reason::reason;

/// Why the daemon does not start or cannot be stopped: a sentence for the administrator.
#[derive(Debug)]
pub enum Error {
    /// The command line cannot be followed: exit code 2.
    Usage(String),
    /// The configuration, or a file or user that it names, cannot be used: exit code 78 (EX_CONFIG
    /// of sysexits.h).
    Configuration(String),
    /// The system or another process is in the way: exit code 1.
    Runtime(String),
}

impl Error {
    /// The exit code of the process.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Runtime(_) => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) => 78,
        })
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (Self::Usage(text) | Self::Configuration(text) | Self::Runtime(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        Self::Usage(format!("{error}\nTry 'ouistiti -h'."))
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            #[cfg(feature = "tls")]
            StartError::Tls(_) => Self::Configuration(text),
            StartError::Users(_) => Self::Configuration(text),
            StartError::Bind(..) | StartError::Thread(_) => Self::Runtime(text),
        }
    }
}

/// Says what could not be done, in front of the reason.
pub(crate) trait Context<T> {
    /// A failure becomes a run-time error that begins with `what`.
    fn context(self, what: impl Display) -> Result<T, Error>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Result<T, Error> {
        self.map_err(|error| Error::Runtime(format!("{what}: {}", reason(&error))))
    }
}
