//! Running: threads that wait in a read, and how they are called out of it.
//!
//! With a limit of the socket's own (SO_RCVTIMEO) the kernel would set a timer for each read that
//! waits. So a thread notes before it reads for how many looks it may wait. The watching thread
//! looks once in [`LOOK`], and interrupts a thread whose read has lasted for all of them: the read
//! fails with `EINTR`. A signal that comes just before the read has no effect; the thread is
//! interrupted again at the next look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::system::sync::atomic::{AtomicU32, Ordering};
use crate::system::threads::{LOOK, Thread};

/// Returns how many looks go by until a thread has waited for `limit`, or up to one look longer.
/// 0 stands for no limit.
pub(crate) fn looks(limit: Option<Duration>) -> u32 {
    limit.map_or(0, |limit| {
        u32::try_from(limit.as_secs()).unwrap_or(u32::MAX - 1) + 1
    })
}

/// A thread that reads.
pub(crate) struct Reader {
    thread: Thread,
    /// Looks until it is called out of its read; 0 if it may wait as long as it likes.
    left: AtomicU32,
}

impl Reader {
    /// Notes that the thread begins another read, in which it may wait for so many looks.
    pub(crate) fn begin(&self, looks: u32) {
        self.left.store(looks, Ordering::Relaxed);
    }

    fn look(&self) {
        let fewer = |left: u32| (left > 1).then(|| left - 1);
        let order = Ordering::Relaxed;
        if self.left.fetch_update(order, order, fewer) == Err(1) {
            self.thread.interrupt();
        }
    }
}

/// All threads that may read, and the one that watches them.
#[derive(Default)]
pub(crate) struct Readers {
    all: Vec<Arc<Reader>>,
    watcher: Option<Thread>,
    /// When the last look was, or when the first thread was seen.
    looked: Option<Instant>,
}

impl Readers {
    /// Adds the thread that calls this. The first one interrupts the watching thread, so that it
    /// begins to look. A signal that comes just before that thread waits has no effect: it then
    /// begins when it next watches the clients.
    pub(crate) fn add(&mut self) -> Arc<Reader> {
        let reader = Arc::new(Reader {
            thread: Thread::current(),
            left: AtomicU32::new(0),
        });
        if let (true, Some(watcher)) = (self.all.is_empty(), &self.watcher) {
            watcher.interrupt();
        }
        self.all.push(Arc::clone(&reader));
        reader
    }

    /// Takes out a thread that ends.
    pub(crate) fn remove(&mut self, reader: &Arc<Reader>) {
        self.all.retain(|other| !Arc::ptr_eq(other, reader));
    }

    /// Looks at them if it is time; called by the watching thread. Returns when to look again, if
    /// there are any.
    pub(crate) fn watch(&mut self) -> Option<Duration> {
        self.watcher.get_or_insert_with(Thread::current);
        if self.all.is_empty() {
            self.looked = None;
            return None;
        }
        let since = *self.looked.get_or_insert_with(Instant::now);
        let left = LOOK.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        self.looked = Some(Instant::now());
        self.all.iter().for_each(|reader| reader.look());
        Some(LOOK)
    }
}
