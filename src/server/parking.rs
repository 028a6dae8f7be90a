//! Running: directions of connections that hold no thread, because they are silent, or because
//! nobody reads what they write.
//!
//! A parked direction is an element here, and its descriptor stands in an epoll(7) set. One thread
//! of the server waits for the set. What becomes ready, or ends, gets a thread again.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::server::workers::{Place, Work, Workers};
use crate::system::epoll::{Awaited, Descriptor, EVENTS, Epoll};
use crate::system::sync::{Mutex, MutexGuard, PoisonError};
use crate::system::threads;

/// A direction of a connection that can do without a thread.
pub(crate) trait Parked: Send {
    /// What it reads or writes.
    fn descriptor(&self) -> Descriptor<'_>;

    /// What the descriptor must do for this direction to go on; the same as long as it is parked.
    fn awaited(&self) -> Awaited;

    /// Another descriptor, whose end lets this direction go on as well; the same as long as it is
    /// parked.
    fn leaves(&self) -> Option<Descriptor<'_>>;

    /// Called by the watching thread when a descriptor is ready. Returns false if there was
    /// nothing in it that needs a thread.
    fn wakes(&mut self) -> bool;

    /// Whether the connection is ending, and a thread waits for this direction.
    fn is_awaited(&self) -> bool;

    /// Goes on, on a thread of its own.
    fn resume(self: Box<Self>, place: &mut Place);

    /// A number that only the two directions of a connection share, if another process can serve
    /// it from where it is.
    fn passes(&self) -> Option<usize>;

    /// Passes the connection, whose other direction is parked too, to the process at the other end
    /// of `to`, for its server with this address. Returns false if that one does not take it.
    ///
    /// # Errors
    /// If that process is gone: it has not taken the connection.
    fn pass(&self, server: &str, to: BorrowedFd<'_>) -> io::Result<bool>;
}

/// The parked directions of a server.
#[derive(Default)]
pub(crate) struct Parking {
    epoll: OnceLock<Epoll>,
    lot: Mutex<Lot>,
}

#[derive(Default)]
struct Lot {
    elements: Vec<Option<Box<dyn Parked>>>,
    /// Indices of elements that are free.
    unused: Vec<usize>,
}

impl Parking {
    /// Creates the epoll set, unless it is there.
    ///
    /// # Errors
    /// As epoll_create1(2).
    pub(crate) fn open(&self) -> io::Result<()> {
        if self.epoll.get().is_none() {
            let _ = self.epoll.set(Epoll::new()?);
        }
        Ok(())
    }

    /// Lets a direction do without a thread until its descriptor is ready.
    ///
    /// # Errors
    /// The direction, if the kernel does not watch it (epoll_ctl(2)).
    pub(crate) fn park(&self, parked: Box<dyn Parked>) -> Result<(), Box<dyn Parked>> {
        let Some(epoll) = self.epoll.get() else {
            return Err(parked);
        };
        let mut lot = self.lot();
        let index = lot.add(parked);
        // Bytes that have come before this call make the descriptor ready at once. The watching
        // thread finds the element, since it takes the same lock.
        let added = match &lot.elements[index] {
            Some(parked) => add(epoll, &**parked, index),
            None => Ok(()),
        };
        match added {
            Ok(()) => Ok(()),
            Err(_) => lot.remove(index).map_or(Ok(()), Err),
        }
    }

    /// Passes every connection of which both directions are parked to another process. Returns how
    /// many it has taken.
    ///
    /// # Errors
    /// If that process is gone.
    pub(crate) fn pass(&self, server: &str, to: BorrowedFd<'_>) -> io::Result<usize> {
        let mut count = 0;
        let pairs = self.lot().pairs();
        for pair in pairs {
            let Some(taken) = self.take(pair) else {
                continue;
            };
            let passed = taken[0].pass(server, to);
            match passed {
                Ok(true) => count += 1,
                Ok(false) | Err(_) => self.put_back(pair, taken),
            }
            passed?;
        }
        Ok(count)
    }

    /// Takes both directions of a connection, if they are still parked. Their indices are not used
    /// for others: the watching thread may have an event for them that is older.
    fn take(&self, pair: [usize; 2]) -> Option<[Box<dyn Parked>; 2]> {
        let epoll = self.epoll.get()?;
        let mut lot = self.lot();
        let [one, other] = pair.map(|index| lot.elements[index].as_ref()?.passes());
        if one.is_none() || one != other {
            return None;
        }
        let [one, other] = pair.map(|index| lot.elements[index].take());
        let taken = [one?, other?];
        for parked in &taken {
            delete(epoll, &**parked);
        }
        Some(taken)
    }

    /// Parks what was taken again. What has become readable meanwhile is ready at once.
    fn put_back(&self, pair: [usize; 2], taken: [Box<dyn Parked>; 2]) {
        let Some(epoll) = self.epoll.get() else {
            return;
        };
        let mut lot = self.lot();
        for (index, parked) in pair.into_iter().zip(taken) {
            // They were in the set, so there is memory for them.
            let _ = add(epoll, &*parked, index);
            lot.elements[index] = Some(parked);
        }
    }

    /// Gives threads to what becomes ready, until `end`.
    pub(crate) fn wait_until(&self, end: Instant, workers: &Arc<Workers>) {
        loop {
            let soon = workers.watch();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            // Rounded up, so that the loop does not spin through the last millisecond.
            let left = left + Duration::from_millis(1);
            self.wait(soon.map_or(left, |soon| soon.min(left)), workers);
        }
    }

    /// Waits for `limit` at most, and gives threads to what has become ready.
    fn wait(&self, limit: Duration, workers: &Arc<Workers>) {
        let Some(epoll) = self.epoll.get() else {
            return threads::sleep(limit);
        };
        let mut ready = [0; EVENTS];
        match epoll.wait(limit, &mut ready) {
            Ok(count) => {
                for (at, index) in ready[..count].iter().enumerate() {
                    // One that waits for two descriptors is told twice if both are ready. By the
                    // second time its index may be another's.
                    if !ready[..at].contains(index) {
                        self.wake(epoll, *index, workers);
                    }
                }
            }
            Err(_) => threads::sleep(limit),
        }
    }

    fn wake(&self, epoll: &Epoll, index: usize, workers: &Arc<Workers>) {
        let taken = self.lot().elements.get_mut(index).and_then(Option::take);
        let Some(mut parked) = taken else {
            return;
        };
        if !parked.wakes() {
            self.lot().elements[index] = Some(parked);
            return;
        }
        delete(epoll, &*parked);
        self.lot().free(index);
        let is_awaited = parked.is_awaited();
        let work: Work = Box::new(move |place| parked.resume(place));
        match is_awaited {
            true => workers.start_first(work),
            false => workers.start_in_turn(work),
        }
    }

    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the kernel watch a direction.
fn add(epoll: &Epoll, parked: &dyn Parked, index: usize) -> io::Result<()> {
    epoll.add(parked.descriptor(), index, parked.awaited())?;
    let Some(other) = parked.leaves() else {
        return Ok(());
    };
    let added = epoll.add(other, index, Awaited::End);
    if added.is_err() {
        epoll.delete(parked.descriptor(), parked.awaited());
    }
    added
}

fn delete(epoll: &Epoll, parked: &dyn Parked) {
    epoll.delete(parked.descriptor(), parked.awaited());
    if let Some(other) = parked.leaves() {
        epoll.delete(other, Awaited::End);
    }
}

impl Lot {
    /// The indices of the two directions of each connection that can be passed.
    fn pairs(&self) -> Vec<[usize; 2]> {
        let number = |parked: &Option<Box<dyn Parked>>| parked.as_ref()?.passes();
        let elements = self.elements.iter().enumerate();
        let mut numbers: Vec<_> = elements
            .filter_map(|(index, parked)| Some((number(parked)?, index)))
            .collect();
        numbers.sort_unstable();
        let pairs = numbers.windows(2).filter(|two| two[0].0 == two[1].0);
        pairs.map(|two| [two[0].1, two[1].1]).collect()
    }

    fn add(&mut self, parked: Box<dyn Parked>) -> usize {
        if let Some(index) = self.unused.pop() {
            self.elements[index] = Some(parked);
            return index;
        }
        self.elements.push(Some(parked));
        self.elements.len() - 1
    }

    fn remove(&mut self, index: usize) -> Option<Box<dyn Parked>> {
        let parked = self.elements[index].take();
        self.free(index);
        parked
    }

    fn free(&mut self, index: usize) {
        self.unused.push(index);
        if self.unused.len() == self.elements.len() {
            // Gives back the memory that many took.
            *self = Self::default();
        }
    }
}
