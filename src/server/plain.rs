//! Opening: no TLS, in a build without the feature `tls`.

use std::time::Instant;

use crate::client::Client;
use crate::config::ServerConfig;
use crate::http::refusal::Refusal;
use crate::server::StartError;

/// Stands for TLS where there is none: it does no handshake.
pub(crate) struct Security;

#[expect(clippy::unnecessary_wraps, clippy::unused_self)]
impl Security {
    pub(super) fn new(
        _: &ServerConfig,
        _: Option<(&ServerConfig, &Self)>,
    ) -> Result<Self, StartError> {
        Ok(Self)
    }

    pub(crate) fn reload(&self) -> Result<(), StartError> {
        Ok(())
    }

    pub(crate) fn certifies(&self, _: &str) -> bool {
        false
    }

    #[cfg(feature = "state")]
    pub(crate) fn ends(&self) -> Vec<(String, i64)> {
        Vec::new()
    }

    pub(crate) fn shake_hands(
        &self,
        client: Client,
        _: Instant,
    ) -> Result<Client, Box<(Client, Refusal)>> {
        Ok(client)
    }
}
