//! Start-up: the steps from the command line to a daemon that serves, in their order.
//!
//! What needs privileges (keys, ports, pid file, log, programs) comes before they are given up; the
//! signals are blocked before any thread is made.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use log::{LevelFilter, error};
use nix::unistd::{User, geteuid};

use crate::cli::Options;
use crate::config::{AuthConfig, Config, Diagnostic, Input};
#[cfg(feature = "state")]
use crate::daemon::answers::Answers;
use crate::daemon::confine::Files;
use crate::daemon::control::Running;
use crate::daemon::controls::Controls;
use crate::daemon::detach::{Ready, Role, detach};
use crate::daemon::error::{Context, Error};
use crate::daemon::keeper::Keeper;
use crate::daemon::notify::Manager;
use crate::daemon::pid_file::{self, PidFile};
use crate::daemon::upgrade::{Link, Predecessor, Program};
use crate::daemon::{descriptors, init_d, memory, programs, settings, signals, user};
use crate::listen::{Servers, inherited};
use crate::logging::{self, Destination, Opened};
use crate::server;
#[cfg(feature = "share")]
use crate::websocket::share;

/// Tests the configuration (`-t`).
///
/// # Errors
/// Everything for which a start would end with 78.
pub fn test(options: &Options) -> Result<(), Error> {
    enter_directory(options)?;
    let config = settings::load(options, to_stderr)?;
    find_user(&config)?;
    // The warnings that follow go where the others have gone.
    let log = Opened::new(Destination::Stderr, LevelFilter::Warn, None);
    log.context("cannot log")?.begin();
    settings::warn_of_missing_directories(&config);
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
    // One that takes over is where the process before it is.
    let detaches = options.detach && !Predecessor::is_there();
    let ready = match detaches.then(detach).transpose() {
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
    #[cfg(feature = "argon2id")]
    heap::keep_large_apart();
    let mut before = Predecessor::find().context("cannot take over")?;
    let program = Program::find().context("cannot find this program")?;
    if before.is_none() {
        // The process before this one has entered it.
        enter_directory(options)?;
    }
    let config = settings::load(options, to_stderr)?;
    let user = find_user(&config)?;
    // Looked up now: landlock may forbid it later.
    let name = (user.as_ref()).map_or_else(user::own_name, |user| user.name.clone());
    let mut lent = match &mut before {
        Some(before) => before.listeners(),
        None => inherited::listeners().context("cannot use a socket passed by LISTEN_FDS")?,
    };
    let pid_file = lock_pid_file(&config, before.as_ref())?;
    begin_log(options, &config, user.as_ref())?;
    check_limits(&config, user.as_ref(), before.is_some());
    let files = Files::of(&config, options.config.file());
    let secrets = match is_given_up(user.as_ref()) {
        true => secrets(&config),
        false => Vec::new(),
    };
    #[cfg(feature = "state")]
    let answers = Answers::bind(&config.control, &config.metrics, user.as_ref(), &mut lent)?;
    let servers = Servers::bind(config.servers, lent)?;
    if before.is_none() {
        write_pid_file(pid_file.as_ref(), config.pid_file.as_deref())?;
    }
    // Programs are started by the user we still are, with the limits we were given.
    let programs = programs(&config.init_d, before.is_some())?;
    let kept = (programs.as_slice(), secrets.as_slice(), files.is_some());
    let keeper = leave_keeper(kept, &program, before.is_none())?;
    descriptors::raise_limit();
    let manager = Manager::find(before.is_some());
    give_up_privileges(user.as_ref(), files)?;
    let controls = Controls::new().context("cannot wait for signals")?;
    #[cfg(feature = "share")]
    if before.is_some() {
        share::await_lines();
    }
    servers.start()?;
    #[cfg(feature = "state")]
    answers.start().context("cannot create a thread")?;
    servers.announce(&name);
    let is_watched = !options.detach && before.is_none();
    let (links, givers) = match before {
        Some(before) => take_over(before, pid_file.as_ref())?,
        None => (Vec::new(), Vec::new()),
    };
    tell_serving(ready, manager.as_ref())?;
    let running = Running {
        options,
        user: name,
        servers,
        keeper,
        pid_file,
        manager,
        is_watched,
        program: Arc::new(program),
        links,
        givers,
        upgrade_limit: config.upgrade_limit,
        #[cfg(feature = "state")]
        answers,
    };
    let ended = running.run(&controls);
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

/// Keeps a second instance out. The file of the process before this one is taken over.
fn lock_pid_file(config: &Config, before: Option<&Predecessor>) -> Result<Option<PidFile>, Error> {
    let Some(path) = config.pid_file.as_deref() else {
        return Ok(None);
    };
    let taken = match before.and_then(Predecessor::pid_file) {
        Some(file) => PidFile::taken(path, file).context(path.display())?,
        None => None,
    };
    let file = taken.map_or_else(|| PidFile::lock(path), Ok);
    file.map(Some)
        .context(format_args!("pid file {}", path.display()))
}

fn write_pid_file(file: Option<&PidFile>, path: Option<&Path>) -> Result<(), Error> {
    let (Some(file), Some(path)) = (file, path) else {
        return Ok(());
    };
    let written = file.write();
    written.context(format_args!("pid file {}", path.display()))
}

/// Warns of what this machine has too little of, before clients find out; programs may use no more
/// than there is.
fn check_limits(config: &Config, user: Option<&User>, takes_over: bool) {
    descriptors::check_limit(&config.servers);
    // The clients of the process before this one have their memory already.
    if !takes_over {
        memory::check(&config.servers);
    }
    programs::measure(user);
    programs::limit(&config.servers);
}

/// Opens the log; a panic becomes a line of it.
fn begin_log(options: &Options, config: &Config, user: Option<&User>) -> Result<(), Error> {
    let owner = user.map(|user| user.uid);
    settings::open_log(options, config, owner)?.begin();
    logging::tell_of_panics();
    Ok(())
}

/// The files that only root reads, as a rule: those with keys, and those of `auth`.
fn secrets(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for server in &config.servers {
        let pairs = server.tls.iter().flat_map(|tls| &tls.pairs);
        files.extend(pairs.map(|pair| pair.key.clone()));
        let logins = server.logins().flat_map(AuthConfig::files);
        files.extend(logins.map(Path::to_owned));
    }
    files
}

/// Runs the programs of `init_d`; those of the process before this one run already.
fn programs(init_d: &Option<PathBuf>, are_running: bool) -> Result<Vec<PathBuf>, Error> {
    match init_d {
        Some(path) if are_running => Ok(init_d::find(path)),
        Some(path) => init_d::start(path).context(path.display()),
        None => Ok(Vec::new()),
    }
}

/// Whether another user is become.
fn is_given_up(user: Option<&User>) -> bool {
    user.is_some_and(|user| geteuid() != user.uid)
}

/// Leaves a process behind, if there is something to keep privileges for: programs to stop, secrets
/// to read again, and, where we are confined, a program to start that the kernel will not let us.
/// `are_ours` says that this process has run the programs.
fn leave_keeper(
    (programs, secrets, is_confined): (&[PathBuf], &[PathBuf], bool),
    program: &Program,
    are_ours: bool,
) -> Result<Option<Keeper>, Error> {
    if programs.is_empty() && secrets.is_empty() && !is_confined {
        return Ok(None);
    }
    let keeper = Keeper::leave_behind(programs, secrets, program, are_ours);
    keeper.map(Some).context("cannot keep privileges")
}

/// Becomes the daemon in the place of the process before this one. Returns the links to it and to
/// those before it, and the sockets on which they pass clients on.
fn take_over(
    mut before: Predecessor,
    pid_file: Option<&PidFile>,
) -> Result<(Vec<Link>, Vec<OwnedFd>), Error> {
    before.take_over().context("cannot take over")?;
    if let Some(file) = pid_file {
        file.take_over().context("cannot take the pid file over")?;
    }
    Ok(before.into_links())
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
