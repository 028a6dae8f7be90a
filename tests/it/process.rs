//! A child process under test: its log, its memory, its descriptors, its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::gateway::is_emulated;

/// How long any single wait may take before a test gives up. Far above what a
/// loaded machine needs: it only ends tests that would never end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds, looking every few milliseconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory that is gone when the test is.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// Makes an empty directory that no other test has.
    pub(crate) fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ouistiti-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        TempDir(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory left behind in the system's temporary place harms no one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running program whose standard error is collected line by line.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    news: Receiver<()>,
}

impl Process {
    /// Starts `command` with its standard error collected.
    pub(crate) fn start(command: &mut Command) -> Process {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, news) = channel();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n') {
                let Ok(line) = line else { break };
                lines
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&line).into_owned());
                if tell.send(()).is_err() {
                    break;
                }
            }
        });
        Process { child, log, news }
    }

    /// Waits for a line of the log that satisfies `wanted`, and returns it; or
    /// None when the process ended without one.
    pub(crate) fn find_line(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self
                .log
                .lock()
                .unwrap()
                .iter()
                .find(|line| wanted(line))
                .cloned();
            if found.is_some() {
                return found;
            }
            match self
                .news
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self
                        .log
                        .lock()
                        .unwrap()
                        .iter()
                        .find(|line| wanted(line))
                        .cloned();
                }
                Err(RecvTimeoutError::Timeout) => panic!("no such line in:\n{}", self.log()),
            }
        }
    }

    /// All it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process is there");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process to end", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Waits for its end and for the last of its log: exit code and log.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        let status = self.wait();
        while self.news.recv_timeout(DEADLINE).is_ok() {}
        (status.code(), self.log())
    }

    /// Number of descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path)
            .expect("the process is there")
            .count()
    }

    /// Number of threads it has.
    pub(crate) fn threads(&self) -> usize {
        self.status_field("Threads:")
    }

    /// Memory that is its own and resident, in KiB (`RssAnon`, proc(5)); 0 in an
    /// emulator, where it would be the emulator's.
    pub(crate) fn memory(&self) -> usize {
        if is_emulated("its memory is the emulator's, and is not looked at") {
            return 0;
        }
        self.status_field("RssAnon:")
    }

    /// Lets it open descriptors below this number only (prlimit(1)).
    pub(crate) fn limit_descriptors(&self, limit: u64) {
        let pid = self.child.id().to_string();
        let limit = format!("--nofile={limit}:{limit}");
        let status = Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        assert!(status.expect("prlimit of util-linux").success());
    }

    fn status_field(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a known field");
        let number = line.split_whitespace().nth(1).expect("a value");
        number.parse().expect("a number")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- the process logged --\n{}\n--", self.log());
        }
    }
}
