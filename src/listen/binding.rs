//! Accepting: a server, the listeners its clients come to, and an accept loop for each.

use std::io;
use std::sync::Arc;

use crate::config::{Listen, ServerConfig};
use crate::listen::accept::{Spare, accept};
use crate::listen::listener::Listener;
use crate::server::clients::Clients;
use crate::server::resources::Resources;
use crate::server::{Server, StartError};
use crate::system::{interfaces, threads};

/// A server and the listeners that lead to it.
pub(crate) struct Binding {
    server: Arc<Server>,
    listeners: Vec<Arc<Listener>>,
}

impl Binding {
    /// Binds every address and reads certificates. A listener in `kept`, from a server that is
    /// being replaced, is used again if its address is the same. The clients of that server are
    /// taken over, unless another new server has taken them already (`taken`).
    ///
    /// # Errors
    /// What cannot be read or bound, and why.
    pub(crate) fn open(
        config: ServerConfig,
        kept: &mut Vec<Arc<Listener>>,
        taken: &mut Vec<Arc<Clients>>,
        resources: &Arc<Resources>,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for listen in &config.listen {
            let failed = |error| {
                let place = config.listen_place.clone();
                StartError::Bind(listen.clone(), place, error)
            };
            for address in &addresses(listen).map_err(failed)? {
                let listener = match kept.iter().position(|old| old.address().is_same(address)) {
                    Some(index) => kept.remove(index),
                    None => Listener::open(address).map(Arc::new).map_err(failed)?,
                };
                listeners.push(listener);
            }
        }
        let before = listeners.iter().find_map(|listener| listener.server());
        let clients = before
            .as_ref()
            .map(|server| server.clients())
            .filter(|clients| !taken.iter().any(|other| Arc::ptr_eq(other, clients)))
            .map_or_else(Arc::default, Arc::clone);
        taken.push(Arc::clone(&clients));
        let server = Server::new(config, before.as_deref(), clients, resources).map(Arc::new)?;
        Ok(Self { server, listeners })
    }

    /// The server.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its listeners.
    pub(crate) fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The addresses it listens on, for a person.
    pub(crate) fn names(&self) -> String {
        let tls = self.server.config().tls.is_some();
        let name = |listener: &Arc<Listener>| listener.name(tls);
        let names: Vec<_> = self.listeners.iter().map(name).collect();
        names.join(" ")
    }

    /// Starts an accept thread for each listener that has none yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub(crate) fn start(&self) -> Result<(), StartError> {
        if let Some(websocket) = &self.server.config().websocket {
            let watched = self.server.clients().watch(websocket.ping);
            watched.map_err(StartError::Thread)?;
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            if listener.is_new() && listener.serve_with(&self.server) {
                // Reserved now: the thread may begin long after the daemon says that it listens.
                let (listener, spare) = (Arc::clone(listener), Spare::take());
                let work = move || accept(&listener, spare);
                let started = threads::spawn_vital(format!("accept-{index}"), work);
                started.map_err(StartError::Thread)?;
            }
        }
        Ok(())
    }

    /// Has its listeners lead to its server from now on, whichever server they led to before.
    pub(crate) fn take_over(&self) {
        for listener in &self.listeners {
            listener.serve_with(&self.server);
        }
    }

    /// Closes the listeners that lead to its server.
    pub(crate) fn close(&self) {
        for listener in &self.listeners {
            let server = listener.server();
            if server.is_some_and(|server| Arc::ptr_eq(&server, &self.server)) {
                listener.close();
            }
        }
    }
}

/// Returns the addresses that an element of `addr` stands for now: for an interface, all that it
/// has.
///
/// # Errors
/// `AddrNotAvailable` if an interface has none; as getifaddrs(3).
fn addresses(listen: &Listen) -> io::Result<Vec<Listen>> {
    let Listen::Interface(name, port) = listen else {
        return Ok(vec![listen.clone()]);
    };
    let found = interfaces::addresses(name, *port)?;
    if found.is_empty() {
        let message = "there is no such interface, or it has no address";
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, message));
    }
    Ok(found.into_iter().map(Listen::Tcp).collect())
}
