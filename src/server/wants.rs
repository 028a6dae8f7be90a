//! Start-up: whether the kernel gives what `maxclients` and `maxthreads` ask for.

use log::warn;

use crate::config::ServerConfig;
use crate::server::resources::THREADS;
use crate::system::limits;

/// Memory of a silent client, with that of its sockets in the kernel; with TLS; and of a thread
/// with its stack in the kernel, in bytes (ARCHITECTURE.md has the measurements).
const OF_CLIENT: usize = 12 << 10;
const OF_TLS_CLIENT: usize = 24 << 10;
const OF_THREAD: usize = 32 << 10;

const MEGABYTE: usize = 1 << 20;

/// What all servers together ask for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wants {
    clients: usize,
    /// Memory of the clients without their threads, in bytes.
    memory: usize,
    /// Threads that copy for clients who have none while they are silent.
    copying: usize,
    /// Threads of clients who keep theirs.
    kept: usize,
}

impl Wants {
    /// What these servers ask for.
    pub(crate) fn of<'a>(servers: impl Iterator<Item = &'a ServerConfig>) -> Self {
        let mut wants = Self::default();
        for server in servers {
            let clients = server.max_clients;
            wants.clients += clients;
            wants.memory += clients.saturating_mul(match server.tls {
                Some(_) => OF_TLS_CLIENT,
                None => OF_CLIENT,
            });
            match &server.websocket {
                Some(websocket) if websocket.park.is_some() => wants.copying += server.max_threads,
                Some(_) => wants.kept += THREADS * clients,
                None => wants.kept += clients,
            }
        }
        wants
    }

    /// How many threads are to copy at a time.
    pub(crate) fn copying(self) -> usize {
        self.copying
    }

    /// Warns of each limit that is lower.
    pub(crate) fn check(self) {
        let (left, bound) = limits::threads_left();
        let share = left.saturating_sub(self.kept) / 2;
        if left < self.kept {
            warn!(
                "{left} threads may still be started, too few for {} that clients keep \
                 (maxclients; two each with park = 0): clients beyond it get 503; raise {bound}, \
                 or lower 'maxclients'",
                self.kept
            );
        } else if share < self.copying {
            warn!(
                "{left} threads may still be started, too few for {} that copy (maxthreads) and as \
                 many clients that open: {share} copy at a time; raise {bound}, or lower \
                 'maxthreads'",
                self.copying
            );
        }
        let threads = self.copying.min(share) + self.kept.min(left);
        let needed = self
            .memory
            .saturating_add(threads.saturating_mul(OF_THREAD));
        if let Some(memory) = limits::memory_left().filter(|memory| *memory < needed) {
            warn!(
                "{} MB of memory are left, too few for {} clients (maxclients) and {threads} \
                 threads (maxthreads), who may take {} MB: lower them",
                memory / MEGABYTE,
                self.clients,
                needed.div_ceil(MEGABYTE)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn wants(text: &str) -> Wants {
        let loaded = crate::config::from_text(Path::new("x.conf"), text);
        let (config, _) = loaded.expect("a good configuration");
        Wants::of(config.servers.iter())
    }

    #[test]
    fn servers_add_up_by_how_they_keep_threads() {
        let text = "servers = ({ maxclients = 100; maxthreads = 8; websocket = {}; }, \
                    { port = 81; maxclients = 10; websocket = { park = 0; }; }, \
                    { port = 82; maxclients = 3; document = { docroot = \"/\"; }; });";
        let wanted = Wants {
            clients: 113,
            memory: 113 * OF_CLIENT,
            copying: 8,
            kept: 2 * 10 + 3,
        };
        assert_eq!(wants(text), wanted);
    }
}
