//! The word to a service manager that the daemon serves (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use log::warn;

/// Names the socket on which the manager listens; one that begins with `@` is abstract.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// A service manager that waits for the word.
pub(crate) struct Manager(UnixDatagram);

impl Manager {
    /// The one of the environment, if there is one. Call it while we still may connect to it: one
    /// that is confined reaches only those abstract sockets that it is connected to.
    pub(crate) fn find() -> Option<Self> {
        let name = std::env::var_os(VARIABLE)?;
        let warn = |error: &io::Error| warn!("cannot reach {VARIABLE}: {error}");
        connect(&name).inspect_err(warn).ok().map(Self)
    }

    /// Tells it that the daemon serves.
    pub(crate) fn tell(&self) {
        if let Err(error) = self.0.send(b"READY=1") {
            warn!("cannot tell {VARIABLE}: {error}");
        }
    }

    /// Tells it that another process is the daemon from now on.
    pub(crate) fn tell_main(&self, pid: u32) {
        if let Err(error) = self.0.send(format!("MAINPID={pid}").as_bytes()) {
            warn!("cannot tell {VARIABLE}: {error}");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
