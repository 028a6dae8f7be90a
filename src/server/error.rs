//! Start-up: why a server does not start.

use std::io;

use crate::config::Listen;
#[cfg(feature = "tls")]
use crate::tls::TlsError;

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(Listen, io::Error),
    /// A certificate or its key is unfit.
    #[cfg(feature = "tls")]
    Tls(TlsError),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(Listen::Tcp(address), error) => write!(f, "cannot bind {address}: {error}"),
            Self::Bind(Listen::Unix(path), error) => {
                write!(f, "cannot bind unix:{}: {error}", path.display())
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}
