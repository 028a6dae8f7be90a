//! The word to a service manager that the daemon serves (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use log::warn;

use crate::system::reason::reason;

/// Names the socket on which the manager listens; one that begins with `@` is abstract.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The microseconds within which the manager wants a sign of life (sd_watchdog_enabled(3)), and the
/// process it wants it from.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// A service manager that waits for the word.
pub(crate) struct Manager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one of the environment, if there is one. Call it while we still may connect to it: one
    /// that is confined reaches only those abstract sockets that it is connected to. `is_main` says
    /// that this process takes over as the main one, whatever the environment says of the one
    /// before.
    pub(crate) fn find(is_main: bool) -> Option<Self> {
        let name = std::env::var_os(VARIABLE)?;
        let warn = |error: &io::Error| warn!("cannot reach {VARIABLE}: {}", reason(error));
        Some(Self {
            socket: connect(&name).inspect_err(warn).ok()?,
            watchdog: watchdog(is_main),
        })
    }

    /// How often it wants a sign of life: twice in the time after which it acts.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Gives it a sign of life.
    pub(crate) fn tell_alive(&self) {
        // One that takes no word for long acts itself.
        let _ = self.socket.send(b"WATCHDOG=1");
    }

    /// Tells it that the daemon serves.
    pub(crate) fn tell(&self) {
        if let Err(error) = self.socket.send(b"READY=1") {
            warn!("cannot tell {VARIABLE}: {}", reason(&error));
        }
    }

    /// Tells it that another process is the daemon from now on.
    pub(crate) fn tell_main(&self, pid: u32) {
        if let Err(error) = self.socket.send(format!("MAINPID={pid}").as_bytes()) {
            warn!("cannot tell {VARIABLE}: {}", reason(&error));
        }
    }
}

fn watchdog(is_main: bool) -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = |pid| is_main || pid == u64::from(std::process::id());
    let limit = number(WATCHDOG).filter(|_| number(WATCHDOG_PID).is_none_or(is_ours))?;
    Some(Duration::from_micros(limit)).filter(|limit| !limit.is_zero())
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
