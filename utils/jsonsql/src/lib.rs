//! jsonsql: one SQLite file, over websocket_jsonrpc.
//!
//! `-C "FILE[;ro][;max=MIB]"` (`settings`): the file, made if it is missing; `ro` only reads it,
//! `max` is the size it can grow to (64 MiB). Clients write SQL of their own, so `database` keeps
//! them to that file and to `limits` of time (`clock`) and size, for which `functions` replaces
//! some of SQLite's (with `patterns`). Those who write take turns (`writers`). `methods` has what
//! clients call, `values` what they bind, `rows` what they get.

#![deny(unsafe_code)]

mod clock;
mod database;
mod functions;
mod limits;
mod methods;
mod patterns;
mod rows;
mod settings;
mod values;
mod writers;

#[cfg(test)]
mod tests;

pub use methods::JsonSql;

rpcplugin::export!(JsonSql {
    "list" => JsonSql::list,
    "get" => JsonSql::get,
    "exec" => JsonSql::exec,
    "view" => JsonSql::view,
});
