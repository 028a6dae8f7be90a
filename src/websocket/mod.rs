//! Opening and running: a WebSocket from its handshake to its close (RFC 6455).

pub mod access;
#[cfg(feature = "websocket_rt")]
pub(crate) mod direct;
pub(crate) mod framing;
pub mod handshake;
pub mod pump;
