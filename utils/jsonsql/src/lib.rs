//! jsonsql: one SQLite file, over websocket_jsonrpc.
//!
//! `-C "FILE[;ro]"`: the file, made if it is missing; `ro` only reads it.
//! Clients write SQL of their own, so [`database`] keeps them to that file and
//! to limits of time and size; [`methods`] has what they call, [`values`]
//! turns SQL values into JSON and back.

#![deny(unsafe_code)]

mod database;
mod methods;
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
