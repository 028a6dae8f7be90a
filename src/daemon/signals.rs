//! Start-up: the signals that tell the daemon something, blocked and read by a thread.

use std::io;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::daemon::control::Control;
use crate::system::queue::Queue;
use crate::system::threads;

/// Blocks the control signals, for this thread and those it creates; they wait. Call it
/// before any thread is made. Children inherit it.
///
/// # Errors
/// As pthread_sigmask(3).
pub(crate) fn block() -> io::Result<()> {
    Ok(controls().thread_block()?)
}

/// Lets the control signals through again, for what becomes another program.
///
/// # Errors
/// As pthread_sigmask(3).
pub(crate) fn unblock() -> io::Result<()> {
    Ok(controls().thread_unblock()?)
}

/// Those that say something to the daemon.
pub(crate) fn controls() -> SigSet {
    let mut signals = stops();
    signals.add(Signal::SIGHUP);
    signals
}

/// Those that end it.
pub(crate) fn stops() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// Forwards control signals to `queue`, from a thread of its own.
///
/// # Errors
/// When there is no descriptor for it, or the thread cannot be created.
pub(crate) fn forward(queue: Arc<Queue<Control>>) -> io::Result<()> {
    let waiting = SignalFd::with_flags(&controls(), SfdFlags::SFD_CLOEXEC)?;
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
