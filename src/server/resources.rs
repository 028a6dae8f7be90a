//! Opening: promises each client its descriptors and threads before it is admitted.
//!
//! All servers share one [`Resources`]. A client that holds a [`Promise`] gets a descriptor for its
//! backend and a thread for each direction, however many other clients come. A client for whom
//! there is no promise is turned away at once. The walk beneath docroot needs one descriptor more
//! for a moment; it comes from a small pool that all openings share.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit};

use crate::server::farewell::Farewell;
use crate::system::condition::Condition;
use crate::system::limits;

/// Threads of a client whose directions keep them: one reads it, one reads its backend.
pub(super) const THREADS: usize = 2;

/// Descriptors kept for the daemon's own work: a reload, the log, a client yet to be turned away.
const OWN_DESCRIPTORS: usize = 6;

/// Threads kept for the daemon's own work: a stop, the programs of `init_d`, name look-ups.
const OWN_THREADS: usize = 4;

/// Descriptors in use, if proc(5) cannot be read.
const UNKNOWN_IN_USE: usize = 16;

/// A pool of descriptors is this part of the limit.
const SHARE: usize = 16;
/// Descriptors of the pool that openings share, at least and at most.
const OPENINGS: (usize, usize) = (2, 16);
/// Sockets that may be leaving at a time, and connections of clients that were handed over which
/// are watched, at least and at most.
const LEFT: (usize, usize) = (4, 64);

/// What can still be promised to clients.
#[derive(Default)]
struct Free {
    descriptors: usize,
    threads: usize,
    /// Most threads that may copy at a time (`maxthreads`).
    copying: usize,
    openings: usize,
    /// How many sockets may be leaving at a time.
    #[cfg(feature = "websocket_rt")]
    left: usize,
}

/// The descriptors and threads of the process that clients may have.
#[derive(Default)]
pub(crate) struct Resources {
    free: Mutex<Free>,
    /// Notified whenever an opening gives its descriptor back.
    opened: Condition,
    /// Notified whenever a client gives threads back.
    released: Condition,
    farewell: Arc<Farewell>,
}

impl Resources {
    /// Measures what the limits of getrlimit(2) leave for clients. Call it when the daemon's own
    /// descriptors are open; it still needs `descriptors` and `threads` more. `copying` threads
    /// copy for clients that give theirs up when they are silent (`maxthreads`); they get half of
    /// what is left at most, and the other half is for clients that open.
    pub(crate) fn measure(&self, descriptors: usize, threads: usize, copying: usize) {
        let limit = limit_of(Resource::RLIMIT_NOFILE);
        let pool = |(least, most): (usize, usize)| (limit / SHARE).clamp(least, most);
        let (openings, left) = (pool(OPENINGS), pool(LEFT));
        let handed_over = if cfg!(feature = "websocket_rt") {
            left
        } else {
            0
        };
        let pools = openings + left + handed_over + OWN_DESCRIPTORS;
        let own = descriptors_in_use() + descriptors + pools;
        self.farewell.set_limit(left);
        let (left, _) = limits::threads_left();
        let threads = left.saturating_sub(threads + OWN_THREADS);
        let copying = copying.min(threads / 2);
        *self.free() = Free {
            descriptors: limit.saturating_sub(own),
            threads: threads - copying,
            copying,
            openings,
            #[cfg(feature = "websocket_rt")]
            left,
        };
    }

    /// How many threads may copy at a time, in all.
    pub(crate) fn copying(&self) -> usize {
        self.free().copying
    }

    /// Promises a client `descriptors`, its own socket included, and `threads`. Returns `None` if
    /// they are not left.
    pub(crate) fn promise(self: &Arc<Self>, descriptors: usize, threads: usize) -> Option<Promise> {
        let mut free = self.free();
        let left = (
            free.descriptors.checked_sub(descriptors)?,
            free.threads.checked_sub(threads)?,
        );
        (free.descriptors, free.threads) = left;
        Some(Promise {
            resources: Arc::clone(self),
            descriptors,
            threads: AtomicUsize::new(threads),
        })
    }

    /// Waits until this many threads can be promised. Returns false at the deadline, and at once if
    /// there are not so many `descriptors`, which clients keep for longer.
    pub(crate) fn wait_for_threads(
        &self,
        descriptors: usize,
        threads: usize,
        deadline: Instant,
    ) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let none = |free: &mut Free| free.threads < threads && free.descriptors >= descriptors;
        let free = self.released.wait_while(self.free(), left, none);
        free.threads >= threads && free.descriptors >= descriptors
    }

    /// Waits for the end of clients that have been told everything.
    pub(crate) fn farewell(&self) -> &Arc<Farewell> {
        &self.farewell
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's right to its descriptors and threads; dropping it gives them back.
pub(crate) struct Promise {
    resources: Arc<Resources>,
    descriptors: usize,
    threads: AtomicUsize,
}

impl Promise {
    /// Gives the threads back: from now on others copy for the client.
    #[cfg(feature = "websocket")]
    pub(crate) fn release_threads(&self) {
        self.resources.free().threads += self.threads.swap(0, Ordering::Relaxed);
        self.resources.released.notify_all();
    }

    /// Descriptors of clients that have left their slots already, of each kind at most.
    #[cfg(feature = "websocket_rt")]
    pub(crate) fn pool(&self) -> usize {
        self.resources.free().left
    }

    /// Waits for the descriptor that a walk beneath docroot needs. Returns `None` at the deadline.
    /// The holder may wait for the file system only.
    pub(crate) fn opening(&self, deadline: Instant) -> Option<Opening> {
        let left = deadline.saturating_duration_since(Instant::now());
        let none = |free: &mut Free| free.openings == 0;
        let resources = &self.resources;
        let mut free = (resources.opened).wait_while(resources.free(), left, none);
        free.openings = free.openings.checked_sub(1)?;
        Some(Opening(Arc::clone(&self.resources)))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut free = self.resources.free();
        free.descriptors += self.descriptors;
        free.threads += self.threads.load(Ordering::Relaxed);
        drop(free);
        self.resources.released.notify_all();
    }
}

/// The right to one descriptor of the pool; dropping it gives it back.
pub(crate) struct Opening(Arc<Resources>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.free().openings += 1;
        self.0.opened.notify_one();
    }
}

/// Returns the limit in force; `usize::MAX` if there is none or it cannot be read.
fn limit_of(resource: Resource) -> usize {
    // `rlim_t` has 32 bits with a 32-bit glibc, and 64 with others.
    getrlimit(resource).map_or(usize::MAX, |(limit, _)| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

fn descriptors_in_use() -> usize {
    // One of them is that of the directory being read.
    fs::read_dir("/proc/self/fd").map_or(UNKNOWN_IN_USE, |all| all.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn resources(descriptors: usize, threads: usize) -> Arc<Resources> {
        let resources = Resources::default();
        *resources.free() = Free {
            descriptors,
            threads,
            copying: 0,
            openings: 1,
            #[cfg(feature = "websocket_rt")]
            left: 4,
        };
        Arc::new(resources)
    }

    #[test]
    fn what_is_promised_to_one_is_not_promised_to_the_next() {
        for (descriptors, threads) in [(5, 100), (100, 5)] {
            let resources = resources(descriptors, threads);
            let first = resources.promise(2, THREADS);
            let _second = resources
                .promise(2, THREADS)
                .expect("there is enough for two");
            assert!(first.is_some() && resources.promise(2, THREADS).is_none());
            drop(first);
            assert!(resources.promise(2, THREADS).is_some());
        }
    }

    #[test]
    fn threads_are_waited_for_and_descriptors_are_not() {
        let resources = resources(4, 2);
        let first = resources.promise(2, THREADS).expect("enough");
        let deadline = Instant::now() + Duration::from_secs(60);
        assert!(!resources.wait_for_threads(2, THREADS, Instant::now()));
        assert!(!resources.wait_for_threads(3, THREADS, deadline), "at once");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| resources.wait_for_threads(2, THREADS, deadline));
            drop(first);
            assert!(waits.join().expect("no panic"));
        });
    }

    #[test]
    fn openings_wait_in_turn_until_their_deadline() {
        let resources = resources(10, 10);
        let (one, other) = (resources.promise(2, THREADS), resources.promise(2, THREADS));
        let (one, other) = (one.expect("enough"), other.expect("enough"));
        let held = one.opening(Instant::now()).expect("the first");
        assert!(other.opening(Instant::now()).is_none(), "there is one");
        std::thread::scope(|scope| {
            let deadline = Instant::now() + Duration::from_secs(60);
            let waits = scope.spawn(move || other.opening(deadline).is_some());
            drop(held);
            assert!(waits.join().expect("no panic"));
        });
    }
}
