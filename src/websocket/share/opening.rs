//! Opening: the first client of a share, which connects the backend.

use std::io;
use std::sync::Arc;

use super::membership::Membership;
use super::{Line, Share, thread};
use crate::backend::Backend;
use crate::server::clients::Clients;

/// The right of the first client to connect the backend.
pub(super) struct Opening {
    /// `None` when it is done.
    share: Option<Arc<Share>>,
}

impl Opening {
    pub(super) fn of(share: Arc<Share>) -> Self {
        Self { share: Some(share) }
    }

    /// Begins to serve clients by a connected backend. Returns the first one's place.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(super) fn open(
        mut self,
        backend: Backend,
        clients: Arc<Clients>,
    ) -> io::Result<Membership> {
        let Some(share) = &self.share else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let share = Arc::clone(share);
        share.inbox.open(Arc::new(backend));
        {
            let mut state = share.state();
            state.memberships = 1;
            state.line = Line::Open;
        }
        let membership = Membership::new(&share);
        thread::start(&share, share.inbox.backend(), clients)?;
        self.share = None;
        Ok(membership)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(share) = self.share.take() {
            share.give_up();
        }
    }
}
