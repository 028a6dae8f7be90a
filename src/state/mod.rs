//! Running: what the daemon does at one moment, for `-S`, `metrics` and the status page.
//!
//! `listen` says which servers there are. A look takes the table of one server at a time, for as
//! long as it takes to copy it: clients do not wait for whoever reads the result.

pub(crate) mod json;
pub(crate) mod prometheus;
pub(crate) mod text;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::calendar;

use crate::frame::CloseCode;
use crate::server::Server;
use crate::server::clients::Clients;
use crate::server::sight::Sight;
use crate::tally::{self, Totals};

/// The servers that are shown. They may end at any time.
struct Board {
    since: Option<Instant>,
    servers: Vec<Shown>,
    /// Clients of servers that a reload has given up.
    retired: Vec<Weak<Clients>>,
}

/// A server, and what it is called.
#[derive(Clone)]
pub(crate) struct Shown {
    /// Its addresses, for a person.
    pub(crate) name: String,
    /// The server itself.
    pub(crate) server: Weak<Server>,
}

static BOARD: Mutex<Board> = Mutex::new(Board {
    since: None,
    servers: Vec::new(),
    retired: Vec::new(),
});

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows these servers from now on, and clients whose servers are gone.
pub(crate) fn show(servers: Vec<Shown>, retired: Vec<Weak<Clients>>) {
    let mut board = board();
    board.since.get_or_insert_with(Instant::now);
    board.servers = servers;
    board.retired = retired;
}

/// Returns the servers that are shown and still there.
pub(crate) fn servers() -> Vec<(String, Arc<Server>)> {
    let shown = board().servers.clone();
    let there = shown.into_iter();
    there
        .filter_map(|shown| Some((shown.name, shown.server.upgrade()?)))
        .collect()
}

fn retired() -> Vec<Arc<Clients>> {
    board().retired.iter().filter_map(Weak::upgrade).collect()
}

/// What the daemon does at one moment.
pub(crate) struct State {
    /// How long it has been serving.
    pub(crate) uptime: Duration,
    pub(crate) servers: Vec<ServerState>,
    /// What was counted since the start; its bytes are those of open connections too.
    pub(crate) totals: Totals,
}

/// A server at one moment.
pub(crate) struct ServerState {
    /// Its addresses, or what else stands for it.
    pub(crate) name: String,
    /// Clients that count towards `maxclients`, and that limit; 0 for a server that is gone.
    pub(crate) served: usize,
    pub(crate) max_clients: usize,
    /// Bytes that are taken of `maxmemory`, and that limit.
    pub(crate) memory: (usize, usize),
    pub(crate) clients: Vec<Sight>,
    /// Files of certificates, and the second since 1970 at which each ends.
    pub(crate) certificates: Vec<(String, i64)>,
}

/// Looks at everything once.
pub(crate) fn look() -> State {
    let (current, retired) = (servers(), retired());
    let tables = || {
        let current = current.iter().map(|(_, server)| server.clients());
        current.chain(&retired)
    };
    let totals = tally::with(|totals| {
        let mut totals = totals.clone();
        for clients in tables() {
            let (to_backend, to_client) = clients.uncounted();
            totals.to_backend += to_backend;
            totals.to_client += to_client;
        }
        totals
    });
    let gone = |clients: &Arc<Clients>| ServerState {
        name: "addresses that a reload has given up".to_owned(),
        max_clients: 0,
        certificates: Vec::new(),
        ..of_clients(clients)
    };
    let servers = current.iter().map(|(name, server)| ServerState {
        name: name.clone(),
        max_clients: server.config().max_clients,
        certificates: server.security().ends(),
        ..of_clients(server.clients())
    });
    State {
        uptime: board()
            .since
            .map_or(Duration::ZERO, |since| since.elapsed()),
        servers: servers.chain(retired.iter().map(gone)).collect(),
        totals,
    }
}

fn of_clients(clients: &Arc<Clients>) -> ServerState {
    ServerState {
        name: String::new(),
        served: clients.served(),
        max_clients: 0,
        memory: clients.budget().figures(),
        clients: clients.sights(),
        certificates: Vec::new(),
    }
}

/// Ends the client of this number with a close code. Returns false if there is none.
pub(crate) fn kick(id: usize, code: CloseCode) -> bool {
    let current = servers();
    let mut tables = current.iter().map(|(_, server)| server.clients());
    tables.any(|clients| clients.kick(id, code))
        || retired().iter().any(|clients| clients.kick(id, code))
}

/// A moment in seconds since 1970 as its date.
fn date(seconds: i64) -> String {
    let (year, month, day) = calendar::date(seconds.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::server::sight::Phase;

    /// A state with one of everything, and with names that need escapes.
    pub(crate) fn sample() -> State {
        State {
            uptime: Duration::from_secs(90_061),
            servers: vec![ServerState {
                name: "http://[::]:80".to_owned(),
                served: 1,
                max_clients: 200,
                memory: (4096, 32 << 20),
                clients: vec![Sight {
                    id: 7,
                    peer: "192.0.2.1".parse().ok(),
                    port: 4711,
                    service: Some("echo".into()),
                    is_shared: true,
                    user: Some("a\"b\\c\n".into()),
                    phase: Phase::WebSocket,
                    threads: 2,
                    age: Duration::from_secs(3_725),
                    idle: Duration::from_secs(5),
                    to_backend: 1 << 33,
                    to_client: 12,
                }],
                certificates: vec![("/etc/c\"rt.pem".to_owned(), 2_529_705_600)],
            }],
            totals: Totals {
                connections: 3,
                refusals: vec![("origin", 2)],
                closes: vec![(1000, 1)],
                handed_over: 4,
                to_backend: 1 << 33,
                to_client: 12,
                reloads: 1,
                lengths: [1, 0, 2, 0, 0, 0, 0, 3],
                seconds: 99,
            },
        }
    }
}
