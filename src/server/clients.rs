//! The slots of the clients: who is being served, and how it is ended from outside.
//!
//! A [`Slot`] is a client's entry: no entry, no service; when it is dropped the entry is
//! free again, whatever ended the client.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::client::frames::{FrameWriter, WATCHES};
use crate::config::ServerConfig;
use crate::http::trust::is_trusted;
use crate::system::threads;

/// Clients beyond `maxclients` that are told so by a thread of their own; as many again may be
/// on their way out when others take their slots.
const SPARE_SLOTS: usize = 16;

/// Pause between two tries to send a Close to clients without room for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A handshake younger than this does not give way to a new client.
const MIN_HANDSHAKE: Duration = Duration::from_millis(500);

/// The clients' slots. The next configuration's server takes it over, with who is in it.
#[derive(Default)]
pub struct Clients {
    entries: Mutex<Table>,
    /// Told whenever an entry becomes free.
    freed: Condvar,
    /// The thread that watches silent clients, once there is one, and its pause.
    watch: Mutex<Option<Duration>>,
}

impl Clients {
    /// Watches for clients that are silent for `ping`, from a thread of its own that ends with
    /// the clients.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub fn watch(self: &Arc<Self>, ping: Duration) -> io::Result<()> {
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

    /// Looks at every client once; the pause until the next look.
    fn watch_once(&self) -> Option<Duration> {
        for entry in &self.entries().taken {
            if let Hold::FrameWriter(writer) = &entry.hold {
                writer.watch();
            }
        }
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is being served.
    pub fn is_empty(&self) -> bool {
        self.entries().taken.is_empty()
    }

    /// Sends Close 1001 to those that have come so far, and ends the others, those too that are
    /// just being let in.
    pub fn stop(&self) {
        let mut entries = self.entries();
        entries.is_stopping = true;
        for entry in &entries.taken {
            match &entry.hold {
                Hold::FrameWriter(writer) => writer.stop(),
                Hold::Socket(_) => entry.cut(),
            }
        }
    }

    /// Ends everybody.
    pub fn cut(&self) {
        for entry in &self.entries().taken {
            entry.cut();
        }
    }

    /// Waits until nobody is being served. A client that had no room for its Close gets it as
    /// soon as it has some.
    pub fn wait_empty(&self, deadline: Instant) {
        let taken = |entries: &mut Table| !entries.taken.is_empty();
        let mut entries = self.entries();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = left.min(SETTLE_PAUSE);
            let waited = self.freed.wait_timeout_while(entries, pause, taken);
            entries = waited.unwrap_or_else(PoisonError::into_inner).0;
            if entries.taken.is_empty() || left.is_zero() {
                return;
            }
            for entry in &entries.taken {
                if let Hold::FrameWriter(writer) = &entry.hold {
                    writer.settle();
                }
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, Table> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clients that are being served.
#[derive(Default)]
struct Table {
    next: usize,
    /// In the order of their coming.
    taken: Vec<Entry>,
    /// Nobody is served any more.
    is_stopping: bool,
}

impl Table {
    /// Whether an address has all the entries that it may have.
    fn is_crowded(&self, ip: IpAddr, config: &ServerConfig) -> bool {
        let of_ip = |entry: &&Entry| entry.ip == Some(ip);
        config
            .max_of(ip)
            .is_some_and(|limit| self.taken.iter().filter(of_ip).count() >= limit)
    }

    fn numbered(&mut self, number: usize) -> Option<&mut Entry> {
        self.taken.iter_mut().find(|entry| entry.number == number)
    }
}

struct Entry {
    number: usize,
    since: Instant,
    /// It is in the middle of an answer, before or without a 101.
    is_answered: bool,
    ip: Option<IpAddr>,
    /// To end it from outside: the writer, or the bare socket while it has none.
    hold: Hold,
}

enum Hold {
    /// Just accepted, or in the TLS handshake, which has a descriptor to cut; or given away.
    Socket(Option<TcpStream>),
    FrameWriter(Arc<FrameWriter>),
}

impl Entry {
    /// Whether its client has not come as far as an answer.
    fn is_opening(&self) -> bool {
        match &self.hold {
            _ if self.is_answered => false,
            Hold::Socket(socket) => socket.is_some(),
            Hold::FrameWriter(writer) => !writer.is_open(),
        }
    }

    fn cut(&self) {
        match &self.hold {
            Hold::Socket(Some(socket)) => {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            Hold::Socket(None) => {}
            Hold::FrameWriter(writer) => writer.client().cut(),
        }
    }
}

/// A client's slot among `maxclients`; dropping it makes room for the next.
pub struct Slot {
    clients: Arc<Clients>,
    number: usize,
    spare: bool,
    trusted: bool,
}

impl Slot {
    /// Finds a slot for a client of the server with these settings; `None` when there are none
    /// left even for those who are refused.
    pub fn find(clients: &Arc<Clients>, config: &ServerConfig, socket: &TcpStream) -> Option<Slot> {
        let peer = socket.peer_addr().ok();
        let trusted = is_trusted(&config.trusted, peer, socket.local_addr().ok());
        // Whom a proxy speaks for is known after the head: see `assign_to`.
        let ip = peer
            .filter(|_| !trusted)
            .map(|address| address.ip().to_canonical());
        let now = Instant::now();
        let mut entries = clients.entries();
        let count = entries.taken.len();
        let crowded = ip.is_some_and(|ip| entries.is_crowded(ip, config));
        let mut spare = crowded;
        if count >= config.max_clients {
            // The oldest handshake that does not come to its end gives way, one that could only
            // be refused too.
            let late = |entry: &&Entry| entry.is_opening() && now - entry.since > MIN_HANDSHAKE;
            match entries.taken.iter_mut().find(|entry| late(&&**entry)) {
                Some(entry) if count < config.max_clients + 2 * SPARE_SLOTS => {
                    entry.cut();
                    // It gives way to one client: the next one finds the next.
                    entry.since = now;
                }
                _ if count >= config.max_clients + SPARE_SLOTS => return None,
                _ => spare = true,
            }
        }
        let number = entries.next;
        entries.next = number.wrapping_add(1);
        // To cut it from outside while it has no writer: in the TLS handshake, or while its
        // PROXY header is read.
        let hold = Hold::Socket(match config.tls.is_some() || trusted {
            true => socket.try_clone().ok(),
            false => None,
        });
        entries.taken.push(Entry {
            number,
            since: now,
            is_answered: false,
            ip,
            hold,
        });
        Some(Slot {
            clients: Arc::clone(clients),
            number,
            spare,
            trusted,
        })
    }

    /// Whether the server is full, so that this client can only be told so.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Whether its peer is believed about whom it speaks for.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Gives the slot of a trusted peer to whom it speaks for, unless that address has all
    /// the slots it may have.
    pub fn assign_to(&self, ip: IpAddr, config: &ServerConfig) -> bool {
        let mut entries = self.clients.entries();
        let ip = ip.to_canonical();
        if entries.is_crowded(ip, config) {
            return false;
        }
        if let Some(entry) = entries.numbered(self.number) {
            entry.ip = Some(ip);
        }
        true
    }

    /// Its number, which no other client has.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Puts a client here.
    pub fn put(&self, client: Client) -> Arc<FrameWriter> {
        let writer = Arc::new(FrameWriter::new(client));
        let mut entries = self.clients.entries();
        if entries.is_stopping {
            writer.stop();
        }
        if let Some(entry) = entries.numbered(self.number) {
            entry.hold = Hold::FrameWriter(Arc::clone(&writer));
        }
        drop(entries);
        writer
    }

    /// Says that the client is being answered, however long that takes (a file, a backend that
    /// is waited for): it gives way to nobody. Or that it no longer is.
    pub fn is_answered(&self, is_answered: bool) {
        if let Some(entry) = self.clients.entries().numbered(self.number) {
            entry.is_answered = is_answered;
        }
    }

    /// Takes the client away, to give it to somebody else.
    pub fn take(&self, writer: Arc<FrameWriter>) -> Client {
        if let Some(entry) = self.clients.entries().numbered(self.number) {
            entry.hold = Hold::Socket(None);
        }
        let writer = Arc::into_inner(writer).expect("only the entry has had it too");
        writer.into_client()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.clients
            .entries()
            .taken
            .retain(|entry| entry.number != self.number);
        self.clients.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
