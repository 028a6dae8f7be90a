//! Running: a process for each client, where a server asks for that.
//!
//! A crash in such a process ends its own client only.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, close, fork, getpid, getppid};

use crate::log;

/// The processes that run, each with a value that is dropped when it ends.
pub(crate) struct Processes<T>(Vec<(Pid, T)>);

impl<T> Processes<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Runs `serve` in a process of its own, which ends with this one at the latest.
    ///
    /// # Errors
    /// As fork(2).
    pub(crate) fn start(
        &mut self,
        listener: &UnixListener,
        holds: T,
        serve: impl FnOnce(),
    ) -> io::Result<()> {
        let server = getpid();
        // SAFETY: a server with processes starts no threads, so the copy is whole: no lock in
        // it is held by a thread that it lacks.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                self.0.push((child, holds));
                Ok(())
            }
            ForkResult::Child => {
                let _ = set_pdeathsig(Signal::SIGTERM);
                // The signals of the server are not read here, but end this process. Kept open, its
                // socket would look alive when it is gone.
                if SigSet::empty().thread_set_mask().is_ok()
                    && close(listener.as_raw_fd()).is_ok()
                    && getppid() == server
                {
                    // A panic must not unwind into the copy of the server.
                    let _ = catch_unwind(AssertUnwindSafe(serve));
                }
                std::process::exit(0)
            }
        }
    }

    /// Forgets the processes that have ended, and tells of those that something ended.
    pub(crate) fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if let WaitStatus::Signaled(_, signal, _) = status {
                log(&format!("the process of a client was ended by {signal}"));
            }
            let Some(pid) = status.pid() else {
                return;
            };
            self.0.retain(|(running, _)| *running != pid);
        }
    }
}
