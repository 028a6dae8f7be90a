//! The administrator's programs: `init_d`, run before serving to start backends.
//!
//! They run one after the other, by name, with the argument `start`; at the end with
//! `stop`, in the opposite order. What they do wrong is told and changes nothing.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};

/// A program that takes longer is left to itself.
const LIMIT: Duration = Duration::from_secs(30);

/// Pause between two looks at a running program.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Programs that have been started; dropping it stops them.
pub struct Programs(Vec<PathBuf>);

impl Programs {
    /// Runs every executable of the directory.
    ///
    /// # Errors
    /// When the directory cannot be read. A program that fails is told in the log.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let mut programs = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let executable =
                |file: fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
            if fs::metadata(&path).is_ok_and(executable) {
                programs.push(path);
            }
        }
        programs.sort();
        for program in &programs {
            run(program, "start");
        }
        Ok(Self(programs))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // What this thread blocks, its children would block too.
        let _ = super::orders().thread_unblock();
        for program in self.0.iter().rev() {
            run(program, "stop");
        }
    }
}

fn run(program: &Path, argument: &str) {
    let name = program.display();
    // Nothing of ours is passed on, for what they leave running would hold it: no terminal,
    // no pipe to the caller of -D.
    let spawned = Command::new(program)
        .arg(argument)
        .env_remove(super::detach::VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned.and_then(wait) {
        Ok(Some(status)) if status.success() => info!("{name} {argument}"),
        Ok(Some(status)) => warn!("{name} {argument}: {status}"),
        Ok(None) => warn!(
            "{name} {argument}: still running after {} s",
            LIMIT.as_secs()
        ),
        Err(error) => warn!("cannot run {name} {argument}: {error}"),
    }
}

/// Its end, if that comes within the limit.
fn wait(mut child: Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(LOOK_EVERY);
    }
}
