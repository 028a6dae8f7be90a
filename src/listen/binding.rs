//! Where a server's clients come in: its listeners, and an accept loop for each.

use std::sync::Arc;

use crate::config::ServerConfig;
use crate::listen::accept::{Spare, accept};
use crate::listen::listener::Listener;
use crate::server::{Server, StartError};
use crate::system::threads;

/// A server and the listeners that lead to it.
pub struct Binding {
    server: Arc<Server>,
    listeners: Vec<Arc<Listener>>,
}

impl Binding {
    /// Binds every address and reads certificates. Of a server that is being replaced, the
    /// listeners in `kept` are used again where the address is the same, and its clients are kept.
    ///
    /// # Errors
    /// What cannot be read or bound, and why.
    pub fn open(config: ServerConfig, kept: &mut Vec<Arc<Listener>>) -> Result<Self, StartError> {
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = match kept
                .iter()
                .position(|listener| listener.address().is_same(address))
            {
                Some(index) => kept.remove(index),
                None => Listener::open(address).map(Arc::new).map_err(|error| {
                    StartError::Bind(address.clone(), config.listen_place.clone(), error)
                })?,
            };
            listeners.push(listener);
        }
        let before = listeners.iter().find_map(|listener| listener.server());
        let server = Server::new(config, before.as_deref()).map(Arc::new)?;
        Ok(Self { server, listeners })
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its listeners.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The addresses it listens on, for a person.
    pub fn names(&self) -> String {
        let tls = self.server.config().tls.is_some();
        let names: Vec<_> = self
            .listeners
            .iter()
            .map(|listener| listener.name(tls))
            .collect();
        names.join(" ")
    }

    /// Starts an accept thread for each listener that has none yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(&self) -> Result<(), StartError> {
        if let Some(websocket) = &self.server.config().websocket {
            let watched = self.server.clients().watch(websocket.ping);
            watched.map_err(StartError::Thread)?;
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            if listener.is_new() && listener.serve_with(&self.server) {
                // Now: the thread may begin long after we have said that we listen.
                let (listener, spare) = (Arc::clone(listener), Spare::take());
                threads::spawn_vital(format!("accept-{index}"), move || accept(&listener, spare))
                    .map_err(StartError::Thread)?;
            }
        }
        Ok(())
    }

    /// Leads clients to its server from now on, wherever they were led before.
    pub fn take_over(&self) {
        for listener in &self.listeners {
            listener.serve_with(&self.server);
        }
    }

    /// Closes the listeners that lead to its server.
    pub fn close(&self) {
        for listener in &self.listeners {
            if listener
                .server()
                .is_some_and(|server| Arc::ptr_eq(&server, &self.server))
            {
                listener.close();
            }
        }
    }
}
