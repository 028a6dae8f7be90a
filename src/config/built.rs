//! The Cargo features that settings need, and which of them this program has.

/// The Cargo features of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Built {
    /// The gateway itself (`websocket`).
    pub(crate) websocket: bool,
    /// Direct mode (`websocket_rt`).
    pub(crate) websocket_rt: bool,
    /// Programs for each client (`exec`).
    pub(crate) exec: bool,
    /// One connection to a backend for many clients (`share`).
    pub(crate) share: bool,
    /// TLS (`tls`).
    pub(crate) tls: bool,
    /// Logins (`auth`).
    pub(crate) auth: bool,
    /// Logins that authrpc checks (`auth_rpc`).
    pub(crate) auth_rpc: bool,
    /// Logins that another program checks (`auth_forward`).
    pub(crate) auth_forward: bool,
    /// The console page (`console`).
    pub(crate) console: bool,
    /// What the daemon does, seen while it runs (`state`).
    pub(crate) state: bool,
    /// Logins with a token (`bearer`).
    pub(crate) bearer: bool,
    /// Confinement by Landlock (`landlock`).
    pub(crate) landlock: bool,
}

/// The features of this program.
pub(crate) const BUILT: Built = Built {
    websocket: cfg!(feature = "websocket"),
    websocket_rt: cfg!(feature = "websocket_rt"),
    exec: cfg!(feature = "exec"),
    share: cfg!(feature = "share"),
    tls: cfg!(feature = "tls"),
    auth: cfg!(feature = "auth"),
    auth_rpc: cfg!(feature = "auth_rpc"),
    auth_forward: cfg!(feature = "auth_forward"),
    console: cfg!(feature = "console"),
    state: cfg!(feature = "state"),
    bearer: cfg!(feature = "bearer"),
    landlock: cfg!(feature = "landlock"),
};
