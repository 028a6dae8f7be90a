//! Start-up and reload: the settings of the configuration and of the options together.
//!
//! What goes wrong here ends the start with an exit code and a sentence, or a reload
//! with the sentence in the log.

use std::fmt;
use std::io;
use std::path::Path;

use log::LevelFilter;
use nix::unistd::Uid;

use crate::cli::Options;
use crate::config::{self, Config, Diagnostic, Severity};
use crate::logging::{Destination, Opened};

/// Exit code for what goes wrong while running.
pub const FAILURE: u8 = 1;
/// Exit code for a command line that is not understood.
pub const USAGE: u8 = 2;
/// Exit code for a configuration that cannot be used (EX_CONFIG of sysexits.h).
pub const CONFIGURATION: u8 = 78;

/// An exit code, and what to say.
pub type Failure = (u8, String);

/// What could not be done, and why, as a run-time failure.
pub fn failure<E: fmt::Display>(what: &str) -> impl Fn(E) -> Failure {
    move |error| match what {
        "" => (FAILURE, error.to_string()),
        what => (FAILURE, format!("{what}: {error}")),
    }
}

/// The configuration of the file and of the options together; `tell` gets what is wrong with it.
///
/// # Errors
/// The exit code, and what to say beyond that.
pub fn load(options: &Options, tell: impl Fn(&Diagnostic)) -> Result<Config, Failure> {
    let file = options.config.display();
    let (mut config, warnings) = config::load(&options.config).map_err(|diagnostics| {
        diagnostics.iter().for_each(&tell);
        let wrong = |line: &&Diagnostic| line.severity == Severity::Error;
        let count = diagnostics.iter().filter(wrong).count();
        (
            CONFIGURATION,
            format!("{file}: not usable ({count} to mend)"),
        )
    })?;
    warnings.iter().for_each(&tell);
    if let Some(number) = options.server {
        let count = config.servers.len();
        if number > count {
            let message = format!("-s {number}: the configuration has {count} server(s)");
            return Err((USAGE, message));
        }
        config.servers = vec![config.servers.swap_remove(number - 1)];
    }
    Ok(config)
}

/// Opens the log where the options or else the configuration want it; a file that has to be made
/// becomes that of `owner`.
///
/// # Errors
/// As open(2) on the file.
pub fn open_log(
    options: &Options,
    configured: Option<&Path>,
    owner: Option<Uid>,
) -> io::Result<Opened> {
    let level = match options.verbose {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let destination = match options.log_file.as_deref().or(configured) {
        Some(path) => Destination::File(path.to_owned()),
        None if options.detach => Destination::Syslog,
        None => Destination::Stderr,
    };
    Opened::new(destination, level, owner)
}
