//! Start-up of the daemon: options, configuration, bind, privileges, serve, wait.
//!
//! The order matters: whatever needs privileges (keys, ports, log and pid file)
//! comes before they are dropped, and no thread before the signals are blocked.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use log::{LevelFilter, error};
use ouistiti::cli::{self, Command, Options};
use ouistiti::config::Config;
use ouistiti::daemon::control::{self, reload, stop_programs};
use ouistiti::daemon::startup::{CONFIGURATION, FAILURE, Failure, USAGE, failure, load, open_log};
use ouistiti::daemon::{self, Manager, PidFile, PidFileError, Programs, Ready, Role};
use ouistiti::listen::Servers;
use ouistiti::listen::inherited;
use ouistiti::logging::{self, Destination, Opened};
use ouistiti::server::StartError;
use ouistiti::system::queue::Queue;
#[cfg(feature = "tls")]
use ouistiti::tls::Certificates;

fn main() -> ExitCode {
    if let Some(code) = daemon::keep() {
        return code;
    }
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            Ok(0)
        }
        Ok(Command::Run(options)) => begin(&options),
        Err(error) => Err((USAGE, format!("{error}\nTry 'ouistiti -h'."))),
    };
    let code = result.unwrap_or_else(|(code, message)| {
        eprintln!("ouistiti: {message}");
        code
    });
    ExitCode::from(code)
}

/// Does what the options ask for; the exit code.
fn begin(options: &Options) -> Result<u8, Failure> {
    let ready = match options.detach.then(daemon::detach).transpose() {
        Ok(Some(Role::Caller(code))) => return Ok(code),
        Ok(Some(Role::Daemon(ready))) => Some(ready),
        Ok(None) => None,
        Err(error) => return Err((FAILURE, format!("cannot detach: {error}"))),
    };
    if let Some(directory) = &options.directory {
        let enter = std::env::set_current_dir(directory);
        enter.map_err(failure(&format!("cannot enter {}", directory.display())))?;
    }
    if let (true, Some(path)) = (options.kill, &options.pid_file) {
        return kill(path.clone());
    }
    let config = load(options, |line| eprintln!("{line}"))?;
    if options.kill {
        let without = "-K needs a pid file: -p, or 'pid-file' in the configuration";
        let path = config.pid_file.ok_or((USAGE, without.to_owned()))?;
        return kill(path);
    }
    let detached = options.detach;
    run(options, config, ready)
        .inspect_err(|(_, message)| {
            if detached {
                // At boot nobody reads the terminal.
                error!("{message}");
            }
        })
        .map(|()| 0)
}

fn kill(path: PathBuf) -> Result<u8, Failure> {
    let stopped = daemon::kill(&path);
    stopped.map_err(failure(&format!("pid file {}", path.display())))?;
    Ok(0)
}

fn run(options: &Options, config: Config, ready: Option<Ready>) -> Result<(), Failure> {
    let user = match &config.user {
        Some(name) => Some(
            daemon::find_user(name)
                .map_err(|error| (CONFIGURATION, format!("user = {name:?}: {error}")))?,
        ),
        None => None,
    };
    if options.test {
        // Warnings about certificates go where the others have gone.
        let log = Opened::new(Destination::Stderr, LevelFilter::Warn, None);
        log.map_err(failure("cannot log"))?.begin();
        check_certificates(&config)?;
        println!("{}: the configuration is good", options.config.display());
        return Ok(());
    }
    let lent =
        inherited::listeners().map_err(failure("cannot use a socket passed by LISTEN_FDS"))?;
    let pid_path = options.pid_file.as_ref().or(config.pid_file.as_ref());
    let pid_failure = |error: PidFileError| {
        let path = pid_path.map(|path| path.display().to_string());
        (
            FAILURE,
            format!("pid file {}: {error}", path.unwrap_or_default()),
        )
    };
    let pid_file = pid_path
        .map(|path| PidFile::lock(path))
        .transpose()
        .map_err(pid_failure)?;
    let owner = user.as_ref().map(|user| user.uid);
    let log = open_log(options, config.log_file.as_deref(), owner);
    log.map_err(failure("cannot log"))?.begin();
    logging::tell_of_panics();
    daemon::check_limit(&config.servers);
    #[cfg(feature = "landlock")]
    let files = config.landlock.then(|| {
        let log_file = options.log_file.as_ref().or(config.log_file.as_ref());
        let (pid_file, log_file) = (pid_path.map(|path| &**path), log_file.map(|path| &**path));
        daemon::Files::of(&config, &options.config, pid_file, log_file)
    });
    let servers = Servers::bind(config.servers, lent).map_err(|error| {
        let code = match error {
            #[cfg(feature = "tls")]
            StartError::Tls(_) => CONFIGURATION,
            StartError::Bind(..) | StartError::Thread(_) => FAILURE,
        };
        (code, error.to_string())
    })?;
    if let Some(file) = &pid_file {
        file.write().map_err(|error| pid_failure(error.into()))?;
    }
    // Programs are started by the user we still are, with the limits we were given.
    let programs = match &config.init_d {
        Some(path) => Some(Programs::start(path).map_err(failure(&path.display().to_string()))?),
        None => None,
    };
    daemon::raise_limit();
    let signals = daemon::block_signals().map_err(failure("cannot block signals"))?;
    let manager = Manager::find();
    let given_up = daemon::give_up_privileges(user.as_ref());
    given_up.map_err(failure(&match &user {
        Some(user) => format!("cannot become {}", user.name),
        None => "cannot give privileges up".to_owned(),
    }))?;
    #[cfg(feature = "landlock")]
    if let Some(files) = files {
        files.confine().map_err(failure("landlock"))?;
    }
    let queue = Arc::new(Queue::default());
    let forward = daemon::forward_signals(signals, Arc::clone(&queue));
    forward.map_err(failure("cannot wait for signals"))?;
    servers.start().map_err(failure(""))?;
    let name = user.map_or("the starting user".to_owned(), |user| user.name);
    servers.announce(&name);
    if let Some(ready) = ready {
        ready.tell().map_err(failure("cannot leave the terminal"))?;
    }
    if let Some(manager) = manager {
        manager.tell();
    }
    let reload = |servers: &mut Servers| reload(options, servers, &name);
    let last = control::run(&queue, servers, reload);
    if let Some(programs) = programs {
        stop_programs(programs, last, &queue);
    }
    log::logger().flush();
    Ok(())
}

/// Reads what `tls` sections name, as a start would.
#[cfg_attr(
    not(feature = "tls"),
    expect(unused_variables, clippy::unnecessary_wraps)
)]
fn check_certificates(config: &Config) -> Result<(), Failure> {
    #[cfg(feature = "tls")]
    for tls in config
        .servers
        .iter()
        .filter_map(|server| server.tls.as_ref())
    {
        Certificates::load(tls).map_err(|error| (CONFIGURATION, error.to_string()))?;
    }
    Ok(())
}
