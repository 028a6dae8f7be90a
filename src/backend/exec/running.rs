//! Running: one program, from its start to the end of its process group.

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{debug, warn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::output::Lines;
use super::{Program, Run, processes};
use crate::config::ExecConfig;
use crate::system::reason::reason;
use crate::system::runner;

/// How long a program may take to end after TERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// Most bytes of standard error that are read at once.
const READ: usize = 4096;

/// A program, as the supervisor sees it.
pub(super) struct Running {
    /// What is run.
    pub(super) config: Arc<ExecConfig>,
    child: Child,
    pid: Pid,
    name: String,
    is_over: Arc<AtomicBool>,
    /// Its standard error, until everybody who has it has closed it.
    errors: Option<PipeReader>,
    lines: Lines,
    end: End,
}

/// How far the end of a program has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its client needs it.
    Needed,
    /// Its process group was sent TERM at this time.
    Asked(Instant),
    /// Its process group was sent KILL.
    Killed,
}

impl Running {
    /// Starts a program in a process group of its own. Returns also what its client gets: a socket
    /// and the handle that ends it.
    ///
    /// # Errors
    /// As pipe(2), socketpair(2), fork(2) and chdir(2).
    pub(super) fn start(
        config: &Arc<ExecConfig>,
        run: Run,
    ) -> io::Result<(Self, (OwnedFd, Program))> {
        let (socket, theirs) = UnixStream::pair()?;
        let (errors, their_errors) = io::pipe()?;
        fcntl(&errors, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = runner::bound_command(&config.program, processes::limits());
        command
            .args(&config.arguments)
            .envs(run.environment)
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(their_errors)
            .process_group(0);
        if let Some(directory) = &config.directory {
            command.current_dir(directory);
        }
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let is_over = Arc::new(AtomicBool::new(false));
        let name = format!("{}: {}", run.client, short(config));
        debug!("{name} runs as process {pid}");
        let program = Program {
            pid,
            name: name.clone(),
            is_over: Arc::clone(&is_over),
        };
        let running = Self {
            config: Arc::clone(config),
            child,
            pid,
            lines: Lines::new(name.clone()),
            name,
            is_over,
            errors: Some(errors),
            end: End::Needed,
        };
        Ok((running, (OwnedFd::from(socket), program)))
    }

    /// Its standard error, to wait for.
    pub(super) fn errors(&self) -> Option<BorrowedFd<'_>> {
        self.errors.as_ref().map(AsFd::as_fd)
    }

    /// Whether its end is under way.
    pub(super) fn is_ending(&self) -> bool {
        self.end != End::Needed
    }

    /// Logs what there is of its standard error.
    pub(super) fn read_errors(&mut self, now: Instant) {
        let Some(errors) = &mut self.errors else {
            return;
        };
        let mut bytes = [0; READ];
        match errors.read(&mut bytes) {
            Ok(0) => self.errors = None,
            Ok(count) => self.lines.feed(&bytes[..count], now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.errors = None,
        }
    }

    /// Goes on with its end, if its client needs it no longer or `stop` is set; `kill` leaves it no
    /// time. Returns true once nothing is left of it.
    pub(super) fn go_on(&mut self, now: Instant, stop: bool, kill: bool) -> bool {
        if self.end == End::Needed && (stop || kill || self.is_over.load(Ordering::Acquire)) {
            self.signal(Signal::SIGTERM);
            self.end = End::Asked(now);
        }
        if let End::Asked(since) = self.end {
            let is_late = now.saturating_duration_since(since) >= PATIENCE;
            // Its number stands for its group as long as it is not waited for. Standard error that
            // nobody has open any more tells that nobody else of the group is left, but one that
            // has closed it.
            let is_gone = self.errors.is_none() && self.has_ended();
            if is_gone || is_late || kill {
                if is_late && !self.has_ended() {
                    let (name, seconds) = (&self.name, PATIENCE.as_secs());
                    warn!("{name} did not end within {seconds} s after TERM, and gets KILL");
                }
                self.signal(Signal::SIGKILL);
                self.end = End::Killed;
            }
        }
        self.end == End::Killed && self.is_reaped(now)
    }

    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(self.pid), flags), Ok(WaitStatus::StillAlive))
    }

    /// Waits for the process if it has ended.
    fn is_reaped(&mut self, now: Instant) -> bool {
        match self.child.try_wait() {
            Ok(None) => return false,
            Ok(Some(status)) => debug!("{} ended: {status}", self.name),
            Err(error) => debug!("{} is lost: {}", self.name, reason(&error)),
        }
        // Its last words, as far as they fill the pipe.
        while self.errors.is_some() && self.lines_left() {
            self.read_errors(now);
        }
        self.lines.finish(now);
        true
    }

    /// Whether there is something to read of its standard error.
    fn lines_left(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let Some(errors) = self.errors() else {
            return false;
        };
        let mut fds = [PollFd::new(errors, PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            // It has become another user's, by a program with the right to do so.
            Err(error) => {
                let error = io::Error::from(error);
                warn!("{} cannot be sent {signal}: {}", self.name, reason(&error));
            }
        }
    }
}

/// The program's name without its directory.
fn short(config: &ExecConfig) -> String {
    let name = config.program.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
