//! Listening: one address, and the server its clients come to.
//!
//! A [`Door`] outlives its server when a new configuration keeps the address: it then
//! leads to the next one, and no client that knocks in between is lost.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::sys::socket::{Shutdown, shutdown};

use crate::config::Listen;
use crate::server::Server;

/// A listening socket, and where it leads.
pub struct Door {
    address: Listen,
    listener: Listener,
    leads: Mutex<Leads>,
}

enum Leads {
    /// Not yet to a server: nobody accepts.
    Nowhere,
    /// To this one.
    To(Weak<Server>),
    /// Never again anywhere.
    Closed,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    /// Listens.
    ///
    /// # Errors
    /// As bind(2) and listen(2).
    pub fn open(address: &Listen) -> io::Result<Self> {
        let listener = match address {
            Listen::Tcp(address) => bind_tcp(*address).map(Listener::Tcp),
            Listen::Unix(path) => bind_unix(path).map(Listener::Unix),
        };
        Ok(Self {
            address: address.clone(),
            listener: listener?,
            leads: Mutex::new(Leads::Nowhere),
        })
    }

    /// The address as it is configured.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// Leads to `server` from now on. Whether it is the first one: then nobody accepts yet.
    pub fn lead_to(&self, server: &Arc<Server>) -> bool {
        let before = std::mem::replace(&mut *self.leads(), Leads::To(Arc::downgrade(server)));
        matches!(before, Leads::Nowhere)
    }

    /// Whether it leads nowhere yet.
    pub fn is_new(&self) -> bool {
        matches!(*self.leads(), Leads::Nowhere)
    }

    /// Where it leads; `None` when it is closed, or new.
    pub fn server(&self) -> Option<Arc<Server>> {
        match &*self.leads() {
            Leads::To(server) => server.upgrade(),
            Leads::Nowhere | Leads::Closed => None,
        }
    }

    /// # Errors
    /// As accept(2); any once it is closed.
    pub fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Listener::Tcp(listener) => listener.accept().map(|(socket, _)| socket),
            // Read, written and shut down alike; only its address is none.
            Listener::Unix(listener) => listener
                .accept()
                .map(|(socket, _)| TcpStream::from(OwnedFd::from(socket))),
        }
    }

    /// Closes for good, and wakes its accept loop, which then finds that it leads nowhere.
    pub fn close(&self) {
        *self.leads() = Leads::Closed;
        let fd = match &self.listener {
            Listener::Tcp(listener) => listener.as_raw_fd(),
            Listener::Unix(listener) => listener.as_raw_fd(),
        };
        let _ = shutdown(fd, Shutdown::Both);
        self.remove_socket();
    }

    /// Where it listens, as the start line says it.
    pub fn name(&self, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map_or_else(
                |error| error.to_string(),
                |address| format!("{scheme}://{address}"),
            ),
            Listener::Unix(_) => self.address.to_string(),
        }
    }

    fn remove_socket(&self) {
        if let Listen::Unix(path) = &self.address {
            // Where the user may not remove it, the next start replaces it.
            let _ = std::fs::remove_file(path);
        }
    }

    fn leads(&self) -> MutexGuard<'_, Leads> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if !matches!(*self.leads(), Leads::Closed) {
            self.remove_socket();
        }
    }
}

/// All addresses: IPv6 and IPv4 by one socket, or IPv4 where there is no IPv6.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error)
            if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
                && address.ip().is_unspecified() =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        result => result,
    }
}

/// Replaces the socket of a daemon that is gone, never one that is listened on.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}
