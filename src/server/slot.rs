//! Opening: one client's slot in the table of its server.
//!
//! A [`Slot`] is a client's right to be served: no slot, no service. When it is dropped it is
//! free again, whatever ended the client. A client for whom there is no slot never enters the
//! table.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use crate::client::Client;
use crate::client::frames::FrameWriter;
use crate::config::{ServerConfig, Target};
use crate::http::trust::is_trusted;
use crate::server::clients::Clients;
use crate::server::resources::{Opening, Promise, Resources};
use crate::server::table::{Counts, Entry, Full, Hold};

/// TLS clients beyond `maxclients` that are told so at a time: their handshake takes a thread.
pub(super) const MAX_REFUSED: usize = 16;

/// A client's slot among `maxclients`; dropping it makes room for the next.
pub(crate) struct Slot {
    clients: Arc<Clients>,
    index: usize,
    number: usize,
    peer: Option<SocketAddr>,
    is_trusted: bool,
    is_refused: bool,
    promise: Promise,
}

impl Slot {
    /// Finds a slot for a client that has just been accepted from `peer`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn admit(
        clients: &Arc<Clients>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
        socket: &TcpStream,
        peer: Option<SocketAddr>,
    ) -> Result<Self, Full> {
        let trusted = is_trusted(&config.trusted, peer);
        // Whom a proxy speaks for is known later: see `Slot::assign`.
        let address = peer.filter(|_| !trusted).map(|peer| peer.ip());
        let mut table = clients.table();
        if address.is_some_and(|ip| table.addresses.is_full(ip, config.max_of(ip))) {
            return Err(Full::Address);
        }
        if trusted && table.unassigned >= config.max_clients.div_ceil(2) {
            return Err(Full::Proxy);
        }
        let Some(promise) = resources.promise(descriptors(config)) else {
            // What that frees is for the next.
            table.give_way();
            return Err(Full::Resources);
        };
        if table.served >= config.max_clients && !table.give_way() {
            return Err(Full::Clients);
        }
        let entry = Entry::new(hold(config, trusted, socket), address, trusted);
        let (index, number) = table.add(entry);
        drop(table);
        Ok(Self::new(clients, index, number, peer, trusted, promise))
    }

    /// Finds a place for a TLS client that can only be told that there is no slot; `None` when
    /// too many are being told.
    pub(crate) fn find_to_refuse(
        clients: &Arc<Clients>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
        socket: &TcpStream,
        peer: Option<SocketAddr>,
    ) -> Option<Self> {
        let mut table = clients.table();
        if table.refused >= MAX_REFUSED {
            return None;
        }
        let promise = resources.promise(descriptors(config))?;
        let trusted = is_trusted(&config.trusted, peer);
        let mut entry = Entry::new(hold(config, trusted, socket), None, false);
        entry.counts = Counts::Refused;
        let (index, number) = table.add(entry);
        drop(table);
        Some(Self::refused(Self::new(
            clients, index, number, peer, trusted, promise,
        )))
    }

    fn new(
        clients: &Arc<Clients>,
        index: usize,
        number: usize,
        peer: Option<SocketAddr>,
        is_trusted: bool,
        promise: Promise,
    ) -> Self {
        Self {
            clients: Arc::clone(clients),
            index,
            number,
            peer,
            is_trusted,
            is_refused: false,
            promise,
        }
    }

    /// The same for a client that can only be told that there is no slot.
    fn refused(mut self) -> Self {
        self.is_refused = true;
        self
    }

    /// Whether the client can only be told that there is no slot for it.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// A number that no other client of the server has.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Whether its peer is believed about whom it speaks for.
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// The peer that accept(2) told of; `None` behind a UNIX socket.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Counts the client of a trusted peer as one of the address it speaks for.
    ///
    /// # Errors
    /// When `maxperip` of that address are being served.
    pub(crate) fn assign(&self, ip: IpAddr, config: &ServerConfig) -> Result<(), Full> {
        let mut guard = self.clients.table();
        let table = &mut *guard;
        let Some(entry) = table.entry(self.index) else {
            return Ok(());
        };
        let (before, was_unassigned) = (entry.address.take(), entry.is_unassigned);
        entry.is_unassigned = false;
        table.unassigned -= usize::from(was_unassigned);
        if let Some(before) = before {
            table.addresses.remove(before);
        }
        if table.addresses.is_full(ip, config.max_of(ip)) {
            return Err(Full::Address);
        }
        table.addresses.add(ip);
        if let Some(entry) = table.entry(self.index) {
            entry.address = Some(ip);
        }
        Ok(())
    }

    /// Puts a client here, whose bytes can be read from now on.
    pub(crate) fn put(&self, client: Client) -> Arc<FrameWriter> {
        let writer = Arc::new(FrameWriter::new(client));
        let mut table = self.clients.table();
        if table.is_stopping {
            writer.stop();
        }
        if let Some(entry) = table.entry(self.index) {
            entry.hold = Hold::Writer(Arc::clone(&writer));
        }
        drop(table);
        writer
    }

    /// Says that the client's request is complete: from now on it gives way to nobody, however
    /// long its answer takes (a file, a backend that is waited for).
    pub(crate) fn set_answered(&self) {
        let mut guard = self.clients.table();
        let table = &mut *guard;
        if let Some(entry) = table.entry(self.index) {
            entry.is_answered = true;
            let was_unassigned = std::mem::take(&mut entry.is_unassigned);
            table.unassigned -= usize::from(was_unassigned);
        }
    }

    /// Says that the client has had its answer and may send another request: until that is
    /// complete, it gives way to a new client.
    pub(crate) fn set_idle(&self) {
        self.clients.table().set_idle(self.index);
    }

    /// Descriptors of clients that have left their slots already, of each kind at most.
    #[cfg(feature = "websocket_rt")]
    pub(crate) fn pool(&self) -> usize {
        self.promise.pool()
    }

    /// Waits for the descriptor that a walk beneath docroot takes for a moment; `None` at the
    /// deadline.
    pub(crate) fn opening(&self, deadline: Instant) -> Option<Opening<'_>> {
        self.promise.opening(deadline)
    }

    /// Lets the client wait for its backend; `None` when half of `maxclients` do.
    #[cfg(feature = "websocket")]
    pub(crate) fn wait_for_backend(&self, config: &ServerConfig) -> Option<Waiting<'_>> {
        let mut table = self.clients.table();
        if table.waiting >= config.max_clients.div_ceil(2) {
            return None;
        }
        table.waiting += 1;
        Some(Waiting(&self.clients))
    }

    /// Takes the client away, to give it to somebody else; the slot stays taken.
    pub(crate) fn take(&self, writer: Arc<FrameWriter>) -> Client {
        if let Some(entry) = self.clients.table().entry(self.index) {
            entry.hold = Hold::Socket(None);
        }
        let writer = Arc::into_inner(writer).expect("only the table has had it too");
        writer.into_client()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.clients.remove(self.index);
    }
}

/// By what a client is ended while its TLS handshake is done, or its PROXY header read.
fn hold(config: &ServerConfig, trusted: bool, socket: &TcpStream) -> Hold {
    Hold::Socket(match config.tls.is_some() || trusted {
        true => socket.try_clone().ok(),
        false => None,
    })
}

/// Descriptors of a client to its end: its own, and its backend's or its file's. A serial line or
/// a fifo is waited for by a pipe of its own.
fn descriptors(config: &ServerConfig) -> usize {
    if let Some(websocket) = &config.websocket
        && websocket
            .links
            .iter()
            .any(|link| matches!(link.target, Target::Tty(..) | Target::Fifo(..)))
    {
        return 4;
    }
    2
}

/// A client whose backend is waited for; dropping it ends the wait.
#[cfg(feature = "websocket")]
pub(crate) struct Waiting<'a>(&'a Clients);

#[cfg(feature = "websocket")]
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.table().waiting -= 1;
    }
}
