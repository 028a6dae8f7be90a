//! Running: the orders that signals bring, until everything has stopped.

use std::sync::Arc;

use log::{error, info, warn};

use crate::cli::Options;
use crate::config::{Diagnostic, Severity};
use crate::daemon::startup;
use crate::daemon::{self, Order, Programs};
use crate::listen::{STOP_WAIT, Servers};
use crate::system::queue::Mailbox;
use crate::system::threads;

/// Waits for orders until everything has stopped; the one that came last. It is `Stop` where
/// nothing more is waited for.
pub fn obey(
    orders: &Arc<Mailbox<Order>>,
    servers: Servers,
    reload: impl Fn(&mut Servers),
) -> Order {
    let mut running = Some(servers);
    loop {
        let order = orders.take();
        match (order, running.take()) {
            (Order::Reload, Some(mut servers)) => {
                reload(&mut servers);
                running = Some(servers);
            }
            (Order::Reload, None) => {}
            (Order::Stop, Some(servers)) => {
                info!("stopping");
                let orders = Arc::clone(orders);
                let stop = move || {
                    servers.stop(STOP_WAIT);
                    orders.send(Order::Stopped);
                };
                if threads::spawn("stop", stop).is_err() {
                    return order;
                }
            }
            (Order::Stop, None) | (Order::Stopped, _) => return order,
        }
    }
}

/// Has the programs of `init_d` stopped, and waits for that unless `last`, or an order that
/// comes meanwhile, is to stop at once.
pub fn stop_programs(mut programs: Programs, last: Order, orders: &Arc<Mailbox<Order>>) {
    programs.stop();
    if last == Order::Stop {
        return programs.leave();
    }
    let done = Arc::clone(orders);
    let wait = move || {
        drop(programs);
        done.send(Order::Stopped);
    };
    if threads::spawn("programs", wait).is_ok() {
        while orders.take() == Order::Reload {}
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
