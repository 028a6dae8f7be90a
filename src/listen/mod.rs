//! All servers of a configuration, and how the next configuration takes their place.
//!
//! A reload first binds and reads everything that is new. If one part fails, nothing changes. Then
//! the addresses that stay lead to the new servers, the addresses that are gone are closed, and the
//! clients that are connected keep the settings they began with.

mod accept;
mod announcement;
pub(crate) mod binding;
pub(crate) mod inherited;
pub(crate) mod listener;
mod tcp;
mod unix;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};

#[cfg(feature = "exec")]
use crate::backend::exec;
#[cfg(feature = "exec")]
use crate::config::Target;
use crate::config::{LinkConfig, ServerConfig};
use crate::listen::binding::Binding;
use crate::listen::listener::Listener;
use crate::server::StartError;
use crate::server::clients::Clients;
use crate::server::resources::Resources;
use crate::server::wants::Wants;
#[cfg(feature = "state")]
use crate::state::{self, Shown};
use crate::tally;
#[cfg(feature = "share")]
use crate::websocket::share;
#[cfg(feature = "websocket")]
use crate::websocket::{adopt, pump::Passed};

/// Longest wait at a stop for the clients' answers to our Close.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(5);

/// Clients that were cut get this part of the wait of a stop.
const CUT_SHARE: u32 = 5;

/// Descriptors of a shared backend beside those of its clients: one wakes its thread, one watches
/// clients that are slow, and one leads to the process before an upgrade.
const FOR_SHARE: usize = 3;

/// The servers that run.
#[derive(Default)]
pub(crate) struct Servers {
    current: Vec<Binding>,
    /// The clients of servers whose addresses are gone, for as long as there are any.
    retired: Vec<Arc<Clients>>,
    resources: Arc<Resources>,
}

impl Servers {
    /// Binds every address that is not among the `lent` sockets and reads every certificate. No
    /// client is accepted yet.
    ///
    /// # Errors
    /// The first address or certificate that cannot be had.
    pub(crate) fn bind(
        configs: Vec<ServerConfig>,
        lent: Vec<Listener>,
    ) -> Result<Self, StartError> {
        let mut left = lent.into_iter().map(Arc::new).collect();
        let resources = Arc::default();
        let current = open(configs, &mut left, &resources)?;
        for listener in left {
            let address = listener.address();
            warn!("no server of the configuration listens on {address}, a socket passed to us");
        }
        Ok(Self {
            current,
            retired: Vec::new(),
            resources,
        })
    }

    /// Begins to serve. Call it when everything else that the daemon needs is open: the descriptors
    /// and threads that are left then are promised to clients.
    ///
    /// # Errors
    /// If a thread cannot be created.
    pub(crate) fn start(&self) -> Result<(), StartError> {
        let farewell = self.resources.farewell();
        farewell.start().map_err(StartError::Thread)?;
        // Each listener has an accept thread with a spare descriptor, each server a watch thread
        // with two epoll(7) sets.
        let listeners = self.current.iter().map(|binding| binding.listeners().len());
        let own = listeners.sum::<usize>() + self.current.len();
        let wants = Wants::of(self.current.iter().map(|binding| binding.server().config()));
        wants.check();
        let (descriptors, thread) = self.for_programs();
        let shares = self.shares();
        let descriptors = own + self.current.len() + descriptors + shares * FOR_SHARE;
        (self.resources).measure(descriptors, own + thread + shares, wants.copying());
        self.current.iter().try_for_each(Binding::start)?;
        #[cfg(feature = "state")]
        self.show();
        self.hold_backends();
        Ok(())
    }

    /// Holds the backends that are to be kept (`keep`), and those no longer that are not.
    fn hold_backends(&self) {
        #[cfg(feature = "share")]
        {
            let servers = self.current.iter().map(Binding::server);
            let keys = servers.flat_map(|server| {
                let websocket = server.config().websocket.iter();
                let keys = websocket.flat_map(share::kept);
                keys.map(|key| (key, Arc::clone(server.clients())))
            });
            share::keep(keys.collect());
        }
    }

    /// Descriptors and threads with which programs are started, if a link has one. Where a reload
    /// brings the first one, they come out of those that the daemon keeps for itself.
    fn for_programs(&self) -> (usize, usize) {
        #[cfg(feature = "exec")]
        {
            let is_program = |link: &LinkConfig| matches!(link.target, Target::Exec(_));
            let runs = |binding: &Binding| {
                let websocket = binding.server().config().websocket.as_ref();
                websocket.is_some_and(|websocket| websocket.links.iter().any(is_program))
            };
            if self.current.iter().any(runs) {
                return (exec::DESCRIPTORS, 1);
            }
        }
        (0, 0)
    }

    /// Links whose clients share a backend, which has a thread of its own.
    fn shares(&self) -> usize {
        let websockets = self.current.iter().filter_map(|binding| {
            let config = binding.server().config();
            config.websocket.as_ref()
        });
        let links = websockets.flat_map(|websocket| &websocket.links);
        let is_shared = |link: &&LinkConfig| link.service.sharing.share.of(&link.target).is_some();
        links.filter(is_shared).count()
    }

    /// Replaces the servers by those of a new configuration. Connections are kept.
    ///
    /// # Errors
    /// Why everything stays as it was.
    pub(crate) fn reload(&mut self, configs: Vec<ServerConfig>) -> Result<(), StartError> {
        let listeners = |binding: &Binding| binding.listeners().to_vec();
        let mut left: Vec<Arc<Listener>> = self.current.iter().flat_map(listeners).collect();
        let new = open(configs, &mut left, &self.resources)?;
        if let Err(error) = new.iter().try_for_each(Binding::start) {
            new.iter().for_each(Binding::close);
            return Err(error);
        }
        new.iter().for_each(Binding::take_over);
        left.iter().for_each(|listener| listener.close());
        let old = std::mem::replace(&mut self.current, new);
        self.retired.extend(old.iter().map(clients));
        let current: Vec<_> = self.current.iter().map(clients).collect();
        self.retired.retain(|old| {
            let kept = |new: &Arc<Clients>| Arc::ptr_eq(new, old);
            !old.is_empty() && !current.iter().any(kept)
        });
        self.reload_certificates();
        #[cfg(feature = "state")]
        self.show();
        self.hold_backends();
        Ok(())
    }

    /// Whether some of its addresses are those of an interface, and change with it.
    pub(crate) fn follow_interfaces(&self) -> bool {
        self.current.iter().any(Binding::follows_interfaces)
    }

    /// Listens on what interfaces have come to have, and no longer on what they have lost.
    /// Connections are kept.
    pub(crate) fn refresh(&mut self) {
        self.current.iter_mut().for_each(Binding::refresh);
        #[cfg(feature = "state")]
        self.show();
    }

    /// Shows the servers to whoever asks for the state.
    #[cfg(feature = "state")]
    fn show(&self) {
        let shown = self.current.iter().map(|binding| Shown {
            name: binding.names(),
            server: Arc::downgrade(binding.server()),
        });
        let retired = self.retired.iter().map(Arc::downgrade).collect();
        state::show(shown.collect(), retired);
    }

    /// Reads the certificates again. If that fails, the old ones stay.
    fn reload_certificates(&self) {
        for binding in &self.current {
            if let Err(error) = binding.server().security().reload() {
                error!("{}: {error}; the old certificates stay", binding.names());
            }
        }
    }

    /// Logs the lines of the start: the addresses, the user, what is served.
    pub(crate) fn announce(&self, user: &str) {
        for binding in &self.current {
            let config = binding.server().config();
            let websocket = config.websocket.as_ref();
            let serves = websocket.map_or("files only".to_owned(), announcement::services);
            let names = binding.names();
            match config.hostnames.first() {
                Some(host) => info!("{host}: listening on {names} as {user}, {serves}"),
                None => info!("listening on {names} as {user}, {serves}"),
            }
            if websocket.is_some_and(|websocket| websocket.console) {
                let is_tls = config.tls.is_some();
                let addresses = binding.listeners().iter();
                let addresses = addresses.filter_map(|listener| listener.local_addr());
                addresses
                    .for_each(|address| info!("{}", announcement::how_to_open(address, is_tls)));
            }
        }
    }

    /// Logs how many clients each server has, and what was counted since the start.
    pub(crate) fn tell_state(&self) {
        for binding in &self.current {
            let most = binding.server().config().max_clients;
            let served = binding.server().clients().served();
            info!("{}: {served} of {most} clients", binding.names());
        }
        let left: usize = self.retired.iter().map(|clients| clients.served()).sum();
        if left > 0 {
            info!("{left} clients of addresses that a reload has given up");
        }
        let totals = tally::with(|totals| totals.clone());
        let refused: u64 = totals.refusals.iter().map(|(_, count)| count).sum();
        let ended: u64 = totals.closes.iter().map(|(_, count)| count).sum();
        info!(
            "since the start: {} connections, {refused} refusals, {ended} WebSockets have ended, \
             {} were handed over, {} reloads",
            totals.connections, totals.handed_over, totals.reloads
        );
    }

    /// Each listening socket, and its address as the configuration writes it: for the process that
    /// takes over.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn share(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let listeners = self.current.iter().flat_map(Binding::listeners);
        listeners.map(|listener| listener.share()).collect()
    }

    /// Leaves the listening sockets to another process that accepts on them. The clients stay.
    /// Returns those of each server whom that process may take over, with an address of the server.
    pub(crate) fn leave(&mut self) -> Vec<(String, Arc<Clients>)> {
        let mut left = Vec::new();
        for binding in std::mem::take(&mut self.current) {
            let listeners = binding.listeners();
            listeners.iter().for_each(|listener| listener.leave());
            let clients = clients(&binding);
            if let Some(first) = listeners.first() {
                left.push((first.written(), Arc::clone(&clients)));
            }
            self.retired.push(clients);
        }
        left
    }

    /// Serves a client that another process has passed in this packet, by its socket and its
    /// backend's. Returns false if that process is to keep it.
    #[cfg(feature = "websocket")]
    pub(crate) fn adopt(&self, packet: &str, sockets: Vec<OwnedFd>) -> bool {
        let Some(passed) = Passed::parse(packet) else {
            return self.adopt_line(packet, sockets);
        };
        let named = |listener: &Arc<Listener>| listener.written() == passed.server;
        let leads = |binding: &&Binding| binding.listeners().iter().any(named);
        let binding = self.current.iter().find(leads);
        match (binding, <[OwnedFd; 2]>::try_from(sockets)) {
            (Some(binding), Ok([client, backend])) => {
                adopt::adopt(binding.server(), &passed, client, backend)
            }
            _ => false,
        }
    }

    /// Serves a line that another process has passed. Returns false if that one is to keep it.
    #[cfg(feature = "websocket")]
    fn adopt_line(&self, packet: &str, descriptors: Vec<OwnedFd>) -> bool {
        #[cfg(feature = "share")]
        {
            let servers = self.current.iter().filter_map(|binding| {
                let server = binding.server();
                Some((server.config().websocket.as_ref()?, server.clients()))
            });
            share::adopt(packet, descriptors, servers)
        }
        #[cfg(not(feature = "share"))]
        {
            let _ = (packet, descriptors);
            false
        }
    }

    /// Whether there is no client.
    pub(crate) fn is_empty(&self) -> bool {
        let current = self.current.iter().map(clients);
        let mut tables = current.chain(self.retired.iter().cloned());
        tables.all(|clients| clients.is_empty())
    }

    /// Stops gracefully: accepts no new client, sends Close 1001 to those that are connected, and
    /// waits for their answers, for `patience` at the most.
    pub(crate) fn stop(&self, patience: Duration) {
        self.current.iter().for_each(Binding::close);
        let mut tables: Vec<_> = self.current.iter().map(clients).collect();
        tables.extend(self.retired.iter().cloned());
        // To send thousands of Closes takes a while, which is part of the wait.
        let deadline = Instant::now() + patience;
        tables.iter().for_each(|clients| clients.stop());
        tables
            .iter()
            .for_each(|clients| clients.wait_empty(deadline));
        tables.iter().for_each(|clients| clients.cut());
        let deadline = Instant::now() + patience / CUT_SHARE;
        tables
            .iter()
            .for_each(|clients| clients.wait_empty(deadline));
    }
}

fn open(
    configs: Vec<ServerConfig>,
    kept: &mut Vec<Arc<Listener>>,
    resources: &Arc<Resources>,
) -> Result<Vec<Binding>, StartError> {
    let mut taken = Vec::new();
    configs
        .into_iter()
        .map(|config| Binding::open(config, kept, &mut taken, resources))
        .collect()
}

fn clients(binding: &Binding) -> Arc<Clients> {
    Arc::clone(binding.server().clients())
}
