//! jsonsql: one SQLite file, over websocket_jsonrpc.
//!
//! `-C "FILE[;ro][;max=MIB]"`: the file, made if it is missing; `ro` only
//! reads it, `max` is the size it can grow to (64 MiB). Clients write SQL of
//! their own, so [`database`] keeps them to that file and to limits of time
//! and size, for which [`functions`] replaces some of SQLite's (with [`clock`]
//! and [`patterns`]); [`methods`]
//! has what they call, [`values`] turns SQL values into JSON and back.

#![deny(unsafe_code)]

mod clock;
mod database;
mod functions;
mod methods;
mod patterns;
mod values;

#[cfg(test)]
mod tests;

pub use methods::JsonSql;

rpcplugin::export!(JsonSql {
    "list" => JsonSql::list,
    "get" => JsonSql::get,
    "exec" => JsonSql::exec,
    "view" => JsonSql::view,
});
