//! JSON-RPC 2.0 between a byte stream and a plugin.
//!
//! The path of a request: [`session`] reads bytes, [`splitter`] finds where
//! each message ends, [`dispatch`] checks it against the specification and
//! calls [`Methods`], and the session writes the answer, within the `budget`
//! of all. [`library`] loads the plugin behind the methods, by `link`: ours
//! ([`native`]) or one of the C gateway ([`gateway`], on [`jansson`]). All
//! `unsafe` is in those four.

#![deny(unsafe_code)]

mod budget;
pub mod dispatch;
pub mod gateway;
pub mod jansson;
pub mod library;
mod link;
mod methods;
pub mod native;
pub mod session;
pub mod splitter;

pub use methods::Methods;
