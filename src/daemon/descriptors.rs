//! How many descriptors the daemon may have (RLIMIT_NOFILE, getrlimit(2)).

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::ServerConfig;

/// Descriptors of a client: its own, and its backend's or its file's.
const OF_CLIENT: usize = 2;
/// All others: the daemon's own, and those of clients that are told that there is no room.
const OTHERS: usize = 64;

/// Raises the limit as far as it goes. Programs that were run before keep theirs: some close
/// every descriptor below it.
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
            "{most} descriptors are too few for {clients} clients (maxclients), who need {needed}"
        );
    }
}
