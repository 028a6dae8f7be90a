//! What a client and a backend see of the gateway, from outside.
//!
//! Each module tests one subject against the daemon's own binary: it starts a daemon in a temporary
//! directory, sends raw WebSocket frames to it, and plays the UNIX server behind it. Every read has
//! a deadline; nothing here measures speed.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on has to panic, and says where"
)]

mod backend;
#[cfg(feature = "tls")]
mod buildroot;
mod certificates;
mod client;
mod faults;
mod frames;
mod gateway;
mod handed;
mod http;
mod process;

mod activation;
#[cfg(feature = "tls")]
mod called;
mod closing;
mod daemon;
#[cfg(feature = "tls")]
mod deaf;
mod debian;
mod documents;
mod exactness;
#[cfg(feature = "exec")]
mod exec;
mod floods;
mod floors;
mod frametypes;
mod framings;
mod heads;
mod heirs;
mod hosts;
mod init_d;
mod isolation;
mod lines;
mod links;
mod listing;
#[cfg(feature = "auth")]
mod logins;
mod logs;
mod loss;
mod matrix;
#[cfg(all(feature = "state", feature = "tls", feature = "auth"))]
mod mistakes;
mod names;
mod network;
mod one_line;
mod overload;
mod packaging;
mod parking;
#[cfg(feature = "tls")]
mod parking_tls;
mod persistent;
mod reach;
mod recipes;
mod refusals;
mod releases;
mod reload;
mod sandbox;
#[cfg(feature = "auth")]
mod secrets;
#[cfg(feature = "share")]
mod share;
mod slots;
mod startup;
mod starvation;
#[cfg(feature = "state")]
mod state;
#[cfg(feature = "tls")]
mod stuck;
mod stumbles;
mod tidy;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "bearer")]
mod tokens;
mod told;
mod trust;
mod upgrades;
