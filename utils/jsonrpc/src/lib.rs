//! JSON-RPC 2.0 between a byte stream and a plugin.
//!
//! The path of a request: [`session`] reads bytes, [`splitter`] finds where
//! each message ends, [`dispatch`] checks it against the specification and
//! calls [`Methods`], and the session writes the answer. [`library`] loads the
//! plugin behind the methods, by `link`: ours ([`native`]) or one of the C
//! gateway ([`gateway`], on [`jansson`]). All `unsafe` is in those four.

#![deny(unsafe_code)]

pub mod dispatch;
pub mod gateway;
pub mod jansson;
pub mod library;
mod link;
pub mod native;
pub mod session;
pub mod splitter;

use rpcplugin::{Error, Json};

/// Longest request, a batch included, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Deepest nesting of arrays and objects in a request. Parsers recurse, here
/// and in plugins; no honest request comes near.
pub const MAX_DEPTH: usize = 64;

/// The methods that one client can call, with what they remember of it.
pub trait Methods {
    /// Calls a method. `params` is the text of a JSON array or object.
    ///
    /// # Errors
    /// The error member of the answer; "Method not found" among others.
    fn call(&mut self, method: &str, params: Option<&str>) -> Result<Json, Error>;
}
