//! Accepting: a server, the listeners its clients come to, and an accept loop for each.

use std::io;
use std::sync::Arc;

use log::{info, warn};

use crate::config::{Listen, ServerConfig};
use crate::listen::accept::{Spare, accept};
use crate::listen::listener::Listener;
use crate::server::clients::Clients;
use crate::server::resources::Resources;
use crate::server::{Server, StartError};
use crate::system::reason::reason;
use crate::system::{interfaces, threads};

/// What becomes of an address that is not there.
const AWAITED: &str = "clients are served when it is there";

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
            let found = addresses(listen).map_err(failed)?;
            if found.is_empty() {
                let place = &config.listen_place;
                warn!("{place}: {listen}: no such interface yet, or it has no address; {AWAITED}");
            }
            for address in &found {
                let listener = match kept.iter().position(|old| old.is_on(address)) {
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
        match names.is_empty() {
            true => "no address yet".to_owned(),
            false => names.join(" "),
        }
    }

    /// Whether it listens on addresses that an interface has.
    pub(crate) fn follows_interfaces(&self) -> bool {
        let mut listens = self.server.config().listen.iter();
        listens.any(|listen| matches!(listen, Listen::Interface(..) | Listen::Scoped { .. }))
    }

    /// Listens on the addresses that its interfaces have now. What cannot be bound is logged.
    pub(crate) fn refresh(&mut self) {
        if !self.follows_interfaces() {
            return;
        }
        let server = Arc::clone(&self.server);
        let mut wanted = Vec::new();
        for listen in &server.config().listen {
            match addresses(listen) {
                Ok(found) => wanted.extend(found),
                Err(error) => {
                    return warn!("cannot find the addresses of {listen}: {}", reason(&error));
                }
            }
        }
        self.listeners.retain(|listener| {
            let is_wanted = wanted.iter().any(|address| listener.is_on(address));
            if !is_wanted {
                info!("no longer listening on {}", listener.address());
                listener.close();
            }
            is_wanted
        });
        for address in wanted {
            if self.listeners.iter().any(|old| old.is_on(&address)) {
                continue;
            }
            match Listener::open(&address) {
                Ok(listener) => {
                    info!("now also listening on {address}");
                    self.listeners.push(Arc::new(listener));
                }
                Err(error) => {
                    let place = self.server.config().listen_place.clone();
                    warn!("{}", StartError::Bind(address, place, error));
                }
            }
        }
        if let Err(error) = self.start() {
            warn!("{error}");
        }
    }

    /// Starts an accept thread for each listener that has none yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub(crate) fn start(&self) -> Result<(), StartError> {
        if let Some(websocket) = &self.server.config().websocket {
            let most = self.server.resources().copying();
            let wanted = self.server.config().max_threads;
            self.server.clients().workers().set_limit(wanted.min(most));
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
/// has; none for an address on an interface that is not there.
///
/// # Errors
/// As getifaddrs(3).
fn addresses(listen: &Listen) -> io::Result<Vec<Listen>> {
    match listen {
        Listen::Interface(name, port) => {
            let found = interfaces::addresses(name, *port)?;
            Ok(found.into_iter().map(Listen::Tcp).collect())
        }
        Listen::Scoped { interface, .. } if !interfaces::is_there(interface) => Ok(Vec::new()),
        listen => Ok(vec![listen.clone()]),
    }
}
