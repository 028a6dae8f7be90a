//! ouistiti, a WebSocket gateway to UNIX servers.
#![forbid(unsafe_code)]
pub mod cli;
pub mod config;
