//! Listening: sockets, the accept loops, and the places of the clients.
//!
//! The accept thread of an address only accepts; everything else happens on the
//! client's own thread. A [`Place`] is a client's seat: no seat, no service; when
//! it is dropped the seat is free again, whatever ended the client.

mod error;
mod listener;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::client::Client;
use crate::config::{Listen, ServerConfig};
use crate::connection;
use crate::document::Document;
#[cfg(feature = "tls")]
use crate::tls::{Certificates, TlsError};
use crate::wire::Wire;
pub use error::StartError;
use listener::{Listener, bind};

/// Clients beyond `maxclients` that are told so; further ones are closed without a word.
const SPARE_PLACES: usize = 16;

/// Pause of an accept loop that finds no descriptor or no memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Pause between two tries to send a Close to clients without room for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A handshake younger than this does not give way to a new client.
const MIN_HANDSHAKE: Duration = Duration::from_millis(500);

/// Stack of a client's thread, in bytes. What is not touched costs nothing; debug builds need
/// more (a TLS handshake with RSA overflows 32 KiB there).
pub const STACK: usize = if cfg!(debug_assertions) {
    512 << 10
} else {
    128 << 10
};

/// One element of `servers`, bound.
pub struct Server {
    config: ServerConfig,
    document: Option<Document>,
    #[cfg(feature = "tls")]
    certificates: Option<Certificates>,
    listeners: Vec<Listener>,
    seats: Mutex<Seats>,
    /// Told whenever a seat becomes free.
    freed: Condvar,
    stopping: AtomicBool,
}

/// The clients that are being served.
#[derive(Default)]
struct Seats {
    next: usize,
    taken: BTreeMap<usize, Seat>,
}

struct Seat {
    since: Instant,
    ip: Option<IpAddr>,
    /// To end it from outside: the wire, or the bare socket while it has none.
    hold: Hold,
}

enum Hold {
    /// In the TLS handshake, or given away: a descriptor to cut, if any.
    Socket(Option<TcpStream>),
    Wire(Arc<Wire>),
}

impl Seat {
    /// Whether its client has not come as far as the 101.
    fn is_opening(&self) -> bool {
        match &self.hold {
            Hold::Socket(socket) => socket.is_some(),
            Hold::Wire(wire) => !wire.is_open(),
        }
    }

    fn cut(&self) {
        match &self.hold {
            Hold::Socket(Some(socket)) => {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            Hold::Socket(None) => {}
            Hold::Wire(wire) => wire.client().cut(),
        }
    }
}

/// A client's place among `maxclients`; dropping it makes room for the next.
pub struct Place {
    server: Arc<Server>,
    seat: usize,
    spare: bool,
}

impl Place {
    /// Whether the server is full, so that this client can only be told so.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Its server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Puts a client here.
    pub fn put(&self, client: Client) -> Arc<Wire> {
        let wire = Arc::new(Wire::new(client));
        if let Some(seat) = self.server.seats().taken.get_mut(&self.seat) {
            seat.hold = Hold::Wire(Arc::clone(&wire));
        }
        wire
    }

    /// Takes the client away, to give it to somebody else. `None` if somebody else is just
    /// ending it.
    pub fn take(&self, wire: Arc<Wire>) -> Option<Client> {
        if let Some(seat) = self.server.seats().taken.get_mut(&self.seat) {
            seat.hold = Hold::Socket(None);
        }
        Arc::into_inner(wire).map(Wire::into_client)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.seats().taken.remove(&self.seat);
        self.server.freed.notify_all();
    }
}

impl Server {
    /// Reads certificates and binds every address.
    ///
    /// # Errors
    /// What cannot be read or bound, and why.
    pub fn bind(config: ServerConfig) -> Result<Self, StartError> {
        #[cfg(feature = "tls")]
        let certificates = match &config.tls {
            Some(tls) => Some(Certificates::load(tls).map_err(StartError::Tls)?),
            None => None,
        };
        let document = config.document.as_ref().map(Document::new);
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = bind(address).map_err(|error| StartError::Bind(address.clone(), error));
            listeners.push(listener?);
        }
        Ok(Self {
            document,
            #[cfg(feature = "tls")]
            certificates,
            listeners,
            seats: Mutex::default(),
            freed: Condvar::new(),
            stopping: AtomicBool::new(false),
            config,
        })
    }

    /// What it was asked for.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Its static files.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// The addresses it listens on, for a person.
    pub fn names(&self) -> String {
        let tls = self.config.tls.is_some();
        let names: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| listener.name(tls))
            .collect();
        names.join(" ")
    }

    /// Reads the certificates again; connections are kept.
    ///
    /// # Errors
    /// Why the old ones stay.
    #[cfg(feature = "tls")]
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.certificates
            .as_ref()
            .map_or(Ok(()), Certificates::reload)
    }

    /// Starts an accept thread for each address.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        for index in 0..self.listeners.len() {
            let server = Arc::clone(self);
            thread::Builder::new()
                .name(format!("accept-{index}"))
                .stack_size(STACK)
                .spawn(move || server.accept(&server.listeners[index]))?;
        }
        Ok(())
    }

    fn accept(self: &Arc<Self>, listener: &Listener) {
        loop {
            match listener.accept() {
                _ if self.stopping.load(Ordering::Acquire) => return,
                Ok(socket) => self.admit(socket),
                Err(error) => match error.raw_os_error() {
                    // The client left before it was accepted: the next one waits.
                    Some(nix::libc::ECONNABORTED | nix::libc::EINTR | nix::libc::EPROTO) => {}
                    _ => {
                        warn!("cannot accept a client: {error}");
                        thread::sleep(EXHAUSTED_PAUSE);
                    }
                },
            }
        }
    }

    /// Gives a new client a place and a thread.
    fn admit(self: &Arc<Self>, socket: TcpStream) {
        let Some(place) = self.seat(&socket) else {
            return;
        };
        let deadline = Instant::now() + self.config.head_timeout;
        let spawned = thread::Builder::new()
            .name(format!("c{}", place.seat))
            .stack_size(STACK)
            .spawn(move || serve(place, socket, deadline));
        if let Err(error) = spawned {
            warn!("cannot create a thread for a client: {error}");
        }
    }

    /// Finds a place; `None` when there are none left even for those who are refused.
    fn seat(self: &Arc<Self>, socket: &TcpStream) -> Option<Place> {
        let ip = socket
            .peer_addr()
            .ok()
            .map(|address| address.ip().to_canonical());
        let now = Instant::now();
        let mut seats = self.seats();
        let count = seats.taken.len();
        let of_ip = |seat: &&Seat| ip.is_some() && seat.ip == ip;
        let crowded = self.config.max_per_ip > 0
            && seats.taken.values().filter(of_ip).count() >= self.config.max_per_ip;
        if count >= self.config.max_clients + SPARE_PLACES {
            return None;
        }
        let mut spare = crowded;
        if count >= self.config.max_clients {
            // The oldest handshake that does not come to its end gives way.
            let late = |seat: &&Seat| seat.is_opening() && now - seat.since > MIN_HANDSHAKE;
            match seats.taken.values_mut().find(|seat| late(&&**seat)) {
                Some(seat) => {
                    seat.cut();
                    // It gives way to one client: the next one finds the next.
                    seat.since = now;
                }
                None => spare = true,
            }
        }
        let seat = seats.next;
        seats.next = seat.wrapping_add(1);
        // Cut from outside, should it be stopped before it has a wire.
        let hold = Hold::Socket(match self.config.tls {
            Some(_) => socket.try_clone().ok(),
            None => None,
        });
        let since = now;
        seats.taken.insert(seat, Seat { since, ip, hold });
        let server = Arc::clone(self);
        Some(Place {
            server,
            seat,
            spare,
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops gracefully: no new clients, Close 1001 to those there are, and up to `patience`
    /// for their answers.
    pub fn stop(&self, patience: Duration) {
        self.stopping.store(true, Ordering::Release);
        for listener in &self.listeners {
            listener.close();
        }
        for seat in self.seats().taken.values() {
            match &seat.hold {
                Hold::Wire(wire) => wire.stop(),
                Hold::Socket(_) => seat.cut(),
            }
        }
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wait_empty(left.min(SETTLE_PAUSE)) || left.is_zero() {
                break;
            }
            // A client without room for its Close gets it as soon as it has some.
            for seat in self.seats().taken.values() {
                if let Hold::Wire(wire) = &seat.hold {
                    wire.settle();
                }
            }
        }
        for seat in self.seats().taken.values() {
            seat.cut();
        }
        self.wait_empty(patience / 5);
        for address in &self.config.listen {
            if let Listen::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Waits until all are gone; false if they are not after `limit`.
    fn wait_empty(&self, limit: Duration) -> bool {
        let taken = |seats: &mut Seats| !seats.taken.is_empty();
        let waited = (self.freed).wait_timeout_while(self.seats(), limit, taken);
        let (seats, _) = waited.unwrap_or_else(PoisonError::into_inner);
        seats.taken.is_empty()
    }
}

/// The client's own thread: TLS if need be, then the story in `connection`.
fn serve(place: Place, socket: TcpStream, deadline: Instant) {
    match greet(place.server(), socket, deadline) {
        Ok(client) => {
            let wire = place.put(client);
            connection::serve(&place, wire, deadline);
        }
        Err(reason) => debug!("client refused: {reason}"),
    }
}

#[cfg(not(feature = "tls"))]
fn greet(_: &Server, socket: TcpStream, _: Instant) -> Result<Client, std::convert::Infallible> {
    Ok(Client::plain(socket))
}

/// Does the TLS handshake where there is one to do.
#[cfg(feature = "tls")]
fn greet(
    server: &Server,
    socket: TcpStream,
    deadline: Instant,
) -> Result<Client, crate::tls::Failure> {
    use crate::refusal::Refusal;
    use crate::tls::{Failure, Session};
    let Some(certificates) = &server.certificates else {
        return Ok(Client::plain(socket));
    };
    match Session::accept(socket, certificates, deadline) {
        Ok(session) => Ok(Client::tls(session)),
        Err(error) => {
            if matches!(error.failure, Failure::PlainHttp) {
                let client = Client::plain(error.socket);
                let refusal = Refusal::Malformed("plain HTTP, but this port speaks TLS: use https");
                connection::refuse(&client, &refusal);
            }
            Err(error.failure)
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
