//! The daemon as a process: started, told something, stopped.
//!
//! `startup` is the series of steps from the command line to a daemon that serves; it calls the
//! other files in order. Then `control` runs what signals ask for until everything has stopped.
//! Nothing here knows of clients.

#[cfg(feature = "state")]
mod answers;
#[cfg(feature = "state")]
mod ask;
#[cfg(feature = "landlock")]
mod confine;
mod control;
mod controls;
mod descriptors;
mod detach;
mod error;
#[cfg(all(feature = "exec", feature = "landlock"))]
mod executables;
#[cfg(feature = "websocket")]
mod heirs;
mod init_d;
mod keeper;
mod leaving;
mod memory;
mod notify;
mod pid_file;
#[cfg(feature = "exec")]
mod programs;
mod settings;
mod signals;
mod startup;
mod upgrade;
mod user;

#[cfg(feature = "state")]
pub use ask::ask;
pub use descriptors::close_inherited;
pub use error::Error;
pub use keeper::keep;
pub use startup::{kill, serve, test};
#[cfg(not(feature = "state"))]
pub use unasked::ask;

/// The daemon's own name, as it stands before its messages.
const NAME: &str = "ouistiti";

/// Set for the keeper: how many of its arguments are programs, and how many files to read.
const KEEPER: &str = "OUISTITI_STOPS";

/// In a build without the feature `state` nobody can ask.
#[cfg(not(feature = "state"))]
mod unasked {
    use std::process::ExitCode;

    use crate::cli::Options;
    use crate::daemon::Error;

    /// Asks nothing.
    ///
    /// # Errors
    /// Always.
    pub fn ask(_: &Options, _: &[String]) -> Result<ExitCode, Error> {
        let text = "-S: this ouistiti was built without it (feature 'state')";
        Err(Error::Usage(text.to_owned()))
    }
}

/// In a build without the feature `landlock` nothing is confined.
#[cfg(not(feature = "landlock"))]
mod confine {
    use std::convert::Infallible;
    use std::path::Path;

    use crate::config::Config;

    /// None can be made.
    pub(crate) enum Files {}

    impl Files {
        /// None: the configuration's reader refuses `landlock = true`.
        pub(crate) fn of(_: &Config, _: Option<&Path>) -> Option<Self> {
            None
        }

        /// Never called.
        pub(crate) fn confine(self) -> Result<(), Infallible> {
            match self {}
        }
    }
}

/// In a build without the feature `websocket` no client is silent for long.
#[cfg(not(feature = "websocket"))]
mod heirs {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use crate::daemon::upgrade::Successor;
    use crate::listen::Servers;
    use crate::server::clients::Clients;

    /// Passes nobody on.
    pub(crate) fn give(_: Vec<(String, Arc<Clients>)>, to: &Successor) -> io::Result<()> {
        let _ = &to.taker;
        Ok(())
    }

    /// Takes nobody.
    pub(crate) fn take(_: &OwnedFd, _: &Servers) -> bool {
        false
    }
}

/// In a build without the feature `exec` there are no programs.
#[cfg(not(feature = "exec"))]
mod programs {
    use nix::unistd::User;

    use crate::config::ServerConfig;

    /// There is nothing to measure.
    pub(crate) fn measure(_: Option<&User>) {}

    /// There is nothing to limit.
    pub(crate) fn limit(_: &[ServerConfig]) {}

    /// There is nothing to end.
    pub(crate) fn stop() {}

    /// There is nothing to end.
    pub(crate) fn kill() {}
}
