//! A service outside `docroot`: one element of `links`, as plain data.

use std::sync::Arc;

use glob::Pattern;

use super::auth::AuthConfig;
use super::endpoint::Target;
use super::service::ServiceConfig;

/// A service outside `docroot`: one element of `links`.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// The names it serves (`origin`). The empty glob is for `ws://host/`.
    pub origin: Pattern,
    /// Where its backend is (`type`, `destination`, `port`, and the settings of a serial line).
    pub target: Target,
    /// Who may use it, if it is not as the section or the server says (`auth`).
    pub auth: Option<AuthConfig>,
    /// How it is spoken to: the section's values with this entry's own over them.
    pub service: Arc<ServiceConfig>,
}
