//! JSON-RPC 2.0 between a byte stream and a plugin.
//!
//! The path of a request: [`session`] reads bytes from a [`connection`], [`splitter`] finds where
//! each message ends, [`dispatch`] checks it against the specification and calls [`Methods`],
//! [`answers`] collects what they return, and the session writes it. [`watch`] tells who still
//! waits for an answer, [`budget`] what memory is left, [`heap`] gives it back. [`library`] loads
//! the plugin behind the methods, by `link`: ours ([`native`]) or one of the C gateway
//! ([`gateway`], on [`jansson`]). All `unsafe` is in those four and in `heap`.

#![deny(unsafe_code)]

pub mod answers;
pub mod budget;
pub mod connection;
pub mod dispatch;
pub mod gateway;
pub mod heap;
pub mod jansson;
pub mod library;
mod link;
mod methods;
pub mod native;
pub mod session;
pub mod splitter;
pub mod watch;

pub use methods::{Call, Methods};
