//! Start-up: what the administrator asked for, as plain data.
//!
//! [`load()`] makes a [`Config`]: `libconfig` turns text into a tree with places, `reader` checks
//! the tree against the table in `keys`, and `server` and `websocket` build the data that `model`,
//! `link`, `service` and `patterns` define. `render` and `manual` print the table for people.

mod addresses;
mod auth;
mod built;
mod choices;
mod disk;
mod endpoint;
#[cfg(feature = "exec")]
mod exec;
mod input;
mod keys;
mod libconfig;
mod link;
mod load;
mod login;
mod manual;
mod model;
mod patterns;
mod reader;
mod render;
mod schema;
mod server;
mod service;
mod sharing;
mod suggest;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod websocket;

pub(crate) use auth::{AuthConfig, AuthKind, AuthUsers, BearerConfig, TokenKey};
#[cfg(all(test, feature = "websocket"))]
pub(crate) use choices::BAUDS;
#[cfg(feature = "exec")]
pub(crate) use endpoint::ExecConfig;
pub use endpoint::Target;
pub(crate) use endpoint::{Flow, HangUp, Parity, SerialConfig};
pub(crate) use input::Input;
pub use libconfig::diagnostic::{Diagnostic, Severity};
pub use libconfig::value::Value;
pub(crate) use link::LinkConfig;
#[cfg(test)]
pub(crate) use load::load;
pub use load::{from_text, tree};
pub(crate) use manual::manual;
pub use model::{Config, Network, WebsocketConfig};
pub(crate) use model::{DocumentConfig, Listen, Place, ServerConfig, TlsConfig, TlsPair};
pub(crate) use patterns::{HostPattern, matches};
pub(crate) use render::{example, summary};
#[cfg(test)]
pub(crate) use service::Protocols;
#[cfg(any(test, feature = "share"))]
pub(crate) use service::Share;
#[cfg(test)]
pub(crate) use service::SharingConfig;
pub(crate) use service::{FrameType, Framing, ServiceConfig};
