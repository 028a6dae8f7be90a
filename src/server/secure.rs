//! Opening: the TLS handshake of a server that has a `tls` section.

use std::sync::Arc;
use std::time::Instant;

use crate::client::Client;
use crate::config::ServerConfig;
use crate::http::proxy;
use crate::http::refusal::Refusal;
use crate::server::StartError;
use crate::tls::{Certificates, Failure, Session};

/// Does the TLS handshakes of a server; nothing for a server without a `tls` section.
pub(crate) struct Security(Option<Arc<Certificates>>);

impl Security {
    /// Reads certificates. If the server before had the same files, its certificates are renewed in
    /// place, and stay if the user can no longer read the key.
    ///
    /// # Errors
    /// Which certificate cannot be used, and why.
    pub(super) fn new(
        config: &ServerConfig,
        before: Option<(&ServerConfig, &Self)>,
    ) -> Result<Self, StartError> {
        let Some(tls) = &config.tls else {
            return Ok(Self(None));
        };
        match before {
            Some((old, before)) if old.tls.as_ref() == Some(tls) => Ok(Self(before.0.clone())),
            _ => {
                let certificates = Certificates::load(tls).map_err(StartError::Tls)?;
                Ok(Self(Some(Arc::new(certificates))))
            }
        }
    }

    /// Reads the certificates again. If that fails, the old ones stay.
    ///
    /// # Errors
    /// Which certificate cannot be used, and why.
    pub(crate) fn reload(&self) -> Result<(), StartError> {
        match &self.0 {
            Some(certificates) => certificates.reload().map_err(StartError::Tls),
            None => Ok(()),
        }
    }

    /// Whether there is a certificate for a host.
    pub(crate) fn certifies(&self, host: &str) -> bool {
        (self.0.as_ref()).is_some_and(|certificates| certificates.covers(host))
    }

    /// The files of the certificates, and the second since 1970 at which each ends.
    #[cfg(feature = "state")]
    pub(crate) fn ends(&self) -> Vec<(String, i64)> {
        (self.0.as_ref()).map_or_else(Vec::new, |certificates| certificates.ends())
    }

    /// Does the TLS handshake, if the server speaks TLS.
    ///
    /// # Errors
    /// The client as it came, and the refusal. A client of plain HTTP can read an answer; any other
    /// has got a TLS alert.
    pub(crate) fn shake_hands(
        &self,
        client: Client,
        deadline: Instant,
    ) -> Result<Client, Box<(Client, Refusal)>> {
        let Some(certificates) = &self.0 else {
            return Ok(client);
        };
        let peer = client.peer();
        match Session::accept(client.into_socket(), certificates, deadline) {
            Ok(session) => Ok(Client::tls(session, peer)),
            Err(error) => {
                let refusal = match error.failure {
                    Failure::NotTls => None,
                    failure => Some(Refusal::NoSession(failure.to_string())),
                };
                let client = Client::accepted(error.socket, peer);
                let refusal = refusal.unwrap_or_else(|| refusal_of_text(&client));
                Err(Box::new((client, refusal)))
            }
        }
    }
}

/// Returns the refusal of a client that sends plain text where TLS is expected. Nothing of the
/// client has been read.
fn refusal_of_text(client: &Client) -> Refusal {
    let mut beginning = [0; 16];
    let count = client.peek(&mut beginning).unwrap_or(0);
    match proxy::is_beginning(&beginning[..count]) {
        true => proxy::NOT_BELIEVED,
        false => Refusal::Malformed("plain HTTP, but this port speaks TLS: use https"),
    }
}
