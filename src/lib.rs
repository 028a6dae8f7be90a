//! ouistiti, a WebSocket gateway to UNIX servers.
#![forbid(unsafe_code)]
pub mod config;
#[cfg(feature = "websocket_rt")]
pub mod direct;
