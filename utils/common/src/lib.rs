//! What the gateway, the sample servers and libwebsocket share, so that each exists once.
//!
//! Nothing here needs `std` or an allocator: libwebsocket.so is built without both.
#![no_std]
#![forbid(unsafe_code)]

pub mod calendar;
pub mod close;
mod error;
mod escape;
pub mod handover;
mod mask;
mod message_type;
pub mod proxy;
mod reason;
pub mod syslog;
mod utf8;

pub use error::ProtocolError;
pub use escape::Escaped;
pub use mask::unmask;
pub use message_type::MessageType;
pub use reason::Reason;
pub use utf8::{Utf8, check_utf8};
