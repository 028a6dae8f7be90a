//! Opening: a server's clients, how they are watched for silence, and how all of them are ended.
//!
//! `slot` decides which clients enter the table.

use std::io;
#[cfg(feature = "websocket")]
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::warn;

use crate::client::frames::WATCHES;
use crate::server::parking::Parking;
#[cfg(feature = "state")]
use crate::server::seen::HandedOver;
use crate::server::table::{Entry, Hold, Table};
use crate::server::workers::Workers;
#[cfg(feature = "websocket")]
use crate::system::budget::Budget;
use crate::system::condition::Condition;
use crate::system::reason::reason;
use crate::system::threads;

/// Pause between two tries to send a Close to clients whose sockets are full.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A server's clients. The next configuration's server takes the table over, with who is in it.
#[derive(Default)]
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Notified whenever a slot becomes free.
    freed: Condition,
    /// The memory of messages held whole and of grown buffers (`maxmemory`).
    #[cfg(feature = "websocket")]
    budget: Budget,
    /// The threads of the clients.
    workers: Arc<Workers>,
    /// Directions of connections that hold no thread.
    parking: Arc<Parking>,
    /// Clients that their backends have taken over and that are still watched.
    #[cfg(feature = "state")]
    pub(super) handed: Mutex<Vec<HandedOver>>,
    /// The pause of the thread that watches silent clients; `None` if there is no such thread.
    watch: Mutex<Option<Duration>>,
}

impl Clients {
    /// Returns the budget of messages held whole and of grown buffers.
    #[cfg(feature = "websocket")]
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the threads of the clients.
    pub(crate) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    /// Returns where directions of connections wait without a thread.
    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    /// Starts the thread that watches for clients that are silent for `ping`, unless it runs, and
    /// sets its pause. It gives threads to parked directions, too. It ends with the table.
    ///
    /// # Errors
    /// If the thread cannot be created, or interrupt others.
    pub(crate) fn watch(self: &Arc<Self>, ping: Duration) -> io::Result<()> {
        let pause = ping / u32::from(WATCHES);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            if let Err(error) = self.parking.open() {
                warn!(
                    "silent clients keep their threads: no epoll(7): {}",
                    reason(&error)
                );
            }
            interrupt::prepare()?;
            let clients = Arc::downgrade(self);
            let (parking, workers) = (Arc::clone(&self.parking), Arc::clone(&self.workers));
            threads::spawn_vital("watch", move || {
                while let Some(pause) = clients.upgrade().and_then(|clients| clients.watch_once()) {
                    parking.wait_until(Instant::now() + pause, &workers);
                }
            })?;
        }
        *watch = Some(pause);
        Ok(())
    }

    /// Watches every client once. Returns the pause until the next time.
    fn watch_once(&self) -> Option<Duration> {
        for entry in self.table().entries_mut() {
            entry.look();
            if let Hold::Writer(writer) = &entry.hold {
                writer.watch();
            }
        }
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of which the client with this number is counted.
    #[cfg(feature = "websocket")]
    pub(crate) fn address_of(&self, number: usize) -> Option<IpAddr> {
        let table = self.table();
        let mut entries = table.entries();
        let entry = entries.find(|entry| entry.number == number)?;
        entry.address
    }

    /// Returns how many clients count towards `maxclients` now.
    pub(crate) fn served(&self) -> usize {
        self.table().served
    }

    /// Whether there is no client.
    pub(crate) fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    /// Sends Close 1001 to clients with an open WebSocket and ends the others. A client that is
    /// admitted later is ended too.
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

    /// Cuts the connection of every client.
    pub(crate) fn cut(&self) {
        self.table().entries().for_each(Entry::cut);
    }

    /// Waits until there is no client, until `deadline` at the most. A client whose socket had no
    /// space for its Close gets it as soon as there is some.
    pub(crate) fn wait_empty(&self, deadline: Instant) {
        let taken = |table: &mut Table| !table.is_empty();
        let mut table = self.table();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = left.min(SETTLE_PAUSE);
            table = self.freed.wait_while(table, pause, taken);
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

#[cfg(test)]
mod tests;
