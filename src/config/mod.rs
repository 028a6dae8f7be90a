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
mod input;
mod keys;
mod libconfig;
mod link;
mod load;
mod manual;
mod model;
mod patterns;
mod reader;
mod render;
mod schema;
mod server;
mod service;
mod suggest;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod websocket;

pub use auth::{AuthConfig, AuthUsers};
#[cfg(all(test, feature = "websocket"))]
pub(crate) use choices::BAUDS;
pub use input::Input;
pub use libconfig::diagnostic::{Diagnostic, Severity};
#[doc(hidden)]
pub use libconfig::value::{Setting, Value};
pub use link::{Flow, LinkConfig, Parity, SerialConfig, Target};
#[cfg(test)]
pub(crate) use load::load;
#[doc(hidden)]
pub use load::tree;
pub use load::{Loaded, from_text};
pub(crate) use manual::manual;
pub use model::{
    Config, DocumentConfig, Listen, MaxPerIp, Network, Place, ServerConfig, TlsConfig, TlsPair,
    WebsocketConfig,
};
pub(crate) use patterns::matches;
pub use patterns::{HostPattern, Origins};
pub(crate) use render::{example, summary};
pub use service::{FrameType, Framing, Protocols, ServiceConfig};
