//! WebSocket frames on a client's socket that the gateway handed over.
//!
//! In direct mode the gateway does the handshake and then gives the client's
//! descriptor away. What is left to do is RFC 6455 from section 5 on, and that
//! is here, in two layers:
//!
//! - [`frame`], [`utf8`], [`receive`], [`send`]: the protocol as state
//!   machines that own no socket, need no `std` and allocate nothing.
//!   libwebsocket.so drives them below read(2) and write(2).
//! - [`handover`] and [`WebSocket`] (feature `std`): the same for servers
//!   written in Rust, with messages, opcodes and close codes.
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

pub mod frame;
pub mod receive;
pub mod send;
pub mod utf8;

pub use frame::{Opcode, Violation};
