//! WebSocket frames on a client's socket that the gateway handed over.
//!
//! In direct mode the gateway does the handshake and then gives the client's
//! descriptor away. What is left to do is RFC 6455 from section 5 on, and that
//! is here, in two layers:
//!
//! - [`frame`], [`receive`], [`ahead`], [`send`]: the protocol as
//!   state machines that own no socket, need no `std` and allocate nothing.
//!   libwebsocket.so drives them below read(2) and write(2). They are public
//!   so that tests of any kind, fuzz targets too, can drive them as it does.
//! - [`handover`] and [`WebSocket`] (feature `std`): the same for servers
//!   written in Rust, with messages, opcodes and close codes. The only unsafe
//!   code is where a descriptor comes in.
//!
//! A server, but for its errors; a longer one is in `examples/message_echo.rs`:
//!
//! ```no_run
//! use libwebsocket::{Accepted, accept};
//! let listener = std::os::unix::net::UnixListener::bind("/tmp/echo")?;
//! for connection in listener.incoming() {
//!     let connection = connection?;
//!     std::thread::spawn(move || {
//!         let Accepted::WebSocket(client) = accept(connection)? else {
//!             return Ok(());
//!         };
//!         let mut message = Vec::new();
//!         while let Some(opcode) = client.read_message(&mut message, 1 << 20)? {
//!             client.write(opcode, &message)?;
//!         }
//!         client.close(None, "")
//!     });
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

pub mod ahead;
pub mod frame;
pub mod receive;
pub mod send;

#[cfg(feature = "std")]
#[allow(unsafe_code)]
pub mod handover;
#[cfg(feature = "std")]
mod info;
#[cfg(feature = "std")]
mod websocket;

pub use common::ProtocolError;
pub use frame::Opcode;
#[cfg(feature = "std")]
pub use handover::{Accepted, accept};
#[cfg(feature = "std")]
pub use info::ClientInfo;
#[cfg(feature = "std")]
pub use websocket::{Piece, WebSocket};
