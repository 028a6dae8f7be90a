//! One server: what its clients are served with, whichever address they come to.

pub mod clients;

use std::io;
use std::sync::Arc;

use crate::config::{Listen, Place, ServerConfig};
use crate::http::document::Document;
use crate::server::clients::Clients;
#[cfg(feature = "tls")]
use crate::tls::{Certificates, TlsError};

/// One element of `servers`.
pub struct Server {
    config: ServerConfig,
    document: Option<Document>,
    #[cfg(feature = "tls")]
    certificates: Option<Arc<Certificates>>,
    clients: Arc<Clients>,
}

impl Server {
    /// Reads certificates. Of the server it replaces, if any, the clients are kept.
    ///
    /// # Errors
    /// Which certificate cannot be used, and why.
    pub fn new(config: ServerConfig, before: Option<&Server>) -> Result<Self, StartError> {
        Ok(Self {
            document: config.document.as_ref().map(Document::new),
            #[cfg(feature = "tls")]
            certificates: certificates(&config, before)?,
            clients: before
                .map(|server| Arc::clone(&server.clients))
                .unwrap_or_default(),
            config,
        })
    }

    /// What it was asked for.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Its static files.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// What its clients shake hands with, if they speak TLS.
    #[cfg(feature = "tls")]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }

    /// Its clients' places.
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }
}

/// Reads certificates, unless the server before has the same: those are renewed in place, and
/// stay if the user can no longer read the key.
#[cfg(feature = "tls")]
fn certificates(
    config: &ServerConfig,
    before: Option<&Server>,
) -> Result<Option<Arc<Certificates>>, StartError> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    match before {
        Some(before) if before.config.tls.as_ref() == Some(tls) => Ok(before.certificates.clone()),
        _ => {
            let certificates = Certificates::load(tls).map_err(StartError::Tls)?;
            Ok(Some(Arc::new(certificates)))
        }
    }
}

/// Reads what a server's `tls` section names, as a start would.
///
/// # Errors
/// Which certificate cannot be used, and why.
#[cfg_attr(
    not(feature = "tls"),
    expect(unused_variables, clippy::unnecessary_wraps)
)]
pub(crate) fn test(config: &ServerConfig) -> Result<(), StartError> {
    #[cfg(feature = "tls")]
    certificates(config, None)?;
    Ok(())
}

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address, set at this place of the configuration, cannot be listened on.
    Bind(Listen, Place, io::Error),
    /// A certificate or its key is unfit.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// There is no thread to accept clients.
    Thread(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
