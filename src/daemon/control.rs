//! Running: what signals ask for, until everything has stopped.

use std::sync::Arc;

use log::{error, info, warn};

use crate::cli::Options;
use crate::config::{Diagnostic, Severity};
use crate::daemon::init_d::Programs;
use crate::daemon::{descriptors, settings};
use crate::listen::{STOP_WAIT, Servers};
use crate::system::queue::Queue;
use crate::system::threads;

/// What the daemon is told from outside, or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// TERM or INT: stop, gracefully the first time.
    Stop,
    /// HUP: read what may have changed again.
    Reload,
    /// Everything has stopped.
    Stopped,
}

/// A daemon that serves.
pub(crate) struct Running<'a> {
    /// What it was started with.
    pub(crate) options: &'a Options,
    /// The name of the user it has become.
    pub(crate) user: String,
    /// Its servers.
    pub(crate) servers: Servers,
    /// The programs of `init_d`.
    pub(crate) programs: Option<Programs>,
}

/// Does what comes in `queue`, until everything has stopped.
pub(crate) fn run(running: Running<'_>, queue: &Arc<Queue<Control>>) {
    let Running {
        options,
        user,
        mut servers,
        programs,
    } = running;
    while queue.take() == Control::Reload {
        reload(options, &mut servers, &user);
    }
    let last = stop_servers(servers, queue);
    if let Some(programs) = programs {
        stop_programs(programs, last, queue);
    }
}

/// Stops the servers; what was told last is `Stop` where nothing more is waited for.
fn stop_servers(servers: Servers, queue: &Arc<Queue<Control>>) -> Control {
    info!("stopping");
    let done = Arc::clone(queue);
    let stop = move || {
        servers.stop(STOP_WAIT);
        done.send(Control::Stopped);
    };
    match threads::spawn("stop", stop) {
        Ok(()) => wait_for_end(queue),
        Err(_) => Control::Stop,
    }
}

/// Has the programs of `init_d` stopped, and waits for that unless `last`, or a control that
/// comes meanwhile, is to stop at once.
fn stop_programs(mut programs: Programs, last: Control, queue: &Arc<Queue<Control>>) {
    programs.stop();
    if last == Control::Stop {
        return programs.leave();
    }
    let done = Arc::clone(queue);
    let wait = move || {
        drop(programs);
        done.send(Control::Stopped);
    };
    if threads::spawn("programs", wait).is_ok() {
        wait_for_end(queue);
    }
}

/// Waits until what is being stopped has stopped, or until a second `Stop`.
fn wait_for_end(queue: &Queue<Control>) -> Control {
    loop {
        match queue.take() {
            Control::Reload => {}
            end => return end,
        }
    }
}

/// Reads the configuration, the certificates and the name of the log file again. Whatever
/// cannot be had leaves all as it was; connections are kept in any case.
fn reload(options: &Options, servers: &mut Servers, user: &str) {
    let config = match settings::load(options, to_log) {
        Ok(config) => config,
        Err(error) => return error!("{error}; all stays as it was"),
    };
    if config.user.as_deref().is_some_and(|wanted| wanted != user) {
        warn!("the user stays {user}: it changes only with a new start");
    }
    descriptors::check_limit(&config.servers);
    // The file is the user's, who we are by now, in any case.
    let log = match settings::open_log(options, config.log_file.as_deref(), None) {
        Ok(log) => log,
        Err(error) => return error!("cannot open the log file: {error}; all stays as it was"),
    };
    if let Err(error) = servers.reload(config.servers) {
        return error!("{error}; all stays as it was");
    }
    log.begin();
    info!("configuration read again");
    servers.announce(user);
}

/// The line that tells what is wrong and where; the lines that show it are for a terminal.
fn to_log(line: &Diagnostic) {
    let text = line.to_string();
    let first = text.lines().next().unwrap_or_default();
    match line.severity {
        Severity::Error => error!("{first}"),
        Severity::Warning => warn!("{first}"),
    }
}
