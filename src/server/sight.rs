//! Running: what a server's clients look like from outside, and how one of them is ended.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::frame::CloseCode;
use crate::server::clients::Clients;
use crate::server::seen::HandedOver;
use crate::server::table::{Entry, Hold};

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is in its TLS handshake, or its request is awaited or being answered.
    Request,
    /// It has a WebSocket.
    WebSocket,
    /// It has been sent a Close.
    Closing,
    /// Its backend has taken it over, and serves it alone.
    Direct,
}

impl Phase {
    /// Returns the word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::WebSocket => "open",
            Self::Closing => "closing",
            Self::Direct => "direct",
        }
    }
}

/// A client, as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// Its number.
    pub(crate) id: usize,
    /// Where it comes from, as far as it is known.
    pub(crate) peer: Option<IpAddr>,
    /// The port that it comes from; 0 if unknown.
    pub(crate) port: u16,
    /// The service of its WebSocket.
    pub(crate) service: Option<Arc<str>>,
    /// Others may have the same connection to the backend (`share`).
    pub(crate) is_shared: bool,
    /// Who has logged in.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) phase: Phase,
    /// Threads that copy for its WebSocket; none while both sides are silent.
    pub(crate) threads: u32,
    /// How long it has been here.
    pub(crate) age: Duration,
    /// For how long no data has moved; exact to a quarter of `ping`.
    pub(crate) idle: Duration,
    /// Bytes given to its backend.
    pub(crate) to_backend: u64,
    /// Payload bytes sent to it.
    pub(crate) to_client: u64,
}

/// A client that is shown as one that its backend has taken over; dropping it ends that.
pub(crate) struct Shown(Weak<Clients>, usize);

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(clients) = self.0.upgrade() {
            clients.handed().retain(|handed| handed.id != self.1);
        }
    }
}

impl HandedOver {
    /// Returns what the client looks like now. Its bytes are not known.
    fn sight(&self) -> Sight {
        Sight {
            id: self.id,
            peer: Some(self.source.ip().to_canonical()),
            port: self.source.port(),
            service: Some(Arc::clone(&self.service)),
            is_shared: false,
            user: self.user.clone(),
            phase: Phase::Direct,
            threads: 0,
            age: self.since.elapsed(),
            idle: Duration::ZERO,
            to_backend: 0,
            to_client: 0,
        }
    }
}

impl Entry {
    /// Returns what the client looks like now.
    fn sight(&mut self) -> Sight {
        self.look();
        let source = match &self.hold {
            Hold::Writer(writer) => writer.client().source(),
            Hold::Socket(_) => self.address.map(|ip| SocketAddr::new(ip, 0)),
        };
        let (phase, bytes) = match &self.hold {
            Hold::Writer(writer) => {
                let traffic = writer.client().traffic();
                let phase = match writer.close_sent() {
                    Some(_) => Phase::Closing,
                    None if writer.is_open() => Phase::WebSocket,
                    None => Phase::Request,
                };
                (phase, (traffic.to_backend.get(), traffic.to_client.get()))
            }
            Hold::Socket(_) => (Phase::Request, (0, 0)),
        };
        let threads = match &self.hold {
            Hold::Writer(writer) => writer.client().traffic().threads(),
            Hold::Socket(_) => 0,
        };
        Sight {
            id: self.number,
            peer: source.map(|source| source.ip().to_canonical()),
            port: source.map_or(0, |source| source.port()),
            service: self.seen.service.clone(),
            is_shared: self.seen.is_shared,
            user: self.seen.user.clone(),
            phase,
            threads,
            age: self.since.elapsed(),
            idle: self.seen.idle(),
            to_backend: bytes.0,
            to_client: bytes.1,
        }
    }

    /// Returns the bytes that the totals do not have yet.
    fn uncounted(&self) -> (u64, u64) {
        match &self.hold {
            Hold::Writer(writer) => writer.client().traffic().uncounted(),
            Hold::Socket(_) => (0, 0),
        }
    }
}

impl Clients {
    /// Shows a client that its backend has taken over, until what is returned is dropped.
    pub(crate) fn show(self: &Arc<Self>, handed: HandedOver) -> Shown {
        let id = handed.id;
        self.handed().push(handed);
        Shown(Arc::downgrade(self), id)
    }

    fn handed(&self) -> MutexGuard<'_, Vec<HandedOver>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what every client looks like now, in the order of their numbers.
    pub(crate) fn sights(&self) -> Vec<Sight> {
        let mut sights: Vec<_> = self.table().entries_mut().map(Entry::sight).collect();
        sights.extend(self.handed().iter().map(HandedOver::sight));
        sights.sort_unstable_by_key(|sight| sight.id);
        sights
    }

    /// Returns the bytes to backends and to clients that the totals do not have yet.
    pub(crate) fn uncounted(&self) -> (u64, u64) {
        let table = self.table();
        let add = |sum: (u64, u64), more: (u64, u64)| (sum.0 + more.0, sum.1 + more.1);
        table.entries().map(Entry::uncounted).fold((0, 0), add)
    }

    /// Sends a client a Close with this code, or ends it at once if it has no WebSocket. One that
    /// does not leave is cut after 5 s and a quarter of `ping`. Returns false if there is no client
    /// of this number.
    pub(crate) fn kick(&self, id: usize, code: CloseCode) -> bool {
        let mut table = self.table();
        let Some(entry) = table.entries_mut().find(|entry| entry.number == id) else {
            return false;
        };
        entry.seen.tell_to_leave();
        match &entry.hold {
            Hold::Writer(writer) if writer.is_open() => writer.owe_close(Some(code)),
            _ => entry.cut(),
        }
        true
    }
}
