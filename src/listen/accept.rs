//! Accepting: the loop of one listener.
//!
//! The loop accepts clients and admits those for whom there is a slot. Everything else happens on
//! the client's own thread. A client without a slot is turned away without a thread.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{error, warn};

use crate::client::Peer;
use crate::connection;
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::listen::listener::Listener;
use crate::logging;
use crate::server::Server;
use crate::server::slot::Slot;
use crate::server::table::Full;
use crate::server::workers::{Place, Work};
use crate::system::reason::reason;
use crate::system::threads;
use crate::tally;

/// An accept loop that fails for so long is an error.
const FAILING: Duration = Duration::from_secs(10);

/// Pause of an accept loop after it found no descriptor or no memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Longest wait of a new client, and of those who come after it, for a thread of those who open.
const THREAD_WAIT: Duration = Duration::from_secs(2);

/// A descriptor held in reserve. It is closed when no other is left, so that the next client can be
/// accepted and told that there are too many.
pub(crate) struct Spare(Option<UnixDatagram>);

impl Spare {
    /// Opens the reserve descriptor, if one can be had.
    pub(crate) fn take() -> Self {
        Self(UnixDatagram::unbound().ok())
    }

    /// Closes the descriptor. Returns false if there was none.
    fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Opens the descriptor again after it was given up.
    fn replace(&mut self) {
        if self.0.is_none() {
            *self = Self::take();
        }
    }
}

/// Accepts the clients of one address until its listener is closed.
pub(crate) fn accept(listener: &Listener, mut spare: Spare) {
    let mut failing = Failing::default();
    loop {
        let accepted = listener.accept();
        let Some(server) = listener.server() else {
            return;
        };
        let error = match accepted {
            Ok((socket, peer)) => {
                failing = Failing::default();
                admit(&server, socket, peer);
                continue;
            }
            Err(_) if listener.is_left() => return,
            Err(error) => error,
        };
        match error.raw_os_error() {
            // The client left before it was accepted, or a signal came: go on with the next one.
            Some(nix::libc::ECONNABORTED | nix::libc::EINTR | nix::libc::EPROTO) => {}
            Some(nix::libc::EMFILE | nix::libc::ENFILE) if spare.give_up() => {
                warn!(
                    "cannot accept a client: {}; 'ulimit -n' is the limit",
                    reason(&error)
                );
                if let Ok((socket, peer)) = listener.accept() {
                    turn_away(&server, socket, peer, Full::Resources);
                }
            }
            _ => {
                warn!("cannot accept a client: {}", reason(&error));
                failing.tell(listener, &error);
                threads::sleep(EXHAUSTED_PAUSE);
            }
        }
        spare.replace();
    }
}

/// An accept loop that finds nothing to accept with.
#[derive(Default)]
struct Failing {
    since: Option<Instant>,
    is_told: bool,
}

impl Failing {
    /// Tells once of a loop that has failed for long.
    fn tell(&mut self, listener: &Listener, error: &io::Error) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !self.is_told && since.elapsed() >= FAILING {
            self.is_told = true;
            error!(
                "{} has accepted nobody for {} s: {}",
                listener.address(),
                FAILING.as_secs(),
                reason(error)
            );
        }
    }
}

/// Gives a new client a slot and a thread, or turns it away.
fn admit(server: &Arc<Server>, socket: TcpStream, peer: Option<SocketAddr>) {
    tally::accepted();
    let (clients, config) = (server.clients(), server.config());
    let deadline = Instant::now() + THREAD_WAIT;
    let mut admitted = Slot::admit(clients, config, server.resources(), &socket, peer);
    while matches!(admitted, Err(Full::Resources))
        && Slot::wait_for_thread(config, server.resources(), deadline)
    {
        admitted = Slot::admit(clients, config, server.resources(), &socket, peer);
    }
    match admitted {
        Ok(slot) => start(server, slot, (socket, peer)),
        Err(full) if config.tls.is_some() => {
            tell(peer, full);
            // The client can be told only after its TLS handshake.
            let resources = server.resources();
            if let Some(slot) = Slot::find_to_refuse(clients, config, resources, &socket, peer) {
                start(server, slot, (socket, peer));
            }
        }
        Err(full) => turn_away(server, socket, peer, full),
    }
}

/// Starts the thread of a client.
fn start(server: &Arc<Server>, slot: Slot, client: (TcpStream, Option<SocketAddr>)) {
    let deadline = Instant::now() + server.config().head_timeout;
    // If the thread cannot be created, the client is still in `client`, and is turned away.
    let client = Arc::new(Mutex::new(Some((slot, client))));
    let passed = Arc::clone(&client);
    let served = Arc::clone(server);
    let workers = server.clients().workers();
    let work: Work = Box::new(move |place| {
        let client = take(&passed);
        drop(passed);
        if let Some((slot, client)) = client {
            connection::serve(&served, slot, client, deadline, place);
        }
    });
    if let Err((_, error)) = workers.start(work, Place::new(workers)) {
        warn!(
            "cannot create a thread for a client: {}; 'ulimit -u' and the memory are the limits",
            reason(&error)
        );
        if let Some((slot, (socket, peer))) = take(&client) {
            drop(slot);
            turn_away(server, socket, peer, Full::Resources);
        }
    }
}

/// Tells a client that there is no slot for it, without waiting for anything. A client that expects
/// TLS is closed without an answer.
fn turn_away(server: &Server, socket: TcpStream, peer: Option<SocketAddr>, full: Full) {
    tell(peer, full);
    if server.config().tls.is_none() {
        let answer = response::refusal(&Refusal::TooManyClients);
        server.farewell().refuse(socket, answer);
    }
}

/// Logs and counts a client that is turned away.
fn tell(peer: Option<SocketAddr>, full: Full) {
    tally::refused(full.cause());
    let line = format_args!("{} refused: 503, {full}", Peer(peer));
    logging::info_of(full.cause(), line);
}

/// Takes what is passed to a thread. The first to call it gets it: the thread, or the loop if the
/// thread cannot be created.
fn take<T>(passed: &Mutex<Option<T>>) -> Option<T> {
    passed.lock().unwrap_or_else(PoisonError::into_inner).take()
}
