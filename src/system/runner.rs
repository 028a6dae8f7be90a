//! Ground: starts a program that has no signal blocked.
//!
//! The daemon blocks signals in all its threads, and a child inherits that. The child is therefore
//! first this program again, the runner, which unblocks them, sets limits and becomes the program
//! (execve(2)): what else runs between fork(2) and execve(2) needs unsafe code.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};

use crate::system::reason::reason;

/// This process's own program, even if its file has been replaced since.
pub(crate) const OURSELVES: &str = "/proc/self/exe";

/// Set for a runner: what it does before it becomes the program.
const VARIABLE: &str = "OUISTITI_RUNS";

/// The variable's value where nothing is limited.
const UNLIMITED: &str = "1";

/// The runner's first argument, as ps(1) shows it until it is the program.
const NAME: &str = "ouistiti";

/// Exit code of a program that cannot be run, as sh(1) has it.
const NOT_RUN: u8 = 126;

/// What a program of the daemon may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Processes and threads of its user, all together (RLIMIT_NPROC); `None` leaves the limit.
    pub(crate) processes: Option<u64>,
    /// Descriptors (RLIMIT_NOFILE); `None` leaves the limit.
    pub(crate) descriptors: Option<rlim_t>,
}

/// Returns the command for a program with the environment of this process.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(OURSELVES);
    command.arg0(NAME).arg(program).env(VARIABLE, UNLIMITED);
    command
}

/// Returns the command for a program with an empty environment and these limits. When the thread
/// that starts it ends, or this process is killed, the program gets TERM.
pub(crate) fn bound_command(program: impl AsRef<OsStr>, limits: Limits) -> Command {
    let none = || "-".to_owned();
    let processes = limits
        .processes
        .map_or_else(none, |limit| limit.to_string());
    let descriptors = limits
        .descriptors
        .map_or_else(none, |limit| limit.to_string());
    let words = format!("{} {processes} {descriptors}", std::process::id());
    let mut command = Command::new(OURSELVES);
    command.arg0(NAME).arg(program);
    command.env_clear().env(VARIABLE, words);
    command
}

/// Becomes the program, in a process that was made for that. Returns the exit code if it cannot;
/// `None` in any other process.
pub(crate) fn become_program() -> Option<ExitCode> {
    let asked = std::env::var(VARIABLE).ok()?;
    let mut words = std::env::args_os().skip(1);
    let program = words.next()?;
    let error = match prepare(&asked) {
        Ok(()) => Command::new(&program)
            .args(words)
            .env_remove(VARIABLE)
            .exec(),
        Err(error) => error,
    };
    eprintln!("cannot run {}: {}", program.display(), reason(&error));
    Some(ExitCode::from(NOT_RUN))
}

/// Does what the variable asks for.
fn prepare(asked: &str) -> io::Result<()> {
    SigSet::all().thread_unblock()?;
    if let [parent, processes, descriptors] = asked.split(' ').collect::<Vec<_>>()[..] {
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        // The parent may have ended before.
        if parent.parse() != Ok(getppid().as_raw()) || getppid() == Pid::from_raw(1) {
            return Err(io::Error::other("the daemon has ended"));
        }
        limit(Resource::RLIMIT_NPROC, processes)?;
        limit(Resource::RLIMIT_NOFILE, descriptors)?;
    }
    Ok(())
}

/// Lowers a limit, if there is a number, and never raises it.
fn limit(resource: Resource, number: &str) -> io::Result<()> {
    // A number that rlim_t cannot hold is more than any limit.
    let Ok(number) = number.parse::<rlim_t>() else {
        return Ok(());
    };
    let (_, most) = getrlimit(resource)?;
    let number = number.min(most);
    let hard = match resource {
        Resource::RLIMIT_NPROC => number,
        _ => most,
    };
    Ok(setrlimit(resource, number, hard)?)
}
