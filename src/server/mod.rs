//! One server: what its clients are served with, whichever address they come to.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::config::{Listen, Place, ServerConfig};
use crate::http::document::Document;
use crate::server::clients::Clients;
use crate::server::farewell::Farewell;
use crate::server::resources::Resources;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
#[cfg(not(feature = "tls"))]
use plain::Security;
#[cfg(feature = "tls")]
use secure::Security;

mod addresses;
pub(crate) mod clients;
pub(crate) mod farewell;
#[cfg(not(feature = "tls"))]
mod plain;
pub(crate) mod resources;
#[cfg(feature = "tls")]
mod secure;
pub(crate) mod slot;
mod table;

/// One element of `servers`.
pub(crate) struct Server {
    config: ServerConfig,
    document: Option<Document>,
    security: Security,
    clients: Arc<Clients>,
    resources: Arc<Resources>,
}

impl Server {
    /// Reads certificates. The server takes over `clients`, and what can be kept of the server
    /// before it.
    ///
    /// # Errors
    /// Which certificate cannot be used, and why.
    pub(crate) fn new(
        config: ServerConfig,
        before: Option<&Server>,
        clients: Arc<Clients>,
        resources: &Arc<Resources>,
    ) -> Result<Self, StartError> {
        let old = before.map(|server| (&server.config, &server.security));
        Ok(Self {
            document: config.document.as_ref().map(Document::new),
            security: Security::new(&config, old)?,
            clients,
            resources: Arc::clone(resources),
            config,
        })
    }

    /// What it was asked for.
    pub(crate) fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Its static files.
    pub(crate) fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// Its TLS, if it has any.
    pub(crate) fn security(&self) -> &Security {
        &self.security
    }

    /// Its clients.
    pub(crate) fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// What it shares with all other servers.
    pub(crate) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Where clients go that have been told everything.
    pub(crate) fn farewell(&self) -> &Farewell {
        self.resources.farewell()
    }
}

/// Reads what a server's `tls` section names, as a start would.
///
/// # Errors
/// Which certificate cannot be used, and why.
pub(crate) fn test(config: &ServerConfig) -> Result<(), StartError> {
    Security::new(config, None).map(drop)
}

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address, set at this place of the configuration, cannot be listened on.
    Bind(Listen, Place, io::Error),
    /// A certificate or its key is unfit.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// A thread cannot be created.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, place, error) => {
                write!(f, "{place}: cannot bind {address}: {error}")
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
            Self::Thread(error) => write!(f, "cannot create a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
