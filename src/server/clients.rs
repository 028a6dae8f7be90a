//! Opening: a server's clients: who is admitted, who is watched, and how all are ended.
//!
//! A [`Slot`] is a client's right to be served: no slot, no service. When it is dropped it is
//! free again, whatever ended the client. A client for whom there is no slot never enters the
//! table.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::frames::WATCHES;
use crate::config::{ServerConfig, Target};
use crate::http::trust::is_trusted;
use crate::server::resources::Resources;
use crate::server::slot::Slot;
use crate::server::table::{Counts, Entry, Hold, Table};
use crate::system::threads;

/// TLS clients beyond `maxclients` that are told so at a time: their handshake takes a thread.
pub(super) const MAX_REFUSED: usize = 16;

/// Pause between two tries to send a Close to clients without room for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// Why a client gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// `maxclients` are being served.
    Clients,
    /// `maxperip` of its address are.
    Address,
    /// Too many connections of a proxy have not said yet whom they are for.
    Proxy,
    /// There is no descriptor or no thread for it.
    Resources,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients => "maxclients are being served",
            Self::Address => "maxperip clients of this address are being served",
            Self::Proxy => "half of maxclients are connections of a proxy without a request",
            Self::Resources => "no descriptor or no thread is left: see ulimit -n and -u",
        })
    }
}

/// A server's clients. The next configuration's server takes the table over, with who is in it.
#[derive(Default)]
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Notified whenever a slot becomes free.
    freed: Condvar,
    /// The pause of the thread that watches silent clients, once there is one.
    watch: Mutex<Option<Duration>>,
}

impl Clients {
    /// Finds a slot for a client that has just been accepted from `peer`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn admit(
        self: &Arc<Self>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
        socket: &TcpStream,
        peer: Option<SocketAddr>,
    ) -> Result<Slot, Full> {
        let trusted = is_trusted(&config.trusted, peer);
        // Whom a proxy speaks for is known later: see `Slot::assign`.
        let address = peer.filter(|_| !trusted).map(|peer| peer.ip());
        let mut table = self.table();
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
        Ok(Slot::new(self, index, number, peer, trusted, promise))
    }

    /// Finds a place for a TLS client that can only be told that there is no slot; `None` when
    /// too many are being told.
    pub(crate) fn refuse(
        self: &Arc<Self>,
        config: &ServerConfig,
        resources: &Arc<Resources>,
        socket: &TcpStream,
        peer: Option<SocketAddr>,
    ) -> Option<Slot> {
        let mut table = self.table();
        if table.refused >= MAX_REFUSED {
            return None;
        }
        let promise = resources.promise(descriptors(config))?;
        let trusted = is_trusted(&config.trusted, peer);
        let mut entry = Entry::new(hold(config, trusted, socket), None, false);
        entry.counts = Counts::Refused;
        let (index, number) = table.add(entry);
        drop(table);
        Some(Slot::refused(Slot::new(
            self, index, number, peer, trusted, promise,
        )))
    }

    /// Watches for clients that are silent for `ping`, from a thread of its own that ends with
    /// the table.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub(crate) fn watch(self: &Arc<Self>, ping: Duration) -> io::Result<()> {
        let pause = ping / u32::from(WATCHES);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let clients = Arc::downgrade(self);
            threads::spawn_vital("watch", move || {
                while let Some(pause) = clients.upgrade().and_then(|clients| clients.watch_once()) {
                    threads::sleep(pause);
                }
            })?;
        }
        *watch = Some(pause);
        Ok(())
    }

    /// Watches every client once; returns the pause until the next time.
    fn watch_once(&self) -> Option<Duration> {
        for entry in self.table().entries() {
            if let Hold::Writer(writer) = &entry.hold {
                writer.watch();
            }
        }
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is being served.
    pub(crate) fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// Sends Close 1001 to clients that are open, and ends the others, those too that are just
    /// being admitted.
    pub(crate) fn stop(&self) {
        let mut table = self.table();
        table.is_stopping = true;
        for entry in table.entries() {
            match &entry.hold {
                Hold::Writer(writer) => writer.stop(),
                Hold::Socket(_) => entry.cut(),
            }
        }
    }

    /// Ends every client.
    pub(crate) fn cut(&self) {
        self.table().entries().for_each(Entry::cut);
    }

    /// Waits until nobody is being served. A client that had no room for its Close gets it as
    /// soon as it has some.
    pub(crate) fn wait_empty(&self, deadline: Instant) {
        let taken = |table: &mut Table| !table.is_empty();
        let mut table = self.table();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = left.min(SETTLE_PAUSE);
            let waited = self.freed.wait_timeout_while(table, pause, taken);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
            if table.is_empty() || left.is_zero() {
                return;
            }
            for entry in table.entries() {
                if let Hold::Writer(writer) = &entry.hold {
                    writer.settle();
                }
            }
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a client out of the table.
    pub(super) fn remove(&self, index: usize) {
        self.table().remove(index);
        self.freed.notify_all();
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

#[cfg(test)]
mod tests;
