//! The keeper: a second process of this program, which keeps the privileges that the daemon gives
//! up.
//!
//! It does three things, on request: it stops the programs of `init_d`, so that `stop` may undo
//! what `start` did, reads a renewed key or file of users for the daemon, and starts the daemon's
//! program anew, with the arguments of its start. A request has five bytes and no other effect; the end of the socket
//! alone ends the keeper and stops nothing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use log::{info, warn};
use nix::sys::prctl;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::daemon::upgrade::{self, Program, Starter};
use crate::daemon::{KEEPER, NAME, detach, init_d, signals};
use crate::system::privileged::{self, REQUEST};
use crate::system::reason::reason;
use crate::system::runner;

/// The request to stop the programs.
const STOP: [u8; REQUEST] = *b"stop\n";

/// Before the keeper's report of a program that failed.
const FAILED: char = '!';

/// The keeper of this daemon; dropping it stops the programs that were run for it.
pub(crate) struct Keeper {
    process: Option<Child>,
    requests: UnixStream,
    /// We have run the programs; else the process before us has, and may go on.
    are_ours: bool,
}

impl Keeper {
    /// Leaves a keeper behind. Signals are blocked in it too, from its first moment: one to all of
    /// the daemon's processes, or ^C, is for the daemon.
    ///
    /// `are_ours` says that the programs were run by this process: a start that fails stops them.
    ///
    /// # Errors
    /// When the process cannot be made.
    pub(crate) fn leave_behind(
        programs: &[PathBuf],
        files: &[PathBuf],
        ourselves: &Program,
        are_ours: bool,
    ) -> io::Result<Self> {
        let (requests, theirs) = UnixStream::pair()?;
        let process = Command::new(detach::OURSELVES)
            .arg0(NAME)
            .args(programs)
            .args(files)
            .arg(&ourselves.path)
            .args(&ourselves.arguments)
            .env(KEEPER, format!("{} {}", programs.len(), files.len()))
            .env_remove(detach::VARIABLE)
            .env_remove(upgrade::VARIABLE)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        privileged::set_reader(requests.try_clone()?, files)?;
        let process = Some(process);
        Ok(Self {
            process,
            requests,
            are_ours,
        })
    }

    /// Has the programs stopped.
    pub(crate) fn stop(&mut self) {
        if let Err(error) = self.requests.write_all(&STOP) {
            warn!("cannot stop the programs of init_d: {}", reason(&error));
        }
    }

    /// Waits for nothing: the keeper goes on alone.
    pub(crate) fn leave(mut self) {
        self.process = None;
    }

    /// Waits until the programs have stopped, and tells how they did.
    pub(crate) fn wait(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let report = process.stdout.take().map(BufReader::new);
        for line in report.into_iter().flat_map(BufRead::lines).flatten() {
            match line.strip_prefix(FAILED) {
                Some(line) => warn!("{line}"),
                None => info!("{line}"),
            }
        }
        let _ = process.wait();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.process.is_some() && self.are_ours {
            // A start has failed after the programs were run.
            self.stop();
            self.wait();
        }
    }
}

/// The whole life of the keeper, and of what is to become a program; `None` in any other process.
pub fn keep() -> Option<ExitCode> {
    if let Some(code) = runner::become_program() {
        return Some(code);
    }
    let counts = std::env::var(KEEPER).ok()?;
    let mut counts = counts.split(' ').map(|count| count.parse().unwrap_or(0));
    let (programs, files) = (counts.next().unwrap_or(0), counts.next().unwrap_or(0));
    let done = attend(programs, files);
    Some(ExitCode::from(u8::from(done.is_err())))
}

/// Does what comes. So many arguments are programs, so many files; the rest is the daemon's own
/// program with its arguments.
fn attend(programs: usize, files: usize) -> io::Result<()> {
    let _ = prctl::set_name(c"ouistiti-keeper");
    let mut arguments = std::env::args_os().skip(1);
    let mut paths =
        |count| -> Vec<_> { arguments.by_ref().take(count).map(PathBuf::from).collect() };
    let (programs, files) = (paths(programs), paths(files));
    let mut ourselves = Starter::new(Program {
        path: arguments.next().map(PathBuf::from).unwrap_or_default(),
        arguments: arguments.collect(),
    });
    let mut requests = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut request = [0; REQUEST];
    // No more than one request is read at a time: the daemon could be made to write anything.
    while requests.read_exact(&mut request).is_ok() {
        if request == STOP {
            return stop(&programs);
        }
        if ourselves.answer(&requests, request)?.is_none()
            && privileged::answer(&mut requests, request, &files)?.is_none()
        {
            break;
        }
    }
    Ok(())
}

fn stop(programs: &[PathBuf]) -> io::Result<()> {
    // The programs must have no signal blocked; those that wait would end us instead.
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let waiting = SignalFd::with_flags(&signals::blocked(), flags)?;
    while waiting.read_signal()?.is_some() {}
    signals::unblock()?;
    for program in programs.iter().rev() {
        let line = match init_d::run(program, "stop", None) {
            Ok(line) => line,
            Err(line) => format!("{FAILED}{line}"),
        };
        // Nobody listens any more if the daemon was killed: they are stopped all the same.
        let _ = writeln!(io::stdout(), "{}", line.replace('\n', " "));
    }
    Ok(())
}
