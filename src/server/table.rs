//! Opening: the table of a server's clients, with their counts.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::client::frames::FrameWriter;
use crate::server::addresses::Addresses;
use crate::server::seen::Seen;

/// Most clients that have given way and are not gone yet.
pub(super) const MAX_LEAVING: usize = 16;

/// The number of the next client: no two clients of the process have the same.
static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);

/// Numbers that the process before an upgrade may still give to its clients.
const NUMBERS_LEFT: usize = 1 << 17;

/// The number of the first client of a process that takes over from this one.
pub(crate) fn numbers_after() -> usize {
    NEXT_NUMBER
        .load(Ordering::Relaxed)
        .wrapping_add(NUMBERS_LEFT)
}

/// Numbers the clients from here on. Call it before there are any.
pub(crate) fn number_from(first: usize) {
    NEXT_NUMBER.store(first, Ordering::Relaxed);
}

/// A handshake younger than this does not give way to a new client.
const MIN_HANDSHAKE: Duration = Duration::from_millis(500);

/// Why a client gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// `maxclients` are being served.
    Clients,
    /// `maxperip` clients of its address are being served.
    Address,
    /// Half of `maxclients` are connections of a proxy that have no request yet.
    Proxy,
    /// There is no descriptor or no thread for it.
    Resources,
}

impl Full {
    /// Returns a word for it, by which refusals are counted.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Clients => "maxclients",
            Self::Address => "maxperip",
            Self::Proxy => "proxy",
            Self::Resources => "resources",
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clients => "as many as 'maxclients' are being served; a larger one admits more",
            Self::Address => {
                "as many of this address as 'maxperip' are being served; a larger one admits more"
            }
            Self::Proxy => {
                "half of 'maxclients' are connections of a proxy without a request; a larger one \
                 admits more"
            }
            Self::Resources => "no descriptor or no thread is left: see ulimit -n and -u",
        })
    }
}

/// The clients by their index, with their counts.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Option<Entry>>,
    pub(super) unused: Vec<usize>,
    /// Index and number of clients that may have to give way, the oldest first.
    pub(super) opening: VecDeque<(usize, usize)>,
    pub(super) addresses: Addresses,
    /// Clients that count towards `maxclients`.
    pub(super) served: usize,
    /// Clients that are being refused.
    pub(super) refused: usize,
    /// Clients that have given way and are not gone yet.
    pub(super) leaving: usize,
    /// Connections of trusted proxies that have not named their client yet.
    pub(super) unassigned: usize,
    /// Clients that wait for their backend.
    pub(super) waiting: usize,
    /// The server stops: a client that comes is ended.
    pub(super) is_stopping: bool,
}

impl Table {
    pub(super) fn add(&mut self, entry: Entry) -> (usize, usize) {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        (self.enter(entry, number), number)
    }

    /// Adds a client that has its number. Returns its index.
    pub(super) fn enter(&mut self, entry: Entry, number: usize) -> usize {
        *self.counter(entry.counts) += 1;
        self.unassigned += usize::from(entry.is_unassigned);
        if let Some(ip) = entry.address {
            self.addresses.add(ip);
        }
        let index = self.unused.pop().unwrap_or(self.entries.len());
        let is_queued = entry.counts == Counts::Served;
        if is_queued {
            self.queue(index, number);
        }
        let entry = Some(Entry {
            number,
            is_queued,
            ..entry
        });
        match self.entries.get_mut(index) {
            Some(unused) => *unused = entry,
            None => self.entries.push(entry),
        }
        index
    }

    pub(super) fn remove(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::take) else {
            return;
        };
        self.unused.push(index);
        *self.counter(entry.counts) -= 1;
        self.unassigned -= usize::from(entry.is_unassigned);
        if let Some(ip) = entry.address {
            self.addresses.remove(ip);
        }
        if self.is_empty() {
            // Gives back the memory that many clients took.
            *self = Self {
                is_stopping: self.is_stopping,
                waiting: self.waiting,
                ..Self::default()
            };
        }
    }

    /// Cuts the oldest client without a complete request and frees its slot for another. Returns
    /// false if there is none.
    pub(super) fn give_way(&mut self) -> bool {
        if self.leaving >= MAX_LEAVING {
            return false;
        }
        while let Some(&(index, number)) = self.opening.front() {
            let entry = self.entries.get_mut(index).and_then(Option::as_mut);
            if (entry.as_ref()).is_some_and(|entry| entry.number == number && entry.is_new()) {
                return false;
            }
            match entry.filter(|entry| entry.number == number && entry.is_opening()) {
                Some(entry) => {
                    entry.cut();
                    entry.counts = Counts::Leaving;
                    let address = entry.address.take();
                    self.served -= 1;
                    self.leaving += 1;
                    if let Some(ip) = address {
                        self.addresses.remove(ip);
                    }
                    self.opening.pop_front();
                    return true;
                }
                // The client is gone, or its request is complete: it does not give way.
                None => {
                    self.opening.pop_front();
                    if let Some(entry) = self.entry(index).filter(|entry| entry.number == number) {
                        entry.is_queued = false;
                    }
                }
            }
        }
        false
    }

    /// Lets a client give way again: it has its answer and may send another request.
    pub(super) fn set_idle(&mut self, index: usize) {
        let Some(entry) = self.entry(index) else {
            return;
        };
        entry.is_answered = false;
        let number = entry.number;
        if entry.counts == Counts::Served && !std::mem::replace(&mut entry.is_queued, true) {
            self.queue(index, number);
        }
    }

    /// Lists a client that may have to give way, and forgets those that are gone once they are most
    /// of the list: a server that always has a client would keep all that it has ever had.
    fn queue(&mut self, index: usize, number: usize) {
        if self.opening.len() > 2 * self.entries.len() {
            let entries = &self.entries;
            self.opening.retain(|&(index, number)| {
                let entry = entries.get(index).and_then(Option::as_ref);
                entry.is_some_and(|entry| entry.number == number)
            });
        }
        self.opening.push_back((index, number));
    }

    fn counter(&mut self, counts: Counts) -> &mut usize {
        match counts {
            Counts::Served => &mut self.served,
            Counts::Refused => &mut self.refused,
            Counts::Leaving => &mut self.leaving,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.served + self.refused + self.leaving == 0
    }

    pub(super) fn entry(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)?.as_mut()
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().flatten()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }
}

/// What a client counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Served,
    Refused,
    Leaving,
}

/// A client in the table.
pub(super) struct Entry {
    pub(super) number: usize,
    pub(super) since: Instant,
    pub(super) counts: Counts,
    /// Its request is complete: it does not give way to a new client.
    pub(super) is_answered: bool,
    /// `opening` lists it.
    pub(super) is_queued: bool,
    /// `maxperip` counts it as a client of this address.
    pub(super) address: Option<IpAddr>,
    /// Its peer is a trusted proxy that has not named the client yet.
    pub(super) is_unassigned: bool,
    pub(super) hold: Hold,
    /// What is shown of it.
    pub(super) seen: Seen,
}

/// What other threads end a client by.
pub(super) enum Hold {
    /// A copy of its socket, during its TLS handshake or PROXY header; `None` otherwise, and once
    /// the client has been given away.
    Socket(Option<TcpStream>),
    Writer(Arc<FrameWriter>),
}

impl Entry {
    pub(super) fn new(hold: Hold, address: Option<IpAddr>, is_unassigned: bool) -> Self {
        Self {
            number: 0,
            since: Instant::now(),
            counts: Counts::Served,
            is_answered: false,
            is_queued: true,
            address,
            is_unassigned,
            hold,
            seen: Seen::default(),
        }
    }

    /// Notes whether data has moved since the last look, and cuts a client that was told to leave
    /// and has not.
    pub(super) fn look(&mut self) {
        if let Hold::Writer(writer) = &self.hold {
            let traffic = writer.client().traffic();
            let bytes = traffic.to_backend.get() + traffic.to_client.get();
            self.seen.note(bytes);
        }
        if self.seen.is_overdue() {
            self.cut();
        }
    }

    /// Whether its thread has just been given the client, and perhaps has not begun.
    fn is_new(&self) -> bool {
        !self.is_answered && self.since.elapsed() < MIN_HANDSHAKE
    }

    fn is_opening(&self) -> bool {
        match &self.hold {
            _ if self.is_answered => false,
            Hold::Socket(socket) => socket.is_some(),
            Hold::Writer(writer) => !writer.is_open(),
        }
    }

    pub(super) fn cut(&self) {
        match &self.hold {
            Hold::Socket(Some(socket)) => drop(socket.shutdown(Shutdown::Both)),
            Hold::Socket(None) => {}
            Hold::Writer(writer) => writer.client().cut(),
        }
    }
}
