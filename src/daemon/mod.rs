//! Start-up: what makes a process a daemon: detaching, pid file, user, signals.
//!
//! `main` calls these in order; nothing here knows of clients. Its files each do one
//! thing: `detach` leaves the terminal, `pid_file` keeps a second instance out,
//! `init_d` starts the administrator's programs, `descriptors` sees that there are enough,
//! `user` gives privileges up, `confine` has the kernel see to the rest, `notify` says that it
//! serves.

#[cfg(feature = "landlock")]
mod confine;
pub mod control;
mod descriptors;
mod detach;
mod init_d;
mod notify;
mod pid_file;
pub mod startup;
mod user;

#[cfg(feature = "landlock")]
pub use confine::Files;
pub use descriptors::{check_limit, raise_limit};
pub use detach::{Ready, Role, detach};
pub use init_d::{Programs, keep};
pub use notify::Manager;
pub use pid_file::{PidFile, PidFileError, kill};
pub use user::{find_user, give_up_privileges};

use std::io;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::system::queue::Queue;
use crate::system::threads;

/// The daemon's own name, as it stands before its messages.
pub const NAME: &str = "ouistiti";

/// What the daemon is told from outside, or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// TERM or INT: stop, gracefully the first time.
    Stop,
    /// HUP: read what may have changed again.
    Reload,
    /// Everything has stopped.
    Stopped,
}

/// Blocks the control signals, for this thread and those it creates; they wait. Call it
/// before any thread is made. Children inherit it.
///
/// # Errors
/// As pthread_sigmask(3).
pub fn block_signals() -> io::Result<SigSet> {
    let queue = control_signals();
    queue.thread_block()?;
    Ok(queue)
}

fn control_signals() -> SigSet {
    let mut queue = stop_signals();
    queue.add(Signal::SIGHUP);
    queue
}

fn stop_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// Forwards signals to `queue`, from a thread of its own.
///
/// # Errors
/// When there is no descriptor for it, or the thread cannot be created.
pub fn forward_signals(signals: SigSet, queue: Arc<Queue<Control>>) -> io::Result<()> {
    let waiting = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
    let forward = move || {
        loop {
            match waiting.read_signal() {
                Ok(Some(signal)) if signal.ssi_signo == Signal::SIGHUP as u32 => {
                    queue.send(Control::Reload);
                }
                Ok(Some(_)) => queue.send(Control::Stop),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    };
    threads::spawn("signals", forward)
}
