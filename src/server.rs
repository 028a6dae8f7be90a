//! One server: its addresses, its accept loops, and a thread for each client.
//!
//! The accept thread of an address only accepts; everything else happens on the
//! client's own thread, in a place that `room` gives it.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::client::Client;
use crate::config::{Listen, ServerConfig};
use crate::connection;
use crate::document::Document;
use crate::door::Door;
use crate::refusal::Refusal;
use crate::response;
use crate::room::{Place, Room};
#[cfg(feature = "tls")]
use crate::tls::{Certificates, TlsError};

/// Pause of an accept loop that finds no descriptor or no memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

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
    certificates: Option<Arc<Certificates>>,
    doors: Vec<Arc<Door>>,
    room: Arc<Room>,
}

impl Server {
    /// Binds every address and reads certificates. Of a server that is being replaced, the
    /// doors in `kept` are used again where the address is the same, and its clients are kept.
    ///
    /// # Errors
    /// What cannot be read or bound, and why.
    pub fn bind(config: ServerConfig, kept: &mut Vec<Arc<Door>>) -> Result<Self, StartError> {
        let mut doors = Vec::new();
        for address in &config.listen {
            let door = match kept.iter().position(|door| door.address() == address) {
                Some(index) => kept.remove(index),
                None => Door::open(address)
                    .map(Arc::new)
                    .map_err(|error| StartError::Bind(address.clone(), error))?,
            };
            doors.push(door);
        }
        let before = doors.iter().find_map(|door| door.server());
        Ok(Self {
            document: config.document.as_ref().map(Document::new),
            #[cfg(feature = "tls")]
            certificates: certificates(&config, before.as_deref())?,
            doors,
            room: before
                .map(|server| Arc::clone(&server.room))
                .unwrap_or_default(),
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
        let names: Vec<_> = self.doors.iter().map(|door| door.name(tls)).collect();
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
            .map_or(Ok(()), |certificates| certificates.reload())
    }

    /// The addresses it listens on.
    pub fn doors(&self) -> &[Arc<Door>] {
        &self.doors
    }

    /// Starts an accept thread for each address that has none yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        if let Some(websocket) = &self.config.websocket {
            self.room.watch(websocket.ping)?;
        }
        for (index, door) in self.doors.iter().enumerate() {
            if door.is_new() && door.lead_to(self) {
                let door = Arc::clone(door);
                let spare = UnixDatagram::unbound().ok();
                thread::Builder::new()
                    .name(format!("accept-{index}"))
                    .stack_size(STACK)
                    .spawn(move || accept(&door, spare))?;
            }
        }
        Ok(())
    }

    /// Takes over from the server its addresses led to before.
    pub fn take_over(self: &Arc<Self>) {
        for door in &self.doors {
            door.lead_to(self);
        }
    }

    /// Its clients' places.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Gives a new client a place and a thread.
    fn admit(self: &Arc<Self>, socket: TcpStream) {
        let Some(place) = Place::find(self, &socket) else {
            return self.turn_away(socket);
        };
        let deadline = Instant::now() + self.config.head_timeout;
        let name = format!("c{}", place.number());
        // A thread that cannot be created keeps nothing: the client is still here then.
        let client = Arc::new(Mutex::new(Some((place, socket))));
        let passed = Arc::clone(&client);
        let spawned = thread::Builder::new()
            .name(name)
            .stack_size(STACK)
            .spawn(move || {
                let client = take(&passed);
                drop(passed);
                if let Some((place, socket)) = client {
                    serve(place, socket, deadline);
                }
            });
        if let Err(error) = spawned {
            warn!("cannot create a thread for a client: {error}");
            if let Some((_, socket)) = take(&client) {
                self.turn_away(socket);
            }
        }
    }

    /// Tells a client that there is no room for it, without waiting for anything: a client that
    /// expects TLS can only be closed.
    fn turn_away(&self, socket: TcpStream) {
        if self.config.tls.is_some() || socket.set_nonblocking(true).is_err() {
            return;
        }
        let client = Client::plain(socket);
        // A request that stays unread would make closing a reset, which may destroy the answer.
        let _ = client.read(&mut [0; 2048]);
        let _ = response::refuse(&client, &Refusal::TooManyClients);
        client.finish();
    }

    /// Closes the addresses that lead here.
    pub fn close(self: &Arc<Self>) {
        for door in &self.doors {
            if door
                .server()
                .is_some_and(|server| Arc::ptr_eq(&server, self))
            {
                door.close();
            }
        }
    }

    /// Begins to stop gracefully: no new clients, Close 1001 to those there are.
    pub fn stop(self: &Arc<Self>) {
        self.close();
        self.room.stop();
    }
}

/// What is passed to a thread, by whichever side comes to need it.
fn take<T>(passed: &Mutex<Option<T>>) -> Option<T> {
    passed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The accept loop of one address, until it is closed. `spare` is given up when there is no
/// other descriptor, so that a client can be accepted and told.
fn accept(door: &Door, mut spare: Option<UnixDatagram>) {
    loop {
        let accepted = door.accept();
        let Some(server) = door.server() else {
            return;
        };
        let error = match accepted {
            Ok(socket) => {
                server.admit(socket);
                continue;
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            // The client left before it was accepted: the next one waits.
            Some(nix::libc::ECONNABORTED | nix::libc::EINTR | nix::libc::EPROTO) => {}
            Some(nix::libc::EMFILE | nix::libc::ENFILE) if spare.take().is_some() => {
                warn!("cannot accept a client: {error}");
                if let Ok(socket) = door.accept() {
                    server.turn_away(socket);
                }
            }
            _ => {
                warn!("cannot accept a client: {error}");
                thread::sleep(EXHAUSTED_PAUSE);
            }
        }
        spare = spare.or_else(|| UnixDatagram::unbound().ok());
    }
}

/// Reads certificates, unless the server before has the same: those are renewed in place, and
/// stay if the user can no longer read the key.
#[cfg(feature = "tls")]
fn certificates(
    config: &ServerConfig,
    before: Option<&Server>,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    match before {
        Some(before) if before.config.tls.as_ref() == Some(tls) => Ok(before.certificates.clone()),
        _ => {
            let certificates = Certificates::load(tls).map_err(StartError::Tls)?;
            Ok(Some(Arc::new(certificates)))
        }
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
    match &server.certificates {
        Some(certificates) => shake_hands(certificates, socket, deadline),
        None => Ok(Client::plain(socket)),
    }
}

/// Does the TLS handshake. Never inlined: the stack it needs would stay touched for as long as
/// each client is there, those without TLS too.
#[cfg(feature = "tls")]
#[inline(never)]
fn shake_hands(
    certificates: &Certificates,
    socket: TcpStream,
    deadline: Instant,
) -> Result<Client, crate::tls::Failure> {
    use crate::tls::{Failure, Session};
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

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(Listen, io::Error),
    /// A certificate or its key is unfit.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// There is no thread to accept clients.
    Thread(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(Listen::Tcp(address), error) => write!(f, "cannot bind {address}: {error}"),
            Self::Bind(Listen::Unix(path), error) => {
                write!(f, "cannot bind unix:{}: {error}", path.display())
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
            Self::Thread(error) => write!(f, "cannot create a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
