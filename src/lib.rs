//! ouistiti, a WebSocket gateway to UNIX servers.
#![forbid(unsafe_code)]
pub mod beneath;
pub mod config;
pub mod document;
pub mod escape;
#[cfg(feature = "websocket")]
pub mod handshake;
pub mod logging;
pub mod refusal;
pub mod request;
pub mod response;
mod sink;
