//! The administrator's programs: `init_d`, run before serving to start backends.
//!
//! They run one after the other, by name, with the argument `start`; at the end with `stop`, in the
//! opposite order. What they do wrong is told and changes nothing.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::daemon::{KEEPER, detach, notify, signals, upgrade};
use crate::system::reason::reason;
use crate::system::{runner, threads, trusted};

/// A program that takes longer is left to itself.
const LIMIT: Duration = Duration::from_secs(30);

/// Pause between two looks at a running program.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the names of backups end, and of files that a package manager puts beside the one in use.
const LEFT_OVER: [&str; 13] = [
    "~",
    ".bak",
    ".old",
    ".orig",
    ".rej",
    ".swp",
    ".dpkg-old",
    ".dpkg-new",
    ".dpkg-dist",
    ".dpkg-tmp",
    ".rpmsave",
    ".rpmnew",
    "-opkg",
];

/// Runs every executable of the directory, until a signal to stop waits for us: it is then obeyed
/// once we serve. Call it with signals blocked, before privileges are given up. Returns the
/// programs that were run; one that fails is told in the log.
///
/// # Errors
/// When signals cannot be received.
pub(crate) fn start(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut programs = find(directory);
    let queue = SignalFd::with_flags(&signals::stops(), SfdFlags::SFD_CLOEXEC)?;
    let mut started = 0;
    while started < programs.len() && !comes(&queue, Duration::ZERO)? {
        match run(&programs[started], "start", Some(&queue)) {
            Ok(line) => info!("{line}"),
            Err(line) => warn!("{line}"),
        }
        started += 1;
    }
    programs.truncate(started);
    Ok(programs)
}

/// The programs of the directory, in the order in which they are run. What is wrong with the
/// directory, and which executable does not run for what reason, is told in the log.
pub(crate) fn find(directory: &Path) -> Vec<PathBuf> {
    match read(directory) {
        Ok(programs) => programs,
        Err(error) => {
            warn!(
                "no program of init_d is run: {}: {}",
                directory.display(),
                reason(&error)
            );
            Vec::new()
        }
    }
}

/// Programs run as the starting user, root as a rule: only those that nobody else may change, in a
/// directory that nobody else may write to.
fn read(directory: &Path) -> io::Result<Vec<PathBuf>> {
    trusted::check_path(directory)?;
    let mut programs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_executable =
            |file: fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
        if is_left_over(&path) || !fs::metadata(&path).is_ok_and(is_executable) {
            continue;
        }
        match trusted::check_path(&path) {
            Ok(()) => programs.push(path),
            Err(error) => warn!("{} is not run: {}", path.display(), reason(&error)),
        }
    }
    programs.sort();
    Ok(programs)
}

/// Whether a name is that of a hidden file, or of what an editor or a package manager leaves.
fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '#']) || LEFT_OVER.iter().any(|ending| name.ends_with(ending))
}

/// Runs one program to its end, or until one of the signals in `queue` waits for us. Returns the
/// line that tells of it, as an error if it failed.
pub(crate) fn run(
    program: &Path,
    argument: &str,
    queue: Option<&SignalFd>,
) -> Result<String, String> {
    let name = program.display();
    let start = Instant::now();
    match spawn(program, argument, queue.is_some()).and_then(|child| wait(child, queue)) {
        Ok(Some(status)) if status.success() => Ok(format!("{name} {argument}")),
        Ok(Some(status)) => Err(format!("{name} {argument}: {status}")),
        Ok(None) => Err(format!(
            "{name} {argument}: still running after {} s",
            start.elapsed().as_secs()
        )),
        Err(error) => Err(format!("cannot run {name} {argument}: {}", reason(&error))),
    }
}

/// Nothing of ours is passed on, for what they leave running would hold it: no terminal, no pipe to
/// the caller of -D. Nor is a signal blocked in them: where it is `blocked` in us, the child is
/// first this program again, which unblocks it, lest a signal of that moment end us.
fn spawn(program: &Path, argument: &str, blocked: bool) -> io::Result<Child> {
    let mut command = match blocked {
        true => runner::command(program),
        false => Command::new(program),
    };
    command
        .arg(argument)
        .env_remove(detach::VARIABLE)
        .env_remove(notify::VARIABLE)
        .env_remove(KEEPER)
        .env_remove(upgrade::VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn()
}

/// Its end, if that comes within the limit and before a control signal.
fn wait(mut child: Child, queue: Option<&SignalFd>) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        match queue {
            Some(queue) if comes(queue, LOOK_EVERY)? => return Ok(None),
            Some(_) => {}
            None => threads::sleep(LOOK_EVERY),
        }
    }
}

/// Whether a control signal waits, or comes within `limit`. It stays where it is.
fn comes(queue: &SignalFd, limit: Duration) -> io::Result<bool> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(queue.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, limit)? > 0)
}
