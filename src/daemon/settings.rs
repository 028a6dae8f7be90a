//! Start-up and reload: the settings of the configuration file and of the command line together.

use log::{LevelFilter, warn};
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
    if config.control.is_none() {
        config.control = (config.pid_file.as_ref()).map(|path| path.with_extension("sock"));
    }
    if let Some(path) = &options.log_file {
        config.log_file = Some(path.clone());
    }
    Ok(config)
}

/// Warns of the files that a start cannot make, since their directories are missing (`-t`).
pub(super) fn warn_of_missing_directories(config: &Config) {
    for file in [&config.log_file, &config.pid_file].into_iter().flatten() {
        let directory = file
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        if let Some(directory) = directory.filter(|it| matches!(it.try_exists(), Ok(false))) {
            let (file, directory) = (file.display(), directory.display());
            warn!(
                "cannot make {file}: there is no directory {directory}; 'mkdir -p {directory}' \
                 makes it"
            );
        }
    }
}

/// Set to `syslog` by a service manager that takes all of standard error for errors, as procd does.
const LOG_VARIABLE: &str = "OUISTITI_LOG";

/// Opens the log: a file where one is set, else syslog for a detached daemon and standard error for
/// one in the foreground. A file that has to be made becomes that of `owner`. `-v` tells more than
/// `log-level` asks for, never less.
///
/// # Errors
/// Why the file cannot be opened.
pub(crate) fn open_log(
    options: &Options,
    config: &Config,
    owner: Option<Uid>,
) -> Result<Opened, Error> {
    let level = match options.verbose {
        0 => config.log_level,
        1 => LevelFilter::Debug.max(config.log_level),
        _ => LevelFilter::Trace,
    };
    if let Some(path) = &config.log_file {
        let opened = Opened::new(Destination::File(path.clone()), level, owner);
        return opened.context(format_args!("cannot open the log file {}", path.display()));
    }
    let is_asked = std::env::var_os(LOG_VARIABLE).is_some_and(|to| to == "syslog");
    let destination = match options.detach || is_asked {
        true => Destination::Syslog,
        false => Destination::Stderr,
    };
    Opened::new(destination, level, owner).context("cannot log")
}
