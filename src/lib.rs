//! ouistiti, a WebSocket gateway to UNIX servers.
//!
//! One connection is a series of types, each made from the one before, each the
//! proof that a step is done:
//!
//! ```text
//! TcpStream --accept--> Client --read--> Request --check--> Upgrade --resolve--> Service
//!     --connect--> Backend --101--> pump (two copy threads)  or  direct  --> close
//! ```
//!
//! [`connection`] tells it top to bottom; `ARCHITECTURE.md` says what each folder does.
#![forbid(unsafe_code)]

#[cfg(feature = "websocket")]
pub(crate) mod backend;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod daemon;
pub mod frame;
pub mod http;
pub mod listen;
pub(crate) mod logging;
pub mod server;
pub(crate) mod system;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "websocket")]
pub mod websocket;
