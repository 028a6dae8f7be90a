//! The logins of one server: its own, and those of its parts that differ.

use super::{Login, UsersError};
use crate::config::{AuthConfig, ServerConfig};

/// Who may come in, and where.
pub(crate) struct Logins {
    server: Option<Login>,
    document: Option<Login>,
    websocket: Option<Login>,
    links: Vec<Option<Login>>,
}

impl Logins {
    /// Reads the users of all logins of a server.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn load(config: &ServerConfig) -> Result<Self, UsersError> {
        let document = config.document.as_ref();
        let websocket = config.websocket.as_ref();
        let links = websocket.map_or(&[][..], |websocket| &websocket.links);
        Ok(Self {
            server: login(config.auth.as_ref())?,
            document: login(document.and_then(|document| document.auth.as_ref()))?,
            websocket: login(websocket.and_then(|websocket| websocket.auth.as_ref()))?,
            links: (links.iter())
                .map(|link| login(link.auth.as_ref()))
                .collect::<Result<_, _>>()?,
        })
    }

    /// What a request without an upgrade needs; `None` for nothing.
    pub(crate) fn of_files(&self) -> Option<&Login> {
        self.document.as_ref().or(self.server.as_ref())
    }

    /// What a WebSocket needs, of a link or of a service beneath docroot; `None` for nothing.
    pub(crate) fn of_service(&self, link: Option<usize>) -> Option<&Login> {
        let link = link.and_then(|number| self.links.get(number)?.as_ref());
        link.or(self.websocket.as_ref()).or(self.server.as_ref())
    }
}

fn login(config: Option<&AuthConfig>) -> Result<Option<Login>, UsersError> {
    config.map(Login::load).transpose()
}
