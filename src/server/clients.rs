//! Opening: a server's clients: who is admitted, who is watched, and how all are ended.
//!
//! Who enters the table, and what it means to be in it, is told in `slot`.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client::frames::WATCHES;
use crate::server::table::{Entry, Hold, Table};
#[cfg(feature = "websocket")]
use crate::system::budget::Budget;
use crate::system::threads;

/// Pause between two tries to send a Close to clients without room for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A server's clients. The next configuration's server takes the table over, with who is in it.
#[derive(Default)]
pub(crate) struct Clients {
    table: Mutex<Table>,
    /// Notified whenever a slot becomes free.
    freed: Condvar,
    /// What their messages held whole and grown buffers take (`maxmemory`).
    #[cfg(feature = "websocket")]
    budget: Budget,
    /// The pause of the thread that watches silent clients, once there is one.
    watch: Mutex<Option<Duration>>,
}

impl Clients {
    /// The memory that their messages held whole and grown buffers share.
    #[cfg(feature = "websocket")]
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
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

    /// How many clients count towards `maxclients` now.
    pub(crate) fn served(&self) -> usize {
        self.table().served
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

#[cfg(test)]
mod tests;
