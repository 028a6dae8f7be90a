//! Start-up and reload: the settings of the configuration file and of the command line together.

use std::path::Path;

use log::LevelFilter;
use nix::unistd::Uid;

use crate::cli::Options;
use crate::config::{Config, Diagnostic, Severity};
use crate::daemon::error::{Context, Error};
use crate::logging::{Destination, Opened};

/// Reads the configuration; `tell` gets every error and warning of the file. What the command line
/// says wins.
///
/// # Errors
/// A configuration with errors, or one without the server that `-s` asks for.
pub(crate) fn load(options: &Options, tell: impl Fn(&Diagnostic)) -> Result<Config, Error> {
    let (mut config, warnings) = options.config.load().map_err(|diagnostics| {
        diagnostics.iter().for_each(&tell);
        let is_error = |line: &&Diagnostic| line.severity == Severity::Error;
        let count = diagnostics.iter().filter(is_error).count();
        let file = &options.config;
        Error::Configuration(format!("{file}: not usable ({count} to mend)"))
    })?;
    warnings.iter().for_each(&tell);
    if let Some(number) = options.server {
        let count = config.servers.len();
        if number > count {
            let text = format!("-s {number}: the configuration has {count} server(s)");
            return Err(Error::Usage(text));
        }
        config.servers = vec![config.servers.swap_remove(number - 1)];
    }
    if let Some(path) = &options.pid_file {
        config.pid_file = Some(path.clone());
    }
    if let Some(path) = &options.log_file {
        config.log_file = Some(path.clone());
    }
    Ok(config)
}

/// Opens the log: a file where one is set, else syslog for a detached daemon and standard error
/// for one in the foreground. A file that has to be made becomes that of `owner`.
///
/// # Errors
/// Why the file cannot be opened.
pub(crate) fn open_log(
    options: &Options,
    file: Option<&Path>,
    owner: Option<Uid>,
) -> Result<Opened, Error> {
    let level = match options.verbose {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let destination = match file {
        Some(path) => Destination::File(path.to_owned()),
        None if options.detach => Destination::Syslog,
        None => Destination::Stderr,
    };
    let opened = Opened::new(destination, level, owner);
    let path = file.unwrap_or(Path::new(""));
    opened.context(format_args!("cannot open the log file {}", path.display()))
}
