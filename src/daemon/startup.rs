//! Start-up: the steps from the command line to a daemon that serves, in their order.
//!
//! What needs privileges (keys, ports, pid file, log, programs) comes before they are given up;
//! the signals are blocked before any thread is made.

use std::path::PathBuf;
use std::process::ExitCode;

use log::{LevelFilter, error};
use nix::unistd::{User, geteuid};

use crate::cli::Options;
use crate::config::{Config, Diagnostic, Input};
#[cfg(feature = "state")]
use crate::daemon::answers::Answers;
use crate::daemon::confine::Files;
use crate::daemon::control::{Controls, Running};
use crate::daemon::detach::{Ready, Role, detach};
use crate::daemon::error::{Context, Error};
use crate::daemon::keeper::Keeper;
use crate::daemon::notify::Manager;
use crate::daemon::pid_file::{self, PidFile};
use crate::daemon::{descriptors, init_d, settings, signals, user};
use crate::listen::{Servers, inherited};
use crate::logging::{self, Destination, Opened};
use crate::server;

/// Tests the configuration (`-t`).
///
/// # Errors
/// Everything for which a start would end with 78.
pub fn test(options: &Options) -> Result<(), Error> {
    enter_directory(options)?;
    let config = settings::load(options, to_stderr)?;
    find_user(&config)?;
    // Warnings about certificates go where the others have gone.
    let log = Opened::new(Destination::Stderr, LevelFilter::Warn, None);
    log.context("cannot log")?.begin();
    config.servers.iter().try_for_each(server::test)?;
    if let Some(directory) = &config.init_d {
        init_d::find(directory);
    }
    match &options.config {
        // What the options stand for, ready for a file.
        Input::Options(text) => print!("{text}"),
        input => println!("{input}: the configuration is good"),
    }
    Ok(())
}

/// Stops the daemon of the pid file and waits for its end (`-K`).
///
/// # Errors
/// No pid file is named; no daemon holds it, or it does not stop.
pub fn kill(options: &Options) -> Result<(), Error> {
    enter_directory(options)?;
    let path = match &options.pid_file {
        Some(path) => Some(path.clone()),
        None => settings::load(options, to_stderr)?.pid_file,
    };
    let none = "-K needs a pid file: -p, or 'pid-file' in the configuration";
    let path = path.ok_or_else(|| Error::Usage(none.to_owned()))?;
    pid_file::kill(&path).context(format_args!("pid file {}", path.display()))
}

/// Serves until a signal ends it. With `-D` the process that was called returns as soon as the
/// detached one serves, with its exit code if it does not.
///
/// # Errors
/// Why it does not serve.
pub fn serve(options: &Options) -> Result<ExitCode, Error> {
    let ready = match options.detach.then(detach).transpose() {
        Ok(Some(Role::Caller(code))) => return Ok(ExitCode::from(code)),
        Ok(Some(Role::Daemon(ready))) => Some(ready),
        Ok(None) => None,
        Err(error) => return Err(error).context("cannot detach"),
    };
    start(options, ready).inspect_err(|error| {
        if options.detach {
            // At boot nobody reads the terminal.
            error!("{error}");
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn start(options: &Options, ready: Option<Ready>) -> Result<(), Error> {
    signals::block().context("cannot block signals")?;
    enter_directory(options)?;
    let config = settings::load(options, to_stderr)?;
    let user = find_user(&config)?;
    // Looked up now: landlock may forbid it later.
    let name = (user.as_ref()).map_or_else(user::own_name, |user| user.name.clone());
    let lent = inherited::listeners().context("cannot use a socket passed by LISTEN_FDS")?;
    let pid_file = lock_pid_file(&config)?;
    begin_log(options, &config, user.as_ref())?;
    descriptors::check_limit(&config.servers);
    let files = Files::of(&config, options.config.file());
    let keys = keys(&config);
    let servers = Servers::bind(config.servers, lent)?;
    if let (Some(file), Some(path)) = (&pid_file, &config.pid_file) {
        let written = file.write();
        written.context(format_args!("pid file {}", path.display()))?;
    }
    // Programs are started by the user we still are, with the limits we were given.
    let keeper = leave_keeper(&config.init_d, user.as_ref(), &keys)?;
    #[cfg(feature = "state")]
    let answers = Answers::bind(&config.control, &config.metrics, user.as_ref())?;
    descriptors::raise_limit();
    let manager = Manager::find();
    give_up_privileges(user.as_ref(), files)?;
    let controls = Controls::new().context("cannot wait for signals")?;
    servers.start()?;
    #[cfg(feature = "state")]
    answers.start().context("cannot create a thread")?;
    servers.announce(&name);
    tell_serving(ready, manager.as_ref())?;
    let running = Running {
        options,
        user: name,
        servers,
        keeper,
    };
    let ended = running.run(&controls);
    #[cfg(feature = "state")]
    answers.close();
    log::logger().flush();
    ended.context("cannot wait for signals")
}

/// Changes to the directory of `-W`, before any path is used.
pub(super) fn enter_directory(options: &Options) -> Result<(), Error> {
    match &options.directory {
        Some(path) => {
            let entered = std::env::set_current_dir(path);
            entered.context(format_args!("cannot enter {}", path.display()))
        }
        None => Ok(()),
    }
}

/// Looks up the user to become.
fn find_user(config: &Config) -> Result<Option<User>, Error> {
    let Some(name) = &config.user else {
        return Ok(None);
    };
    let found = user::find(name);
    let unusable = |error| Error::Configuration(format!("user = \"{name}\": {error}"));
    found.map(Some).map_err(unusable)
}

/// Keeps a second instance out.
fn lock_pid_file(config: &Config) -> Result<Option<PidFile>, Error> {
    let lock = |path| PidFile::lock(path).context(format_args!("pid file {}", path.display()));
    config.pid_file.as_deref().map(lock).transpose()
}

/// Opens the log; a panic becomes a line of it.
fn begin_log(options: &Options, config: &Config, user: Option<&User>) -> Result<(), Error> {
    let owner = user.map(|user| user.uid);
    settings::open_log(options, config, owner)?.begin();
    logging::tell_of_panics();
    Ok(())
}

/// The files with keys: root's as a rule.
fn keys(config: &Config) -> Vec<PathBuf> {
    let tls = config
        .servers
        .iter()
        .filter_map(|server| server.tls.as_ref());
    let pairs = tls.flat_map(|tls| &tls.pairs);
    pairs.map(|pair| pair.key.clone()).collect()
}

/// Runs the programs of `init_d`, and leaves a process behind that can stop them, and that reads
/// renewed keys for the user we become.
fn leave_keeper(
    init_d: &Option<PathBuf>,
    user: Option<&User>,
    keys: &[PathBuf],
) -> Result<Option<Keeper>, Error> {
    let programs = match init_d {
        Some(path) => init_d::start(path).context(path.display())?,
        None => Vec::new(),
    };
    let is_given_up = user.is_some_and(|user| geteuid() != user.uid);
    let keys = if is_given_up { keys } else { &[] };
    Keeper::leave_behind(&programs, keys).context("cannot keep privileges")
}

/// Becomes the user, without capabilities, and confined to the files of the configuration.
fn give_up_privileges(user: Option<&User>, files: Option<Files>) -> Result<(), Error> {
    let given_up = user::give_up_privileges(user);
    match user {
        Some(user) => given_up.context(format_args!("cannot become {}", user.name))?,
        None => given_up.context("cannot give privileges up")?,
    }
    match files {
        Some(files) => files.confine().context("landlock"),
        None => Ok(()),
    }
}

/// Tells the caller of `-D`, and the service manager, that the daemon serves.
fn tell_serving(ready: Option<Ready>, manager: Option<&Manager>) -> Result<(), Error> {
    if let Some(ready) = ready {
        ready.tell().context("cannot leave the terminal")?;
    }
    if let Some(manager) = manager {
        manager.tell();
    }
    Ok(())
}

fn to_stderr(line: &Diagnostic) {
    eprintln!("{line}");
}
