//! Running: what is kept of a client to be shown, and whether it has been told to leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest time that a client which is told to leave has for it.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// A client that its backend has taken over.
pub(crate) struct HandedOver {
    /// Its number.
    pub(crate) id: usize,
    /// Where it comes from.
    pub(crate) source: SocketAddr,
    /// The service of its WebSocket.
    pub(crate) service: Arc<str>,
    /// Who has logged in.
    pub(crate) user: Option<Arc<str>>,
    /// When it was handed over.
    pub(crate) since: Instant,
}

/// What is kept of a client to be shown.
pub(super) struct Seen {
    /// The service of its WebSocket.
    pub(super) service: Option<Arc<str>>,
    /// Others may have the same connection to the backend.
    pub(super) is_shared: bool,
    /// Who has logged in.
    pub(super) user: Option<Arc<str>>,
    /// Its bytes when they were looked at last, and since when they are so many.
    moved: (u64, Instant),
    /// Since when it has been told to leave.
    told: Option<Instant>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            service: None,
            is_shared: false,
            user: None,
            moved: (0, Instant::now()),
            told: None,
        }
    }
}

impl Seen {
    /// Notes which service a WebSocket is for, whether it is shared, and who has logged in.
    pub(super) fn set_service(
        &mut self,
        service: &Arc<str>,
        is_shared: bool,
        user: Option<&Arc<str>>,
    ) {
        self.is_shared = is_shared;
        self.service = Some(Arc::clone(service));
        self.user = user.cloned();
    }

    /// Notes how many bytes have moved.
    pub(super) fn note(&mut self, bytes: u64) {
        if self.moved.0 != bytes {
            self.moved = (bytes, Instant::now());
        }
    }

    /// For how long no bytes have moved.
    pub(super) fn idle(&self) -> Duration {
        self.moved.1.elapsed()
    }

    /// Notes that the client is told to leave.
    pub(super) fn tell_to_leave(&mut self) {
        self.told.get_or_insert_with(Instant::now);
    }

    /// Whether the client should have left by now.
    pub(super) fn is_overdue(&self) -> bool {
        self.told.is_some_and(|since| since.elapsed() >= LEAVE_WAIT)
    }
}
