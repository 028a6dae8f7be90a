//! Leaving the terminal without leaving the caller in the dark (`-D`).
//!
//! The process that was called starts this program once more, in a session of its own, and waits at
//! the other end of a pipe: for the word that it serves, or for its end. Starting anew instead of
//! fork(2) keeps the daemon free of unsafe code.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

pub(crate) use crate::system::runner::OURSELVES;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

/// Set for the process that is to detach, by the one that was called.
pub(crate) const VARIABLE: &str = "OUISTITI_DETACHED";

/// What the daemon says when it serves.
const READY: &[u8] = b"ready\n";

/// Which of the two processes this is.
pub(crate) enum Role {
    /// The one that was called: it ends now, with this exit code.
    Caller(u8),
    /// The one that goes on.
    Daemon(Ready),
}

/// Starts the daemon and waits until it serves or has failed; in the daemon itself, begins a
/// session of its own. Its errors go to the caller's terminal until [`Ready::tell`].
///
/// # Errors
/// As fork(2) and execve(2); when there is no /dev/null to turn to later.
pub(crate) fn detach() -> io::Result<Role> {
    if std::env::var_os(VARIABLE).is_none() {
        return start().map(Role::Caller);
    }
    // It fails only in a process that leads its group, as one started by hand does.
    let _ = setsid();
    // Started as /proc/self/exe, it would be called `exe` in a list of processes.
    let _ = nix::sys::prctl::set_name(c"ouistiti");
    let null = File::options().read(true).write(true).open("/dev/null")?;
    Ok(Role::Daemon(Ready(null)))
}

/// The exit code: 0 once the daemon serves, else the daemon's own.
fn start() -> io::Result<u8> {
    let mut arguments = std::env::args_os();
    let mut command = Command::new(OURSELVES);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string()) {
        // Listening sockets that are meant for us are meant for the daemon (`inherited`).
        command.env_remove("LISTEN_PID");
    }
    let mut daemon = command
        .args(arguments)
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(pipe) = daemon.stdout.take() {
        pipe.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(0);
    }
    let status = daemon.wait()?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) if code != 0 => Ok(code),
        _ => {
            let reason = format!("the daemon ended before it served: {status}");
            Err(io::Error::other(reason))
        }
    }
}

/// The daemon's word to its caller, still to be said.
pub(crate) struct Ready(File);

impl Ready {
    /// Lets the caller go, and the terminal too.
    ///
    /// # Errors
    /// As dup2(2).
    pub(crate) fn tell(self) -> io::Result<()> {
        let Self(null) = self;
        let mut pipe = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        // A caller that did not wait is no reason to stop.
        let _ = pipe.write_all(READY);
        Ok(())
    }
}
