//! Opening and running: a program for each client (`type = "exec"`).
//!
//! The program's standard input and output are the far end of the backend's socket, so that no byte
//! is copied for it. One lasting thread, the supervisor, starts all programs, reads what they write
//! to standard error, and ends what is left of them after their clients.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::warn;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{AccessFlags, Pid, access};

use crate::config::ExecConfig;
use crate::system::reason::reason;
use crate::system::threads;

mod output;
mod processes;
mod running;
mod supervisor;

pub(crate) use processes::{limit, measure};
pub(crate) use supervisor::{DESCRIPTORS, kill, stop};

/// Longest wait for the end of a program that has closed its output.
const END_WAIT: Duration = Duration::from_secs(1);

/// First and longest pause between two looks at whether a program has ended; each is twice the one
/// before.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What a run of a program is told.
pub(crate) struct Run {
    /// The client and its service, as in the log.
    pub(crate) client: String,
    /// The whole environment of the program.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A program that runs. Dropping it ends its process group: TERM, and KILL after 5 s.
pub(super) struct Program {
    pid: Pid,
    /// The client and the program, as in the log.
    name: String,
    /// The client needs it no longer.
    is_over: Arc<AtomicBool>,
}

/// Runs a program. Returns the socket that it reads and writes.
///
/// # Errors
/// What is wrong, on which program, and what helps. The kind is `NotFound` if the program is
/// missing, as it is for a moment while it is being replaced.
pub(super) fn start(
    config: &Arc<ExecConfig>,
    run: Run,
    limit: Duration,
) -> io::Result<(OwnedFd, Program)> {
    let started = check(config).and_then(|()| supervisor::start(config, run, limit));
    started.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        let why = format!("{}: {}", config.program.display(), reason(&error));
        io::Error::new(kind, why)
    })
}

/// Looks whether the program can be executed: the runner that becomes it cannot tell.
fn check(config: &ExecConfig) -> io::Result<()> {
    access(&config.program, AccessFlags::X_OK).map_err(|error| {
        let error = io::Error::from(error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                io::Error::other("the gateway's user may not execute it (chmod a+x lets it)")
            }
            _ => error,
        }
    })
}

impl Program {
    /// Whether the program, which has ended its output, has failed. Logs how. A program that goes
    /// on to run has not.
    pub(super) fn has_failed(&self) -> bool {
        let deadline = Instant::now() + END_WAIT;
        let mut pause = LOOKS.0;
        // Its status is looked at and left: the number of a process that is waited for can become
        // that of another.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            let how = match waitid(Id::Pid(self.pid), flags) {
                Ok(WaitStatus::Exited(_, 0)) => return false,
                Ok(WaitStatus::Exited(_, code)) => format!("exit status {code}"),
                Ok(WaitStatus::Signaled(_, signal, _)) => format!("signal {signal}"),
                Ok(_) if Instant::now() < deadline => {
                    threads::sleep(pause);
                    pause = (2 * pause).min(LOOKS.1);
                    continue;
                }
                _ => return false,
            };
            let name = &self.name;
            warn!(
                "{name} failed with {how}; what it wrote to standard error, if anything, is above"
            );
            return true;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        supervisor::wake();
    }
}
