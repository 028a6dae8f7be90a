//! In a build without the feature `state` nothing is kept of a client to be shown.

#[cfg(feature = "websocket")]
use std::sync::Arc;

/// Nothing is kept.
#[derive(Default)]
pub(super) struct Seen;

impl Seen {
    /// Notes nothing.
    #[cfg(feature = "websocket")]
    pub(super) fn set_service(&mut self, _: &Arc<str>, _: bool, _: Option<&Arc<str>>) {}

    /// Notes nothing.
    pub(super) fn note(&mut self, _: u64) {}

    /// Nobody is told to leave.
    pub(super) fn is_overdue(&self) -> bool {
        false
    }
}
