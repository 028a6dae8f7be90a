//! Opening: HTTP/1.1 as far as a WebSocket and static files need it (RFC 9112).

pub(crate) mod authority;
pub mod document;
pub(crate) mod host;
pub(crate) mod notice;
pub(crate) mod peek;
pub(crate) mod probe;
pub mod proxy;
pub mod refusal;
pub mod request;
pub mod response;
pub mod trust;
