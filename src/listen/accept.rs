//! Accepting: the loop of one address, and the client's own thread.
//!
//! The loop only accepts; everything else happens on the client's own thread, in a slot
//! that `clients` gives it.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::client::Client;
use crate::connection;
use crate::http::proxy::{self, Told};
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::listen::listener::Listener;
use crate::server::Server;
use crate::server::clients::Slot;
use crate::system::threads;
#[cfg(feature = "tls")]
use crate::tls::Certificates;

/// Pause of an accept loop that finds no descriptor or no memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A descriptor that is given up when there is no other, so that a client can be accepted and
/// told.
pub struct Spare(Option<UnixDatagram>);

impl Spare {
    /// Takes one, if there is one.
    pub fn take() -> Self {
        Self(UnixDatagram::unbound().ok())
    }

    /// Whether there was one to give up.
    fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes one again after it was given up.
    fn replace(&mut self) {
        if self.0.is_none() {
            *self = Self::take();
        }
    }
}

/// Accepts the clients of one address, until it is closed.
pub fn accept(listener: &Listener, mut spare: Spare) {
    loop {
        let accepted = listener.accept();
        let Some(server) = listener.server() else {
            return;
        };
        let error = match accepted {
            Ok(socket) => {
                admit(&server, socket);
                continue;
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            // The client left before it was accepted: the next one waits.
            Some(nix::libc::ECONNABORTED | nix::libc::EINTR | nix::libc::EPROTO) => {}
            Some(nix::libc::EMFILE | nix::libc::ENFILE) if spare.give_up() => {
                warn!("cannot accept a client: {error}");
                if let Ok(socket) = listener.accept() {
                    turn_away(&server, socket);
                }
            }
            _ => {
                warn!("cannot accept a client: {error}");
                threads::sleep(EXHAUSTED_PAUSE);
            }
        }
        spare.replace();
    }
}

/// Gives a new client a slot and a thread.
fn admit(server: &Arc<Server>, socket: TcpStream) {
    let Some(slot) = Slot::find(server.clients(), server.config(), &socket) else {
        return turn_away(server, socket);
    };
    let deadline = Instant::now() + server.config().head_timeout;
    let name = format!("c{}", slot.number());
    // A thread that cannot be created keeps nothing: the client is still here then.
    let client = Arc::new(Mutex::new(Some((slot, socket))));
    let passed = Arc::clone(&client);
    let served = Arc::clone(server);
    let spawned = threads::spawn(name, move || {
        let client = take(&passed);
        drop(passed);
        if let Some((slot, socket)) = client {
            serve(&served, slot, socket, deadline);
        }
    });
    if let Err(error) = spawned {
        warn!("cannot create a thread for a client: {error}");
        if let Some((_, socket)) = take(&client) {
            turn_away(server, socket);
        }
    }
}

/// Tells a client that there is no room for it, without waiting for anything: a client that
/// expects TLS can only be closed.
fn turn_away(server: &Server, socket: TcpStream) {
    if server.config().tls.is_some() || socket.set_nonblocking(true).is_err() {
        return;
    }
    let client = Client::plain(socket);
    // A request that stays unread would make closing a reset, which may destroy the answer.
    let _ = client.read(&mut [0; 2048]);
    let _ = response::refuse(&client, &Refusal::TooManyClients);
    client.finish();
}

/// What is passed to a thread, by whichever side comes to need it.
fn take<T>(passed: &Mutex<Option<T>>) -> Option<T> {
    passed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The client's own thread: PROXY header and TLS if need be, then the story in `connection`.
fn serve(server: &Server, slot: Slot, socket: TcpStream, deadline: Instant) {
    let client = Client::plain(socket);
    let told = match slot.is_trusted() {
        true => proxy::read(&client, deadline),
        false => Ok(Told::Nothing),
    };
    let told = match told {
        Ok(told) => told,
        // A client that expects TLS cannot read an answer.
        Err(refusal) if server.config().tls.is_some() => {
            return debug!("client refused: {refusal}");
        }
        Err(refusal) => return connection::refuse(&client, &refusal),
    };
    if let Some(client) = greet(server, client, deadline) {
        let writer = slot.put(client);
        connection::serve(server, &slot, writer, told, deadline);
    }
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps)]
fn greet(_: &Server, client: Client, _: Instant) -> Option<Client> {
    Some(client)
}

/// Does the TLS handshake on a server with `tls`.
#[cfg(feature = "tls")]
fn greet(server: &Server, client: Client, deadline: Instant) -> Option<Client> {
    match server.certificates() {
        Some(certificates) => shake_hands(certificates, client.into_plain().ok()?, deadline),
        None => Some(client),
    }
}

/// Does the TLS handshake. Never inlined: the stack it needs would stay touched for as long as
/// each client is there, also on servers without TLS.
#[cfg(feature = "tls")]
#[inline(never)]
fn shake_hands(
    certificates: &Certificates,
    socket: TcpStream,
    deadline: Instant,
) -> Option<Client> {
    use crate::tls::{Failure, Session};
    match Session::accept(socket, certificates, deadline) {
        Ok(session) => Some(Client::tls(session)),
        Err(error) => {
            if matches!(error.failure, Failure::NotTls) {
                refuse_text(&Client::plain(error.socket));
            } else {
                debug!("client refused: {}", error.failure);
            }
            None
        }
    }
}

/// Answers a client that sends plain text where TLS is expected. Nothing of it has been read.
#[cfg(feature = "tls")]
fn refuse_text(client: &Client) {
    let mut beginning = [0; 16];
    let count = client.peek(&mut beginning).unwrap_or(0);
    let refusal = match proxy::is_beginning(&beginning[..count]) {
        true => proxy::NOT_BELIEVED,
        false => Refusal::Malformed("plain HTTP, but this port speaks TLS: use https"),
    };
    connection::refuse(client, &refusal);
}
