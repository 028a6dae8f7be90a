//! Which settings this program can honour: the features it was built with.

/// What this program was built with: the Cargo features a file may need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Built {
    /// The gateway itself.
    pub(crate) websocket: bool,
    /// Direct mode.
    pub(crate) websocket_rt: bool,
    /// TLS.
    pub(crate) tls: bool,
    /// Confinement by Landlock.
    pub(crate) landlock: bool,
}

/// This build.
pub(crate) const BUILT: Built = Built {
    websocket: cfg!(feature = "websocket"),
    websocket_rt: cfg!(feature = "websocket_rt"),
    tls: cfg!(feature = "tls"),
    landlock: cfg!(feature = "landlock"),
};
