//! Start-up of the daemon: options, configuration, bind, privileges, serve, wait.
//!
//! The order matters: whatever needs privileges (keys, ports, log and pid file)
//! comes before they are dropped, and no thread before the signals are blocked.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use log::{LevelFilter, info};
use ouistiti::cli::{self, Command, Options};
use ouistiti::config::{self, Config};
use ouistiti::daemon::{self, Order, PidFile};
use ouistiti::logging::{self, Destination};
use ouistiti::pump::CLOSE_WAIT;
use ouistiti::server::Server;
#[cfg(feature = "tls")]
use ouistiti::{server::StartError, tls::Certificates};

/// Exit code for what goes wrong while running.
const FAILURE: u8 = 1;
/// Exit code for a command line that is not understood.
const USAGE: u8 = 2;
/// Exit code for a configuration that cannot be used (EX_CONFIG of sysexits.h).
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            Ok(())
        }
        Ok(Command::Run(options)) => run(&options),
        Err(error) => Err((USAGE, format!("{error}\nTry 'ouistiti -h'."))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            if !message.is_empty() {
                eprintln!("ouistiti: {message}");
            }
            ExitCode::from(code)
        }
    }
}

/// An exit code, and what to say.
type Failure = (u8, String);

fn run(options: &Options) -> Result<(), Failure> {
    let signals = daemon::block_signals().map_err(|error| (FAILURE, error.to_string()))?;
    if let Some(directory) = &options.directory {
        std::env::set_current_dir(directory).map_err(|error| {
            (
                FAILURE,
                format!("cannot enter {}: {error}", directory.display()),
            )
        })?;
    }
    let config = load(options)?;
    if options.test {
        // Warnings about certificates go where the others have gone.
        logging::init(Destination::Stderr, LevelFilter::Warn)
            .map_err(|error| (FAILURE, format!("cannot log: {error}")))?;
        check_certificates(&config)?;
        println!("{}: the configuration is good", options.config.display());
        return Ok(());
    }
    start_log(options, &config)?;
    let servers = bind(&config)?;
    let pid_path = options.pid_file.as_ref().or(config.pid_file.as_ref());
    let _pid_file = match pid_path {
        Some(path) => Some(PidFile::create(path).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::WouldBlock => "another ouistiti is running".to_owned(),
                _ => error.to_string(),
            };
            (FAILURE, format!("pid file {}: {reason}", path.display()))
        })?),
        None => None,
    };
    if let Some(user) = &config.user {
        daemon::become_user(user)
            .map_err(|error| (CONFIGURATION, format!("user = {user:?}: {error}")))?;
    }
    let (sender, orders) = mpsc::channel();
    let started = daemon::forward_signals(signals, sender.clone())
        .and_then(|()| servers.iter().try_for_each(Server::start));
    started.map_err(|error| (FAILURE, format!("cannot create a thread: {error}")))?;
    announce(&config, &servers);
    obey(&orders, &sender, &servers);
    log::logger().flush();
    Ok(())
}

fn load(options: &Options) -> Result<Config, Failure> {
    let (mut config, warnings) = config::load(&options.config).map_err(|errors| {
        let wrong = |error: &&config::Diagnostic| error.severity == config::Severity::Error;
        let count = errors.iter().filter(wrong).count();
        for error in errors {
            eprintln!("{error}");
        }
        let file = options.config.display();
        (
            CONFIGURATION,
            format!("{file}: not usable ({count} to mend)"),
        )
    })?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    if let Some(number) = options.server {
        if number == 0 || number > config.servers.len() {
            let count = config.servers.len();
            let message = format!("-s {number}: the configuration has {count} server(s)");
            return Err((USAGE, message));
        }
        config.servers = vec![config.servers.swap_remove(number - 1)];
    }
    Ok(config)
}

fn start_log(options: &Options, config: &Config) -> Result<(), Failure> {
    let level = match options.verbose {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let file = options.log_file.as_ref().or(config.log_file.as_ref());
    let destination = match file {
        Some(path) => Destination::File(path.clone()),
        None if options.detach => Destination::Syslog,
        None => Destination::Stderr,
    };
    logging::init(destination, level).map_err(|error| (FAILURE, format!("cannot log: {error}")))
}

fn bind(config: &Config) -> Result<Vec<Arc<Server>>, Failure> {
    let servers = config.servers.iter().cloned().map(Server::bind);
    servers
        .map(|server| match server {
            Ok(server) => Ok(Arc::new(server)),
            #[cfg(feature = "tls")]
            Err(error @ StartError::Tls(_)) => Err((CONFIGURATION, error.to_string())),
            Err(error) => Err((FAILURE, error.to_string())),
        })
        .collect()
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

/// The one line of the start: where it listens, who it runs as, what it serves.
fn announce(config: &Config, servers: &[Arc<Server>]) {
    let user = config.user.as_deref().unwrap_or("the starting user");
    for server in servers {
        let websocket = server.config().websocket.as_ref();
        let serves = websocket.map_or("files only".to_owned(), |websocket| {
            format!("services in {}", websocket.docroot.display())
        });
        info!("listening on {} as {user}, {serves}", server.names());
    }
}

/// Waits for orders until everything has stopped.
fn obey(orders: &mpsc::Receiver<Order>, sender: &mpsc::Sender<Order>, servers: &[Arc<Server>]) {
    let mut stopping = false;
    for order in orders {
        match order {
            Order::Reload => reload(servers),
            Order::Stop if !stopping => {
                info!("stopping");
                stopping = true;
                let servers = servers.to_vec();
                let sender = sender.clone();
                let stop = move || {
                    thread::scope(|scope| {
                        for server in &servers {
                            scope.spawn(|| server.stop(CLOSE_WAIT));
                        }
                    });
                    let _ = sender.send(Order::Stopped);
                };
                if thread::Builder::new()
                    .name("stop".into())
                    .spawn(stop)
                    .is_err()
                {
                    return;
                }
            }
            Order::Stop | Order::Stopped => return,
        }
    }
}

/// Renews certificates; connections are kept, and so are certificates that cannot be renewed.
fn reload(servers: &[Arc<Server>]) {
    for server in servers {
        #[cfg(feature = "tls")]
        if server.config().tls.is_some() {
            match server.reload_certificates() {
                Ok(()) => info!("{}: certificates read again", server.names()),
                Err(error) => log::error!("{}: {error}; the old ones stay", server.names()),
            }
        }
        #[cfg(not(feature = "tls"))]
        info!("{}: nothing to read again", server.names());
    }
}
