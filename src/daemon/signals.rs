//! Start-up: the signals that may tell the daemon something wait until it asks for them.
//!
//! All of them are blocked, those too that mean nothing to it: their default action is to end the
//! process (signal(7)). Programs that it starts get them unblocked.

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// Signals that are left alone: faults of the program itself, QUIT for a core dump on request, job
/// control, and those that are ignored by default (URG calls threads out of reads: `server::readers`).
const LEFT_ALONE: [Signal; 15] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGABRT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCONT,
    Signal::SIGCHLD,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

/// Blocks signals, for this thread and those it creates. Call it before any thread is made.
/// Children inherit it.
///
/// # Errors
/// As pthread_sigmask(3).
pub(crate) fn block() -> io::Result<()> {
    Ok(blocked().thread_block()?)
}

/// Lets all signals through again, for what becomes another program.
///
/// # Errors
/// As pthread_sigmask(3).
pub(crate) fn unblock() -> io::Result<()> {
    Ok(SigSet::all().thread_unblock()?)
}

/// The signals that [`block`] blocks.
pub(crate) fn blocked() -> SigSet {
    let mut signals = SigSet::all();
    for signal in LEFT_ALONE {
        signals.remove(signal);
    }
    signals
}

/// The signals that end the daemon in order.
pub(crate) fn stops() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}
