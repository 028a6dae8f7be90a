//! The daemon's descriptors: which it keeps, and how many it may have (RLIMIT_NOFILE,
//! getrlimit(2)).

use std::fs;
use std::os::fd::RawFd;

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::close;

use crate::config::ServerConfig;
use crate::listen::inherited;

/// Descriptors of a client: its own, and its backend's or its file's.
const OF_CLIENT: usize = 2;
/// All others: the daemon's own, and those of clients that are told that there is no room.
const OTHERS: usize = 64;

/// Closes what the starting process has left open, but standard input, output and error, and the
/// listening sockets of LISTEN_FDS. Call it before anything is opened.
pub fn close_inherited() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<RawFd>().ok();
    // All are collected before the first is closed: the directory itself is one of them, and closed
    // by then.
    let open: Vec<_> = open.flatten().filter_map(number).collect();
    let passed = inherited::descriptors();
    for fd in open
        .into_iter()
        .filter(|fd| *fd > 2 && !passed.contains(fd))
    {
        // It fails for the directory's own.
        let _ = close(fd);
    }
}

/// Raises the limit as far as it goes. Programs that were run before keep theirs: some close every
/// descriptor below it.
pub(crate) fn raise_limit() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // To what this process has a right to.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Warns where `maxclients` is more than the limit can ever be raised to.
pub(crate) fn check_limit(servers: &[ServerConfig]) {
    let clients: usize = servers.iter().map(|server| server.max_clients).sum();
    let needed = OTHERS + OF_CLIENT * clients;
    let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    if usize::try_from(most).is_ok_and(|most| most < needed) {
        warn!(
            "{most} descriptors are too few for {clients} clients (maxclients), who need {needed}: \
             see ulimit -n, or set a smaller 'maxclients'"
        );
    }
}
