//! ouistiti, a WebSocket gateway to UNIX servers.
//!
//! One connection is a series of types, each made from the one before, each the proof that a step
//! is done:
//!
//! ```text
//! TcpStream --accept--> Client --read--> Request --check--> Upgrade --resolve--> Service
//!     --connect--> Backend --101--> pump (two copy threads)  or  direct  --> close
//! ```
//!
//! [`connection`] tells it top to bottom; `ARCHITECTURE.md` says what each folder does.
#![forbid(unsafe_code)]
// A build without a feature leaves some items unused, and the linker leaves them out. The full
// build, which the lints read, has no unused item.
#![cfg_attr(
    not(all(
        feature = "websocket_rt",
        feature = "exec",
        feature = "tls",
        feature = "auth",
        feature = "auth_rpc",
        feature = "auth_forward",
        feature = "bearer",
        feature = "landlock"
    )),
    allow(dead_code, unreachable_pub, unused_imports, unused_mut)
)]

#[cfg(any(feature = "websocket", feature = "auth_rpc", feature = "auth_forward"))]
mod backend;
mod cli;
mod client;
mod config;
mod connection;
mod daemon;
mod frame;
mod http;
mod listen;
mod logging;
mod server;
#[cfg(feature = "state")]
mod state;
mod system;
mod tally;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

/// What others than the library may use: the program (`main.rs`), the fuzz targets, `tests/model`
/// and the integration tests. Everything else is private to the crate. It is no interface for other
/// programs: it changes with the daemon.
pub mod parts {
    /// The command line: for the program.
    pub mod cli {
        pub use crate::cli::{Command, Options, parse};
    }

    /// A client's socket, to write answers to: for the fuzz target `request`.
    pub mod client {
        pub use crate::client::Client;
    }

    /// The configuration: for the fuzz targets and the tests of the documents.
    pub mod config {
        pub use crate::config::{
            Config, Diagnostic, Network, Severity, Target, Value, WebsocketConfig, from_text, tree,
        };
    }

    /// What each command does: for the program.
    pub mod daemon {
        pub use crate::daemon::{Error, ask, close_inherited, keep, kill, serve, test};
    }

    /// Frames on the wire: for the fuzz target `frames` and `tests/model`.
    pub mod frame {
        pub use crate::frame::{
            CloseCode, Control, ControlPayload, Decoder, Event, Header, OpCode, ProtocolError,
            Summary, header,
        };
    }

    /// Requests, PROXY headers and answers: for the fuzz targets `request` and `proxy`.
    #[cfg(feature = "websocket")]
    pub mod http {
        pub use crate::http::proxy::{Found, Told, find, header};
        pub use crate::http::refusal::Refusal;
        pub use crate::http::request::{Request, inspect};
        pub use crate::http::response::refuse;
        pub use crate::http::trust::{is_trusted, source};
    }

    /// Logins: for the fuzz targets `answer`, `json`, `jwt`, `logins` and `users`.
    #[cfg(all(feature = "auth_rpc", feature = "auth_forward", feature = "bearer"))]
    pub use crate::http::login::readers as login;

    /// From a request to a service: for the fuzz target `request`.
    #[cfg(feature = "websocket")]
    pub mod websocket {
        pub use crate::websocket::access::resolve;
        pub use crate::websocket::handshake::{Upgrade, check, switching_protocols};
    }
}
