//! Opening: HTTP/1.1 as far as a WebSocket and static files need it (RFC 9112).

pub mod document;
mod peek;
pub mod proxy;
pub mod refusal;
pub mod request;
pub mod response;
pub mod trust;
