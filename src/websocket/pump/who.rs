//! Running: whom a connection serves, as the log tells it.

use std::fmt;
use std::sync::Arc;

/// Whom a connection serves, and with what, as the log has it.
pub(crate) struct Who {
    /// The service's name.
    pub(crate) service: Arc<str>,
    /// Who has logged in.
    pub(crate) user: Option<Arc<str>>,
    /// Other clients may have the same connection to the backend.
    pub(crate) is_shared: bool,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service)?;
        if let Some(user) = &self.user {
            write!(f, " ({user})")?;
        }
        match self.is_shared {
            true => f.write_str(", shared"),
            false => Ok(()),
        }
    }
}
