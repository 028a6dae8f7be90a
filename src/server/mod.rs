//! One server: what all its clients are served with, on each of its addresses.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::config::{Listen, Place, ServerConfig};
use crate::http::document::Document;
use crate::http::login::{Logins, UsersError};
use crate::server::clients::Clients;
use crate::server::farewell::Farewell;
use crate::server::resources::Resources;
use crate::system::reason::reason;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
#[cfg(not(feature = "tls"))]
use plain::Security;
#[cfg(feature = "tls")]
use secure::Security;

mod addresses;
pub(crate) mod clients;
pub(crate) mod farewell;
pub(crate) mod parking;
#[cfg(not(feature = "tls"))]
mod plain;
pub(crate) mod readers;
pub(crate) mod resources;
#[cfg(feature = "tls")]
mod secure;
#[cfg(feature = "state")]
pub(crate) mod seen;
#[cfg(feature = "state")]
pub(crate) mod sight;
pub(crate) mod slot;
pub(crate) mod table;
#[cfg(not(feature = "state"))]
mod unseen;
#[cfg(not(feature = "state"))]
use unseen as seen;
pub(crate) mod wants;
pub(crate) mod workers;

/// One element of `servers`.
pub(crate) struct Server {
    config: ServerConfig,
    document: Option<Document>,
    logins: Logins,
    security: Security,
    clients: Arc<Clients>,
    resources: Arc<Resources>,
}

impl Server {
    /// Reads certificates and users. The server takes over `clients`, and the certificates of
    /// `before`, the server that it replaces, if they are the same.
    ///
    /// # Errors
    /// Which certificate or file of users cannot be used, and why.
    pub(crate) fn new(
        config: ServerConfig,
        before: Option<&Server>,
        clients: Arc<Clients>,
        resources: &Arc<Resources>,
    ) -> Result<Self, StartError> {
        let old = before.map(|server| (&server.config, &server.security));
        let security = Security::new(&config, old)?;
        #[cfg(feature = "websocket")]
        clients.budget().set_limit(config.max_memory);
        Ok(Self {
            document: config.document.as_ref().map(Document::new),
            logins: Logins::load(&config).map_err(StartError::Users)?,
            security,
            clients,
            resources: Arc::clone(resources),
            config,
        })
    }

    /// Its settings.
    pub(crate) fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Checks who may come in.
    pub(crate) fn logins(&self) -> &Logins {
        &self.logins
    }

    /// Its static files.
    pub(crate) fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// Does its TLS handshakes, if it has a `tls` section.
    pub(crate) fn security(&self) -> &Security {
        &self.security
    }

    /// Its clients.
    pub(crate) fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// The descriptors and threads that all servers share.
    pub(crate) fn resources(&self) -> &Arc<Resources> {
        &self.resources
    }

    /// Waits for the end of clients that have been told everything.
    pub(crate) fn farewell(&self) -> &Farewell {
        self.resources.farewell()
    }
}

/// Reads the certificates and users of a server, as a start would.
///
/// # Errors
/// Which certificate or file of users cannot be used, and why.
pub(crate) fn test(config: &ServerConfig) -> Result<(), StartError> {
    Security::new(config, None)?;
    Logins::load(config).map(drop).map_err(StartError::Users)
}

/// The first port that needs no privilege (ip(7)).
const FIRST_FREE: u16 = 1024;

/// Why a server does not start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// An address, set at this place of the configuration, cannot be bound.
    Bind(Listen, Place, io::Error),
    /// A certificate or its key cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The users of `auth` cannot be read.
    Users(UsersError),
    /// A thread cannot be created.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(address, place, error) => {
                let cure = cure(address, error);
                write!(f, "{place}: cannot bind {address}: {}{cure}", reason(error))
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
            Self::Users(error) => write!(f, "{error}"),
            Self::Thread(error) => write!(f, "cannot create a thread: {}", reason(error)),
        }
    }
}

/// Returns what helps against a failed bind(2), or nothing if that is not known.
fn cure(address: &Listen, error: &io::Error) -> &'static str {
    match (address, error.kind()) {
        (Listen::Tcp(address), io::ErrorKind::PermissionDenied) if address.port() < FIRST_FREE => {
            "; a port below 1024 needs root at the start, who may become another by 'user', or \
             CAP_NET_BIND_SERVICE; an address that comes later cannot have one"
        }
        (_, io::ErrorKind::AddrInUse) => "; another program listens there",
        _ => "",
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_told_with_its_setting_and_a_cure() {
        for (path, place) in [("conf", "conf:3"), ("the options", "the options")] {
            let path = path.into();
            let listen = Listen::Tcp(([0, 0, 0, 0], 80).into());
            let error = io::Error::from_raw_os_error(nix::libc::EACCES);
            let text = StartError::Bind(listen, Place { path, line: 3 }, error).to_string();
            let wanted = format!(
                "{place}: cannot bind 0.0.0.0:80: permission denied; a port below 1024 needs root"
            );
            assert!(text.starts_with(&wanted), "{text}");
        }
    }
}
