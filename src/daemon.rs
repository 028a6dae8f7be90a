//! Start-up: what makes a process a daemon: pid file, user, signals.
//!
//! `main` calls these in order; nothing here knows of clients.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{User, initgroups, setresgid, setresuid};

/// What the daemon is told from outside, or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// TERM or INT: stop, gracefully the first time.
    Stop,
    /// HUP: read what may have changed again.
    Reload,
    /// Everything has stopped.
    Stopped,
}

/// Blocks the signals that are orders, for this thread and those it creates. Call it first.
///
/// # Errors
/// As pthread_sigmask(3).
pub fn block_signals() -> io::Result<SigSet> {
    let mut orders = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        orders.add(signal);
    }
    orders.thread_block()?;
    Ok(orders)
}

/// Forwards signals as orders, from a thread of its own.
///
/// # Errors
/// When the thread cannot be created.
pub fn forward_signals(signals: SigSet, orders: Sender<Order>) -> io::Result<()> {
    thread::Builder::new()
        .name("signals".into())
        .stack_size(crate::pump::STACK)
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                let order = match signal {
                    Signal::SIGHUP => Order::Reload,
                    _ => Order::Stop,
                };
                if orders.send(order).is_err() {
                    return;
                }
            }
        })
        .map(drop)
}

/// A locked pid file, removed at the end.
pub struct PidFile {
    path: PathBuf,
    _lock: Flock<File>,
}

impl PidFile {
    /// Locks the file and writes this process's id.
    ///
    /// # Errors
    /// `WouldBlock` when another instance holds it; as open(2) and write(2).
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        lock.set_len(0)?;
        writeln!(&*lock, "{}", std::process::id())?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Becomes `name` for good: its groups, its group, its user, all four ids of each.
///
/// # Errors
/// An unknown user, or no right to become it.
pub fn become_user(name: &str) -> io::Result<()> {
    let Some(user) = User::from_name(name)? else {
        let reason = format!("there is no user '{name}' on this machine");
        return Err(io::Error::new(io::ErrorKind::NotFound, reason));
    };
    if user.uid.is_root() || nix::unistd::geteuid() != user.uid {
        let name = std::ffi::CString::new(user.name)?;
        initgroups(&name, user.gid)?;
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
    }
    Ok(())
}
