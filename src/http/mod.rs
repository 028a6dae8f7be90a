//! Opening: HTTP/1.1 as far as a WebSocket and static files need it (RFC 9112).

pub(crate) mod authority;
pub(crate) mod challenge;
#[cfg(feature = "console")]
pub(crate) mod console;
pub(crate) mod document;
pub(crate) mod host;
#[cfg(feature = "auth")]
pub(crate) mod login;
#[cfg(not(feature = "auth"))]
pub(crate) mod no_login;
#[cfg(not(feature = "auth"))]
pub(crate) use no_login as login;
pub(crate) mod notice;
pub(crate) mod peek;
pub(crate) mod probe;
pub(crate) mod proxy;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod trust;
