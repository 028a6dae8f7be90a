//! A child process under test: its log, its memory, its descriptors, its end.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::gateway::is_emulated;

/// How long any single wait may take before a test gives up. Far above what a loaded machine needs:
/// it only ends tests that would never end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds, looking every few milliseconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Copies a file by another process: a program that another test's thread starts at that moment
/// would inherit the descriptor, and the file could not be executed (execve(2), ETXTBSY).
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{}", to.display());
}

/// Prints what a test has measured. `println` would not do: its text is hidden if the test passes.
pub(crate) fn figure(text: impl Display) {
    let thread = std::thread::current();
    let line = format!("figure: {}: {text}\n", thread.name().unwrap_or("a test"));
    let _ = std::io::stdout().write_all(line.as_bytes());
}

/// Whether this machine lets a test do what needs root; says so if not.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        figure("NOT RUN: it needs root");
    }
    root
}

/// A terminal: its master, which no child gets, and the path of its other end.
pub(crate) fn terminal() -> (nix::pty::PtyMaster, String) {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).expect("a terminal");
    nix::pty::grantpt(&master).expect("our own terminal");
    nix::pty::unlockpt(&master).expect("our own terminal");
    let path = nix::pty::ptsname_r(&master).expect("it has a name");
    (master, path)
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
        // Whatever the umask: the daemon runs no program that others may have put there.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("our own directory");
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

    /// Waits for a line of the log that satisfies `wanted`, and returns it; or None when the
    /// process ended without one.
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

    /// All it has logged when a line with this text has come. A line is written when what it tells
    /// of is over, which may be after the answer.
    pub(crate) fn log_until(&self, text: &str) -> String {
        self.find_line(|line| line.contains(text));
        self.log()
    }

    /// All it has logged so far: what comes before a line that was waited for is there.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its number.
    #[cfg(feature = "exec")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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

    /// Memory that is its own and resident, in KiB (`RssAnon`, proc(5)); 0 in an emulator, where it
    /// would be the emulator's.
    pub(crate) fn memory(&self) -> usize {
        if is_emulated("its memory is the emulator's, and is not looked at") {
            return 0;
        }
        self.status_field("RssAnon:")
    }

    /// The most memory that has been resident, in KiB (`VmHWM`, proc(5)).
    #[cfg(feature = "argon2id")]
    pub(crate) fn peak(&self) -> usize {
        self.status_field("VmHWM:")
    }

    /// Memory that is its own, in KiB: the anonymous part of its proportional set size (`Pss_Anon`,
    /// proc_pid_smaps(5)). Code that is read from the file for the first time is no growth. 0 in an
    /// emulator.
    pub(crate) fn anonymous(&self) -> usize {
        if is_emulated("its memory is the emulator's, and is not looked at") {
            return 0;
        }
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).expect("the process is there");
        field(&text, "Pss_Anon:")
    }

    /// Processor time it has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(path).expect("the process is there");
        // Fields 14 and 15, behind the name, which may hold anything: user and system, in ticks of
        // 10 ms on every machine of today.
        let fields = text.rsplit(") ").next().expect("a state").split(' ');
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>());
        Duration::from_millis(10 * ticks.map(|ticks| ticks.expect("a number")).sum::<u64>())
    }

    fn status_field(&self, name: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        field(&status, name)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().expect("a process id"))
    }
}

/// The number that stands behind a name in a file of proc(5).
fn field(text: &str, name: &str) -> usize {
    let line = text.lines().find(|line| line.starts_with(name));
    let number = line.expect("a known field").split_whitespace().nth(1);
    number.expect("a value").parse().expect("a number")
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
