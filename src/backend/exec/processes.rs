//! Start-up and reload: how many processes all programs together may have.
//!
//! RLIMIT_NPROC bounds the processes and threads of a user, all together, for those whom it is set
//! for (getrlimit(2)). That tells something only of a user whose other processes are known: one
//! that the daemon has become. The kernel counts none of root's.

use std::sync::{Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

use crate::config::{ServerConfig, Target};
use crate::system::runner::Limits;
use crate::system::threads;

/// Processes and threads that a run of a program may have, on the average.
const EACH: u64 = 8;

/// Threads of a client, and those of the daemon itself, at most.
const OF_CLIENT: u64 = 2;
const OF_DAEMON: u64 = 64;

static LIMITS: Mutex<Measured> = Mutex::new(Measured {
    others: None,
    limits: Limits {
        processes: None,
        descriptors: None,
    },
});

struct Measured {
    /// Threads that the user had before the daemon became it; `None` if they are not known.
    others: Option<u64>,
    limits: Limits,
}

/// Notes the limit of descriptors, before it is raised, and what the user has already. Call it
/// while /proc can be read.
pub(crate) fn measure(user: Option<Uid>) {
    let others = user.filter(|uid| !uid.is_root()).and_then(threads::of_user);
    let mut measured = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    measured.others = others.map(|others| u64::try_from(others).unwrap_or(u64::MAX));
    let descriptors = getrlimit(Resource::RLIMIT_NOFILE).ok();
    measured.limits.descriptors = descriptors.map(|(limit, _)| limit);
}

/// Sets the limit of programs that are started from now on.
pub(crate) fn limit(servers: &[ServerConfig]) {
    let mut measured = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    measured.limits.processes = measured.others.map(|others| most(others, servers));
}

fn most(others: u64, servers: &[ServerConfig]) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let clients = servers.iter().map(|server| count(server.max_clients));
    let links = servers
        .iter()
        .filter_map(|server| server.websocket.as_ref());
    let programs = links
        .flat_map(|websocket| &websocket.links)
        .filter_map(|link| match &link.target {
            Target::Exec(config) => Some(count(config.max_processes)),
            _ => None,
        });
    others + OF_DAEMON + OF_CLIENT * clients.sum::<u64>() + EACH * programs.sum::<u64>()
}

/// The limits of a program that is started now.
pub(super) fn limits() -> Limits {
    let measured = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    measured.limits
}
