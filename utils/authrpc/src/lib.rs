//! authrpc: users and their passwords, over websocket_jsonrpc.
//!
//! `-C "FILE[;root=NAME][;hash=a5][;delay=MS]"` (`settings`): the SQLite file, made with its tables
//! if it is missing; `root` makes the `first` user of an empty file; `hash=a5` stores new passwords
//! as the C gateway does; `delay` is the wait after a first wrong password (250). The methods are
//! in `methods`, the file in `store`, the passwords in `password`, what is slow on purpose in
//! `throttle`, and `turn` lets one costly check run at a time.

#![deny(unsafe_code)]

mod first;
mod methods;
mod password;
mod settings;
mod store;
mod throttle;
mod turn;

#[cfg(test)]
mod tests;

pub use methods::AuthRpc;

rpcplugin::export!(AuthRpc {
    "auth" => AuthRpc::auth,
    "passwd" => AuthRpc::passwd,
    "adduser" => AuthRpc::adduser,
    "rmuser" => AuthRpc::rmuser,
});
