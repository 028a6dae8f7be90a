//! authrpc: users and their passwords, over websocket_jsonrpc.
//!
//! `-C "FILE[;hash=a5][;delay=MS]"`: the SQLite file, made with its tables if
//! it is missing; `hash=a5` stores new passwords as the C gateway does;
//! `delay` is the wait after a first wrong password (250). The methods are in
//! [`methods`], the file in [`store`], the passwords in [`password`], the
//! waiting in [`throttle`].

#![deny(unsafe_code)]

mod methods;
mod password;
mod settings;
mod store;
mod throttle;

#[cfg(test)]
mod tests;

pub use methods::AuthRpc;

rpcplugin::export!(AuthRpc {
    "auth" => AuthRpc::auth,
    "passwd" => AuthRpc::passwd,
    "adduser" => AuthRpc::adduser,
    "rmuser" => AuthRpc::rmuser,
});
