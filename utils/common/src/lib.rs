//! What the gateway, the sample servers and libwebsocket share, so that each exists once.
//!
//! Nothing here needs `std` or an allocator: libwebsocket.so is built without both.
#![no_std]
#![forbid(unsafe_code)]

pub mod calendar;
pub mod close;
mod error;
mod escape;
mod mask;
pub mod proxy;
pub mod syslog;
mod utf8;

pub use error::ProtocolError;
pub use escape::Escaped;
pub use mask::unmask;
pub use utf8::Utf8;
