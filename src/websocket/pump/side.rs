//! Running: one direction of a connection, with a thread or without.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pump;
use super::patience::Patience;
use crate::server::parking::Parked;
use crate::server::workers::{Place, Work};
use crate::system::epoll::Awaited;

/// Whom a direction reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Client,
    Backend,
}

/// A direction: all that is left of it while it is silent. What waits for the other side to read is
/// in `Pump`.
pub(super) struct Side {
    pump: Arc<Pump>,
    reads: Reads,
    /// Bytes copied so far.
    count: u64,
    /// There is something to read.
    is_ready: bool,
    /// It waits for the other side to read.
    is_stuck: bool,
}

impl Side {
    /// A direction that has copied nothing.
    pub(super) fn new(pump: Arc<Pump>, reads: Reads) -> Self {
        Self {
            pump,
            reads,
            count: 0,
            is_ready: false,
            is_stuck: false,
        }
    }

    /// Starts a direction on a thread of its own, or without one if no more threads may wait.
    pub(super) fn start(pump: &Arc<Pump>, reads: Reads) {
        let side = Self::new(Arc::clone(pump), reads);
        let workers = pump.terms.clients.workers();
        let mut place = Place::new(workers);
        let side = match pump.parks(reads) && !place.linger() {
            true => match side.park() {
                Ok(()) => return,
                Err(side) => side,
            },
            false => side,
        };
        let work: Work = Box::new(move |place| side.run(place));
        if let Err((work, _)) = workers.start(work, place) {
            workers.start_first(work);
        }
    }

    /// Goes on with a direction that has copied `count` bytes and is silent: without a thread if
    /// that is possible.
    pub(super) fn go_on(pump: &Arc<Pump>, reads: Reads, count: u64) {
        let mut side = Self::new(Arc::clone(pump), reads);
        side.count = count;
        if pump.parks(reads) {
            side = match side.park() {
                Ok(()) => return,
                Err(side) => side,
            };
        }
        let workers = pump.terms.clients.workers();
        workers.start_first(Box::new(move |place| side.run(place)));
    }

    /// Copies until the direction is over, or until it is silent and another thread will go on.
    pub(super) fn run(mut self, place: &mut Place) {
        loop {
            let parks = self.pump.parks(self.reads);
            let park = self.pump.terms.park.filter(|_| parks);
            let mut patience = Patience::new(place, park, self.is_ready);
            let traffic = self.pump.writer.client().traffic();
            let left = traffic.copying(|| match self.reads {
                Reads::Client => self.pump.copy_client(self.count, &mut patience),
                Reads::Backend => self.pump.copy_backend(self.count, &mut patience),
            });
            let Some(count) = left else {
                return;
            };
            self.count = count;
            self.is_ready = false;
            self.is_stuck = self.pump.is_stuck(self.reads);
            self = match self.park() {
                Ok(()) => return,
                Err(side) => side,
            };
            // The kernel does not watch it: the thread stays, whatever others wait for.
            place.give_up();
            self.is_ready = !self.is_stuck;
        }
    }

    /// Does without a thread until there is something to read, or until what waits can be written.
    ///
    /// # Errors
    /// The direction, if that is not possible.
    fn park(self) -> Result<(), Self> {
        let pump = Arc::clone(&self.pump);
        pump.writer.client().shrink();
        let (reads, count, is_stuck) = (self.reads, self.count, self.is_stuck);
        let parked = pump.terms.clients.parking().park(Box::new(self));
        parked.map_err(|_| Self {
            pump: Arc::clone(&pump),
            reads,
            count,
            is_ready: false,
            is_stuck,
        })
    }
}

impl Parked for Side {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match (self.reads, self.is_stuck) {
            (Reads::Client, false) | (Reads::Backend, true) => self.pump.writer.client().as_fd(),
            (Reads::Backend, false) | (Reads::Client, true) => self.pump.backend.as_fd(),
        }
    }

    fn leaves(&self) -> Option<BorrowedFd<'_>> {
        let is_unread = self.reads == Reads::Client && self.is_stuck;
        is_unread.then(|| self.pump.writer.client().as_fd())
    }

    fn awaited(&self) -> Awaited {
        match self.is_stuck {
            true => Awaited::Space,
            false => Awaited::Input,
        }
    }

    fn wakes(&mut self) -> bool {
        if self.is_stuck {
            return true;
        }
        self.is_ready = match self.reads {
            Reads::Client => self.pump.writer.wakes_reader(),
            Reads::Backend => true,
        };
        self.is_ready
    }

    fn is_awaited(&self) -> bool {
        match self.reads {
            Reads::Client if self.is_stuck && self.pump.writer.client().has_left() => true,
            Reads::Client => self.pump.from_backend.is_open(),
            Reads::Backend => self.pump.client_over.load(Ordering::Acquire),
        }
    }

    fn resume(self: Box<Self>, place: &mut Place) {
        self.run(place);
    }

    fn passes(&self) -> Option<usize> {
        let address = Arc::as_ptr(&self.pump).addr();
        (!self.is_stuck && self.pump.passes()).then_some(address)
    }

    fn pass(&self, server: &str, to: BorrowedFd<'_>) -> io::Result<bool> {
        self.pump.pass(server, to)
    }
}
