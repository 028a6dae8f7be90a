//! Opening: one client's slot in the table of its server.
//!
//! A [`Slot`] is a client's right to be served. Dropping it frees it, whatever ended the client. A
//! client without a slot is not in the table.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use crate::client::Client;
use crate::client::frames::FrameWriter;
use crate::config::{ServerConfig, Target};
use crate::http::trust::is_trusted;
use crate::server::clients::Clients;
use crate::server::resources::{Opening, Promise, Resources, THREADS};
use crate::server::table::{Counts, Entry, Full, Hold};

/// Most TLS clients beyond `maxclients` that are refused at a time: each handshake takes a thread.
pub(super) const MAX_REFUSED: usize = 16;

/// A client's slot among `maxclients`; dropping it frees it.
pub(crate) struct Slot {
    clients: Arc<Clients>,
    pub(super) index: usize,
    number: usize,
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
        // The address that a proxy speaks for is known later: see `Slot::assign`.
        let address = peer.filter(|_| !trusted).map(|peer| peer.ip());
        let mut table = clients.table();
        if address.is_some_and(|ip| table.addresses.is_full(ip, config.max_of(ip))) {
            return Err(Full::Address);
        }
        if trusted && table.unassigned >= config.max_clients.div_ceil(2) {
            return Err(Full::Proxy);
        }
        let Some(promise) = resources.promise(descriptors(config), threads(config)) else {
            // What this frees is for the next client.
            table.give_way();
            return Err(Full::Resources);
        };
        if table.served >= config.max_clients && !table.give_way() {
            return Err(Full::Clients);
        }
        let entry = Entry::new(hold(config, trusted, socket), address, trusted);
        let (index, number) = table.add(entry);
        drop(table);
        Ok(Self::new(clients, index, number, trusted, promise))
    }

    /// Enters a client that another process has served since `since`, counted as one of `address`.
    /// Returns `None` if there is no slot or no descriptor for it.
    #[cfg(feature = "websocket")]
    pub(crate) fn adopt(
        clients: &Arc<Clients>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
        (number, since): (usize, Instant),
        address: Option<IpAddr>,
    ) -> Option<Self> {
        let mut table = clients.table();
        if table.served >= config.max_clients || table.is_stopping {
            return None;
        }
        let promise = resources.promise(descriptors(config), 0)?;
        let mut entry = Entry::new(Hold::Socket(None), address, false);
        (entry.since, entry.is_answered) = (since, true);
        let index = table.enter(entry, number);
        drop(table);
        Some(Self::new(clients, index, number, false, promise))
    }

    /// Waits until there is a thread for another client, where that is all that was missing: each
    /// client gives its own back when its WebSocket is open. Returns false at the deadline.
    pub(crate) fn wait_for_thread(
        config: &ServerConfig,
        resources: &Resources,
        deadline: Instant,
    ) -> bool {
        let threads = threads(config);
        threads < THREADS && resources.wait_for_threads(descriptors(config), threads, deadline)
    }

    /// Enters a TLS client that has no slot among `maxclients` and is refused after its handshake.
    /// Returns `None` if too many are being refused.
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
        let promise = resources.promise(descriptors(config), threads(config))?;
        let trusted = is_trusted(&config.trusted, peer);
        let mut entry = Entry::new(hold(config, trusted, socket), None, false);
        entry.counts = Counts::Refused;
        let (index, number) = table.add(entry);
        drop(table);
        Some(Self::refused(Self::new(
            clients, index, number, trusted, promise,
        )))
    }

    /// Enters a request that is only explained, beside all limits. Returns `None` if no descriptor
    /// is left, or if too many clients are being refused.
    #[cfg(feature = "state")]
    pub(crate) fn aside(
        clients: &Arc<Clients>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
    ) -> Option<Self> {
        let mut table = clients.table();
        if table.refused >= MAX_REFUSED {
            return None;
        }
        let promise = resources.promise(descriptors(config), threads(config))?;
        let mut entry = Entry::new(Hold::Socket(None), None, false);
        entry.counts = Counts::Refused;
        let (index, number) = table.add(entry);
        drop(table);
        let trusted = is_trusted(&config.trusted, None);
        Some(Self::new(clients, index, number, trusted, promise))
    }

    fn new(
        clients: &Arc<Clients>,
        index: usize,
        number: usize,
        is_trusted: bool,
        promise: Promise,
    ) -> Self {
        Self {
            clients: Arc::clone(clients),
            index,
            number,
            is_trusted,
            is_refused: false,
            promise,
        }
    }

    /// Marks the client as one that is to be refused.
    fn refused(mut self) -> Self {
        self.is_refused = true;
        self
    }

    /// Whether the client has no slot among `maxclients` and is to be refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Returns a number that no other client of the process has.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Whether its peer is a trusted proxy, which is believed about the client's address.
    pub(crate) fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Counts a client that a trusted proxy speaks for as one of the address that it names.
    ///
    /// # Errors
    /// `Full::Address` if `maxperip` of that address are being served.
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

    /// Puts a client into the slot after its handshake. Returns its writer.
    pub(crate) fn put(&self, mut client: Client) -> Arc<FrameWriter> {
        client.set_number(self.number);
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

    /// Notes that the client's request is complete. From now on the client does not give way to a
    /// new one, however long its answer takes (a file, a backend that is waited for).
    pub(crate) fn set_answered(&self) {
        let mut guard = self.clients.table();
        let table = &mut *guard;
        if let Some(entry) = table.entry(self.index) {
            entry.is_answered = true;
            let was_unassigned = std::mem::take(&mut entry.is_unassigned);
            table.unassigned -= usize::from(was_unassigned);
        }
    }

    /// Notes which service the client's WebSocket is for, whether it is shared, and who has logged
    /// in.
    #[cfg(feature = "websocket")]
    pub(crate) fn set_service(&self, service: &Arc<str>, is_shared: bool, user: Option<&Arc<str>>) {
        if let Some(entry) = self.clients.table().entry(self.index) {
            entry.seen.set_service(service, is_shared, user);
        }
    }

    /// Notes that the client has got its answer. It gives way to a new client until its next
    /// request is complete.
    pub(crate) fn set_idle(&self) {
        self.clients.table().set_idle(self.index);
    }

    /// Descriptors of clients that have left their slots already, of each kind at most.
    #[cfg(feature = "websocket_rt")]
    pub(crate) fn pool(&self) -> usize {
        self.promise.pool()
    }

    /// Waits for the descriptor that a walk beneath docroot takes for a moment. Returns `None` at
    /// the deadline.
    pub(crate) fn opening(&self, deadline: Instant) -> Option<Opening> {
        self.promise.opening(deadline)
    }

    /// Gives back the thread that was promised for the opening: others copy for the client.
    #[cfg(feature = "websocket")]
    pub(crate) fn release_threads(&self) {
        self.promise.release_threads();
    }

    /// Lets the client wait for its backend. Returns `None` if half of `maxclients` wait already.
    #[cfg(feature = "websocket")]
    pub(crate) fn wait_for_backend(&self, config: &ServerConfig) -> Option<Waiting<'_>> {
        let mut table = self.clients.table();
        if table.waiting >= config.max_clients.div_ceil(2) {
            return None;
        }
        table.waiting += 1;
        Some(Waiting(&self.clients))
    }

    /// Takes the client out, to give it away. The slot stays taken.
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

/// Returns the socket by which a client can be cut during its TLS handshake or PROXY header.
fn hold(config: &ServerConfig, trusted: bool, socket: &TcpStream) -> Hold {
    Hold::Socket(match config.tls.is_some() || trusted {
        true => socket.try_clone().ok(),
        false => None,
    })
}

/// Returns how many descriptors a client needs: one for itself, one for its backend or file, and
/// two more if that may be a serial line, a pair of fifos or a program.
fn descriptors(config: &ServerConfig) -> usize {
    let has_more = |target: &Target| match target {
        Target::Unix(_) | Target::Tcp(..) => false,
        Target::Tty(..) | Target::Fifo(..) | Target::Fifos { .. } | Target::Status => true,
        // Its standard error.
        #[cfg(feature = "exec")]
        Target::Exec(_) => true,
    };
    if let Some(websocket) = &config.websocket
        && websocket.links.iter().any(|link| has_more(&link.target))
    {
        return 4;
    }
    2
}

/// Returns how many threads a client needs: one to open, which it gives back if its directions do
/// without one when they are silent; otherwise one for each direction.
fn threads(config: &ServerConfig) -> usize {
    match &config.websocket {
        Some(websocket) if websocket.park.is_none() => THREADS,
        _ => 1,
    }
}

/// A client that waits for its backend; dropping it ends the wait.
#[cfg(feature = "websocket")]
pub(crate) struct Waiting<'a>(&'a Clients);

#[cfg(feature = "websocket")]
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.table().waiting -= 1;
    }
}
