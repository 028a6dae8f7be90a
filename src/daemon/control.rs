//! Running: what signals ask for, until everything has stopped.

use std::sync::Arc;

use log::{error, info, warn};

use crate::cli::Options;
use crate::config::{Diagnostic, Severity};
use crate::daemon::startup;
use crate::daemon::{self, Control, Programs};
use crate::listen::{STOP_WAIT, Servers};
use crate::system::queue::Queue;
use crate::system::threads;

/// Handles control signals until everything has stopped; the one that came last. It is `Stop` where
/// nothing more is waited for.
pub fn run(
    queue: &Arc<Queue<Control>>,
    servers: Servers,
    reload: impl Fn(&mut Servers),
) -> Control {
    let mut running = Some(servers);
    loop {
        let control = queue.take();
        match (control, running.take()) {
            (Control::Reload, Some(mut servers)) => {
                reload(&mut servers);
                running = Some(servers);
            }
            (Control::Reload, None) => {}
            (Control::Stop, Some(servers)) => {
                info!("stopping");
                let queue = Arc::clone(queue);
                let stop = move || {
                    servers.stop(STOP_WAIT);
                    queue.send(Control::Stopped);
                };
                if threads::spawn("stop", stop).is_err() {
                    return control;
                }
            }
            (Control::Stop, None) | (Control::Stopped, _) => return control,
        }
    }
}

/// Has the programs of `init_d` stopped, and waits for that unless `last`, or a control signal that
/// comes meanwhile, is to stop at once.
pub fn stop_programs(mut programs: Programs, last: Control, queue: &Arc<Queue<Control>>) {
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
        while queue.take() == Control::Reload {}
    }
}

/// Reads the configuration, the certificates and the name of the log file again. Whatever
/// cannot be had leaves all as it was; connections are kept in any case.
pub fn reload(options: &Options, servers: &mut Servers, user: &str) {
    let tell = |line: &Diagnostic| {
        let text = line.to_string();
        let first = text.lines().next().unwrap_or_default();
        match line.severity {
            Severity::Error => error!("{first}"),
            Severity::Warning => warn!("{first}"),
        }
    };
    let config = match startup::load(options, tell) {
        Ok(config) => config,
        Err((_, message)) => return error!("{message}; all stays as it was"),
    };
    if config.user.as_deref().is_some_and(|wanted| wanted != user) {
        warn!("the user stays {user}: it changes only with a new start");
    }
    daemon::check_limit(&config.servers);
    // The file is the user's, who we are by now, in any case.
    let log = match startup::open_log(options, config.log_file.as_deref(), None) {
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
