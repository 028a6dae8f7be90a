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
//! [`connection`] tells it top to bottom; `ARCHITECTURE.md` draws the house.
#![forbid(unsafe_code)]

pub mod accept;
#[cfg(feature = "websocket")]
pub mod access;
#[cfg(feature = "websocket")]
pub mod backend;
pub mod beneath;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod daemon;
#[cfg(feature = "websocket_rt")]
pub mod direct;
pub mod document;
pub mod door;
pub mod entrance;
pub mod escape;
pub mod frame;
#[cfg(feature = "websocket")]
pub mod framing;
#[cfg(feature = "websocket")]
pub mod gate;
#[cfg(feature = "websocket")]
pub mod handshake;
pub mod inherited;
pub mod keepalive;
pub mod logging;
#[cfg(feature = "websocket")]
pub mod lookup;
pub mod mailbox;
pub mod orders;
pub mod proxy;
#[cfg(feature = "websocket")]
pub mod pump;
pub mod refusal;
pub mod request;
pub mod response;
pub mod room;
#[cfg(feature = "websocket")]
pub mod serial;
pub mod server;
pub mod servers;
mod sink;
pub mod startup;
mod sync;
pub mod threads;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trust;
pub mod wire;
