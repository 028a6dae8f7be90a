//! Another binary takes over (USR2): no WebSocket is dropped and no client refused.
//!
//! The daemon starts the program that is now on disk, and passes it the listening sockets
//! ([`Attempt`]). The new process binds what is new, and accepts beside the old one
//! ([`Predecessor`]). If it still lives [`TRIAL`] later it is the daemon: the pid file becomes its
//! own, and the old process serves its clients to their end (`leaving`). If not, the old one goes
//! on as if nothing had been.

mod attempt;
mod link;
mod predecessor;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use attempt::{Attempt, Passed, Successor};
pub(crate) use link::{Link, Word};
pub(crate) use predecessor::Predecessor;

use crate::daemon::{KEEPER, detach};
use crate::system::passing;
use crate::system::privileged::{self, REQUEST};

/// Set for a process that takes over from another.
pub(crate) const VARIABLE: &str = "OUISTITI_UPGRADES";

/// Longest start of a new process, and how long it has to live before it is trusted.
const START: Duration = Duration::from_secs(60);
const TRIAL: Duration = Duration::from_secs(5);

/// Longest list of what is passed, in bytes.
const MAX_LIST: usize = 32 << 10;

/// The daemon's own program, and how it was started.
pub(crate) struct Program {
    /// Where it is on disk, or another by now.
    pub(crate) path: PathBuf,
    /// Without the name.
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// Finds this process's own. Call it at the start: afterwards the file may be another's.
    ///
    /// # Errors
    /// As readlink(2) on /proc/self/exe.
    pub(crate) fn find() -> io::Result<Self> {
        Ok(Self {
            path: std::env::current_exe()?,
            arguments: std::env::args_os().skip(1).collect(),
        })
    }

    /// Starts it, with a socket as its standard input, in a process group of its own: the keys of a
    /// terminal reach the first process alone, which passes them on.
    ///
    /// # Errors
    /// As socketpair(2), fork(2) and execve(2).
    fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .env(VARIABLE, "1")
            .env_remove(detach::VARIABLE)
            .env_remove(KEEPER)
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .process_group(0)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok((child, ours))
    }
}

/// The keeper's part: starts the program for a daemon without privileges.
pub(crate) struct Starter {
    program: Program,
    /// The processes it has started, until their end has been seen.
    started: Vec<Child>,
}

impl Starter {
    /// Nothing is started yet.
    pub(crate) fn new(program: Program) -> Self {
        let started = Vec::new();
        Self { program, started }
    }

    /// Answers a request to start the program; `None` if it is another request.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub(crate) fn answer(
        &mut self,
        to: &UnixStream,
        request: [u8; REQUEST],
    ) -> io::Result<Option<()>> {
        if request != privileged::START {
            return Ok(None);
        }
        self.started
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        match self.program.start() {
            Ok((child, link)) => {
                self.started.push(child);
                passing::send(to, &request, &[link.as_fd()])?;
            }
            Err(_) => passing::send(to, &request, &[])?,
        }
        Ok(Some(()))
    }
}
