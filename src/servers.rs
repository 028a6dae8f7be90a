//! All servers of a configuration, and how the next configuration takes their place.
//!
//! A reload binds and reads everything new first; only when all of that has worked does
//! anything change. Then addresses that stay lead to the new servers, addresses that are
//! gone close, and the clients that are there go on as they began.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "tls")]
use log::error;
use log::{info, warn};

use crate::config::ServerConfig;
use crate::door::Door;
use crate::server::{Server, StartError};

/// What clients get to answer our Close at a stop.
pub const STOP_WAIT: Duration = Duration::from_secs(5);

/// Part of the patience of a stop that clients get who were cut.
const CUT_SHARE: u32 = 5;

/// The servers that run.
pub struct Servers {
    current: Vec<Arc<Server>>,
    /// Those whose addresses are gone, for as long as they have clients.
    retired: Vec<Arc<Server>>,
}

impl Servers {
    /// Binds every address that is not among the `lent` sockets, and reads every certificate;
    /// nobody is accepted yet.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub fn bind(configs: Vec<ServerConfig>, lent: Vec<Door>) -> Result<Self, StartError> {
        let mut left = lent.into_iter().map(Arc::new).collect();
        let current = bind(configs, &mut left)?;
        for door in left {
            let address = door.address();
            warn!("no server of the configuration listens on {address}, a socket passed to us");
        }
        Ok(Self {
            current,
            retired: Vec::new(),
        })
    }

    /// Begins to serve.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(&self) -> Result<(), StartError> {
        self.current
            .iter()
            .try_for_each(Server::start)
            .map_err(StartError::Thread)
    }

    /// Serves as these say from now on; connections are kept.
    ///
    /// # Errors
    /// Why everything stays as it was.
    pub fn reload(&mut self, configs: Vec<ServerConfig>) -> Result<(), StartError> {
        let doors = |server: &Arc<Server>| server.doors().to_vec();
        let mut left: Vec<Arc<Door>> = self.current.iter().flat_map(doors).collect();
        let new = bind(configs, &mut left)?;
        if let Err(error) = new.iter().try_for_each(Server::start) {
            new.iter().for_each(Server::close);
            return Err(StartError::Thread(error));
        }
        new.iter().for_each(Server::take_over);
        left.iter().for_each(|door| door.close());
        let old = std::mem::replace(&mut self.current, new);
        self.retired.extend(old);
        let current = &self.current;
        self.retired.retain(|old| {
            let kept = |server: &Arc<Server>| Arc::ptr_eq(server.room(), old.room());
            !old.room().is_empty() && !current.iter().any(kept)
        });
        self.reload_certificates();
        Ok(())
    }

    /// Reads the certificates again; where that fails the old ones stay.
    fn reload_certificates(&self) {
        #[cfg(feature = "tls")]
        for server in &self.current {
            if let Err(error) = server.reload_certificates() {
                error!("{}: {error}; the old certificates stay", server.names());
            }
        }
    }

    /// The lines of the start: where it listens, who it runs as, what it serves.
    pub fn announce(&self, user: &str) {
        for server in &self.current {
            let websocket = server.config().websocket.as_ref();
            let serves = websocket.map_or("files only".to_owned(), |websocket| {
                format!("services in {}", websocket.docroot.display())
            });
            let names = server.names();
            match &server.config().hostname {
                Some(host) => info!("{host}: listening on {names} as {user}, {serves}"),
                None => info!("listening on {names} as {user}, {serves}"),
            }
        }
    }

    /// Stops gracefully: no new clients, Close 1001 to those there are, and up to `patience`
    /// for their answers.
    pub fn stop(&self, patience: Duration) {
        let all = || self.current.iter().chain(&self.retired);
        all().for_each(Server::stop);
        let deadline = Instant::now() + patience;
        all().for_each(|server| server.room().wait_empty(deadline));
        all().for_each(|server| server.room().cut());
        let deadline = Instant::now() + patience / CUT_SHARE;
        all().for_each(|server| server.room().wait_empty(deadline));
    }
}

fn bind(
    configs: Vec<ServerConfig>,
    kept: &mut Vec<Arc<Door>>,
) -> Result<Vec<Arc<Server>>, StartError> {
    configs
        .into_iter()
        .map(|config| Server::bind(config, kept).map(Arc::new))
        .collect()
}
