//! Why a query is stopped: its time is over, or nobody wants its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rpcplugin::is_wanted;

/// What a client is told when the time is over.
pub(crate) const OVER: &str = "the query took longer than 2 s";

/// The clock of one client; its copies are one clock.
#[derive(Clone)]
pub(crate) struct Clock {
    limit: Duration,
    deadline: Arc<Mutex<Instant>>,
}

impl Clock {
    pub(crate) fn new(limit: Duration) -> Clock {
        let deadline = Arc::new(Mutex::new(Instant::now() + limit));
        Clock { limit, deadline }
    }

    /// The SQL of a request begins.
    pub(crate) fn start(&self) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *deadline = Instant::now() + self.limit;
    }

    /// Whether the query is to stop.
    pub(crate) fn is_over(&self) -> bool {
        let deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() >= *deadline || !is_wanted()
    }
}
