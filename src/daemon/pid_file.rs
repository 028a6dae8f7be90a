//! The pid file: who runs, locked for as long as it runs.
//!
//! The lock tells, not the number: a file left by a daemon that was killed is taken over, and a
//! number in it that now belongs to another process is never signalled.

use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::daemon::NAME;
use crate::system::{threads, trusted};

/// Longest wait for a daemon to end: the close handshakes, then its programs.
const KILL_WAIT: Duration = Duration::from_secs(30);

/// Longest wait for the signature of a process that takes the file over.
const SIGN_WAIT: Duration = Duration::from_secs(1);

/// Pause between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Longest content read, in bytes.
const MAX_LENGTH: usize = 32;

/// Mode of the file: who can read it can lock it, and keep the daemon from starting.
const FILE_MODE: u32 = 0o600;

/// Tries to lock a file that others are just removing.
const TRIES: usize = 5;

/// A locked pid file, removed at the end.
pub(crate) struct PidFile {
    path: PathBuf,
    /// Locked until it is closed.
    file: File,
    /// It is another process's from now on.
    is_left: bool,
}

impl PidFile {
    /// Takes the file; it is empty until [`PidFile::write`].
    ///
    /// # Errors
    /// [`PidFileError::Taken`] when another instance holds it; as open(2) and flock(2).
    pub(crate) fn lock(path: &Path) -> Result<Self, PidFileError> {
        for _ in 0..TRIES {
            let mut options = File::options();
            options.create(true).truncate(false).mode(FILE_MODE);
            let file = trusted::open(path, options.read(true).write(true), None)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PidFileError::Taken(read(&file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            sign(&file)?;
            // Its last owner may have removed it between the two calls.
            let ours = file.metadata()?.ino();
            if fs::metadata(path).is_ok_and(|there| there.ino() == ours) {
                file.set_len(0)?;
                // One that was there may have another mode; its owner may be another user.
                let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
                let path = path.to_owned();
                return Ok(Self {
                    path,
                    file,
                    is_left: false,
                });
            }
        }
        Err(io::Error::other("it is removed again and again").into())
    }

    /// Writes this process's id.
    ///
    /// # Errors
    /// As write(2).
    pub(crate) fn write(&self) -> io::Result<()> {
        let text = format!("{}\n", std::process::id());
        // At its beginning: a file that another process has passed to us is not empty.
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }

    /// Takes the locked file of the process before us, if it is the one of this path. The lock is
    /// ours from then on, and the file is signed by [`PidFile::take_over`].
    ///
    /// # Errors
    /// As lstat(2) and fstat(2).
    pub(crate) fn taken(path: &Path, file: &File) -> io::Result<Option<Self>> {
        // It is not opened: the user whom the process before us has become may not do that.
        let [there, passed] = [fs::symlink_metadata(path)?, file.metadata()?];
        if (there.dev(), there.ino()) != (passed.dev(), passed.ino()) {
            return Ok(None);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file: file.try_clone()?,
            is_left: false,
        }))
    }

    /// Signs the file of the process before us, and writes this process's id.
    ///
    /// # Errors
    /// As fcntl(2) and write(2).
    pub(crate) fn take_over(&self) -> io::Result<()> {
        sign(&self.file)?;
        self.write()
    }

    /// A second descriptor of the file, for the process after us.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Leaves the file to the process after us, which has it open.
    pub(crate) fn leave(mut self) {
        let _ = fcntl(&self.file, FcntlArg::F_SETLK(&record(F_UNLCK)));
        self.is_left = true;
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        // Where the user may not remove it, at least nobody is named in it.
        let _ = self.file.set_len(0);
        let _ = fs::remove_file(&self.path);
    }
}

/// Stops the daemon that holds the file, and waits for its end. The number in the file counts for
/// nothing: whoever wrote it may have written anything.
///
/// # Errors
/// No such daemon; no right to stop it; it does not stop.
pub(crate) fn kill(path: &Path) -> Result<(), PidFileError> {
    let file = match trusted::open(path, File::options().read(true), None) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PidFileError::NotRunning);
        }
        result => result?,
    };
    if !is_held(&file)? {
        return Err(PidFileError::NotRunning);
    }
    let pid = wait_for_signer(&file)?.filter(|pid| is_this_program(*pid));
    let pid = pid.ok_or(PidFileError::NotOurs)?;
    signal::kill(pid, Signal::SIGTERM).map_err(io::Error::from)?;
    let deadline = Instant::now() + KILL_WAIT;
    while Instant::now() < deadline {
        if !is_held(&file)? {
            return Ok(());
        }
        threads::sleep(LOOK_EVERY);
    }
    Err(PidFileError::Taken(Some(pid.as_raw())))
}

/// Locks the file once more, with the kind of lock that tells who holds it (F_SETLK, fcntl(2)). The
/// other one keeps a second instance out, since this one is lost when this process closes the file
/// anywhere else.
fn sign(file: &File) -> io::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(&record(F_WRLCK)))?;
    Ok(())
}

/// The process that has signed the file, as the kernel knows it.
fn signer(file: &File) -> io::Result<Option<Pid>> {
    let mut found = record(F_RDLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut found))?;
    let is_locked = i32::from(found.l_type) != F_UNLCK && found.l_pid > 1;
    Ok(is_locked.then(|| Pid::from_raw(found.l_pid)))
}

/// The process that has signed the file. One that takes it over signs it a moment after the one
/// before it has left it.
fn wait_for_signer(file: &File) -> io::Result<Option<Pid>> {
    let deadline = Instant::now() + SIGN_WAIT;
    loop {
        let found = signer(file)?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        threads::sleep(LOOK_EVERY);
    }
}

/// A lock of a whole file.
fn record(kind: i32) -> flock {
    flock {
        l_type: kind as i16,
        l_whence: SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Whether a process runs a program of our name: the daemon's own, or another that this file was
/// given.
fn is_this_program(pid: Pid) -> bool {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm"));
    let Ok(found) = name(&pid.to_string()) else {
        return false;
    };
    found.trim_end() == NAME || name("self").is_ok_and(|own| own == found)
}

/// Whether somebody holds the file; if not, we do until it is closed.
fn is_held(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The process the file names; none in a file that is empty or is no pid file.
fn read(file: &File) -> Option<i32> {
    let mut text = [0; MAX_LENGTH];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = str::from_utf8(&text[..length]).ok()?;
    text.trim().parse().ok().filter(|&pid| pid > 1)
}

/// Why a pid file is of no use.
#[derive(Debug)]
pub(crate) enum PidFileError {
    /// Another instance holds it: this process, if it says which.
    Taken(Option<i32>),
    /// Nobody holds it.
    NotRunning,
    /// Somebody else than ouistiti holds it.
    NotOurs,
    /// It cannot be opened, locked or written, or its process not be signalled.
    Io(io::Error),
}

impl From<io::Error> for PidFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(Some(pid)) => write!(f, "another ouistiti is running, process {pid}"),
            Self::Taken(None) => f.write_str("another ouistiti is running"),
            Self::NotOurs => {
                f.write_str("the process that locks it is not ouistiti: nothing is stopped")
            }
            Self::NotRunning => f.write_str("ouistiti is not running"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for PidFileError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beneath::tests::Scratch;

    #[test]
    fn a_second_owner_is_told_who_is_the_first() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        let first = PidFile::lock(&path).expect("nobody holds it");
        let error = PidFile::lock(&path).err().expect("it is held");
        assert!(matches!(error, PidFileError::Taken(None)), "{error}");
        first.write().expect("an open file");
        let error = PidFile::lock(&path).err().expect("it is held");
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(first);
        assert!(!path.exists());
        PidFile::lock(&path).expect("it is free again");
    }

    #[test]
    fn a_file_left_behind_is_taken_over() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        fs::write(&path, "4194304999 is longer than before").expect("a file");
        let file = PidFile::lock(&path).expect("nobody holds it");
        file.write().expect("an open file");
        let expected = format!("{}\n", std::process::id());
        assert_eq!(fs::read_to_string(&path).expect("a file"), expected);
    }

    #[test]
    fn nobody_is_killed_for_a_stale_number() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        assert!(matches!(kill(&path), Err(PidFileError::NotRunning)));
        // Our own: a signal would end this test.
        fs::write(&path, std::process::id().to_string()).expect("a file");
        assert!(matches!(kill(&path), Err(PidFileError::NotRunning)));
    }

    #[test]
    fn a_process_that_does_not_hold_the_file_is_not_killed_for_its_number() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("a process");
        let number = i32::try_from(other.id()).expect("a process id");
        assert!(!is_this_program(Pid::from_raw(number)));
        assert!(is_this_program(Pid::this()));
        fs::write(&path, number.to_string()).expect("a file");
        let file = File::open(&path).expect("a file");
        file.lock().expect("nobody holds it");
        let error = kill(&path).expect_err("it is not the daemon");
        assert!(matches!(error, PidFileError::NotOurs), "{error}");
        assert_eq!(other.try_wait().expect("our own child"), None);
        other.kill().expect("it runs");
        other.wait().expect("our own child");
        drop(file);
    }

    #[test]
    fn nobody_else_may_lock_the_file() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        let mode = || fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        let file = PidFile::lock(&path).expect("nobody holds it");
        assert_eq!(mode(), 0o600);
        drop(file);
        fs::write(&path, "").expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("our own file");
        let _file = PidFile::lock(&path).expect("nobody holds it");
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn what_is_no_process_is_none() {
        let scratch = Scratch::new();
        let path = scratch.0.join("pid");
        for text in ["", "0", "1", "-1", "-5", "x", "99999999999999999999"] {
            fs::write(&path, text).expect("a file");
            let file = File::open(&path).expect("a file");
            assert_eq!(read(&file), None, "{text:?}");
        }
    }
}
