//! Where log lines go: the log daemon, a file or stderr. Which there are is `logging`'s.
//!
//! None of them is ever waited for; the log daemon is found again when it was restarted.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, fchown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::calendar;
use common::syslog::SyslogLine;
use log::Level;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::unistd::Uid;
use syslog::{LogFormat, LoggerBackend, Severity};

use crate::system::trusted;

/// Where the log daemon listens.
const SYSLOG_SOCKET: &str = "/dev/log";
/// Time between two attempts to reach a log daemon that is not there.
const RETRY: Duration = Duration::from_secs(1);
/// Name in front of each line.
const PROGRAM: &str = "ouistiti";
/// Standard error, to be opened anew (proc(5)).
const STDERR: &str = "/proc/self/fd/2";
/// Mode of a new log file: names of services and addresses are not for everybody.
const FILE_MODE: u32 = 0o640;

/// Where the log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The log daemon; stderr as long as it cannot be reached.
    Syslog,
    /// The end of a file.
    File(PathBuf),
    /// Standard error, for a daemon in the foreground.
    Stderr,
}

/// A destination, opened.
pub(crate) enum Sink {
    Syslog(Syslog),
    File(File),
    /// A terminal is opened anew.
    Stderr(Option<File>),
    /// Standard error, read by journald.
    Journal,
}

impl Sink {
    /// A file that is made here becomes that of `owner`.
    ///
    /// # Errors
    /// As open(2) on a file.
    pub(crate) fn open(destination: Destination, owner: Option<Uid>) -> io::Result<Self> {
        Ok(match destination {
            Destination::Syslog => Self::Syslog(Syslog::new(Path::new(SYSLOG_SOCKET))),
            Destination::File(path) => Self::File(open_file(&path, owner)?),
            // One that shows nothing more looks as if it took part of a line, and a write waits.
            Destination::Stderr if io::stderr().is_terminal() => Self::Stderr(open_terminal().ok()),
            Destination::Stderr if is_journal() => Self::Journal,
            Destination::Stderr => Self::Stderr(None),
        })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// As write(2); the line is lost.
    pub(crate) fn write(&mut self, level: Level, text: &str) -> io::Result<()> {
        match self {
            Self::Syslog(syslog) => match syslog.write(level, text) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => to_stderr(level, text),
                written => written,
            },
            Self::File(file) => {
                let now = SystemTime::now();
                let line = format!("{} {} {text}\n", timestamp(now), name(level));
                write_now(&*file, &line)
            }
            Self::Stderr(Some(terminal)) => write_now(&*terminal, &plain(level, text)),
            Self::Stderr(None) => to_stderr(level, text),
            Self::Journal => {
                let severity = severity(level) as u8;
                write_now(io::stderr(), &format!("<{severity}>{text}\n"))
            }
        }
    }
}

/// Opens the terminal anew: while it shows nothing, a write must not wait.
fn open_terminal() -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = File::options();
    options.append(true).custom_flags(flags.bits()).open(STDERR)
}

/// Makes the file, which becomes that of `owner`, or opens the one that is there.
fn open_file(path: &Path, owner: Option<Uid>) -> io::Result<File> {
    let mut options = File::options();
    options.append(true).mode(FILE_MODE);
    match trusted::open(path, options.create_new(true), owner) {
        Ok(file) => {
            if let Some(owner) = owner {
                // Without the right to it, it can be opened anew at a start only.
                let _ = fchown(&file, Some(owner.as_raw()), None);
            }
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = trusted::open(path, options.create_new(false), owner)?;
            if ends_within_a_line(path) {
                // On a full disk the lines go missing all the same.
                let _ = write_now(&file, "\n");
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// Whether the power failed, or a disk was full, while the last line of a file was written. A file
/// that cannot be read is taken to end with its line.
fn ends_within_a_line(path: &Path) -> bool {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW;
    let last = || -> io::Result<u8> {
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits())
            .open(path)?;
        let meta = file.metadata()?;
        let mut last = [b'\n'];
        if meta.is_file() && meta.len() > 0 {
            file.read_exact_at(&mut last, meta.len() - 1)?;
        }
        Ok(last[0])
    };
    last().is_ok_and(|byte| byte != b'\n')
}

fn to_stderr(level: Level, text: &str) -> io::Result<()> {
    write_now(io::stderr(), &plain(level, text))
}

/// Whether journald reads our standard error (JOURNAL_STREAM of systemd.exec(5)): it knows our
/// name, and takes a line's severity from its beginning (sd-daemon(3)).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(io::stderr()).is_ok_and(|own| stream == format!("{}:{}", own.st_dev, own.st_ino))
}

/// A line without its time.
fn plain(level: Level, text: &str) -> String {
    match level {
        Level::Info => format!("{PROGRAM}: {text}\n"),
        _ => format!("{PROGRAM}: {}: {text}\n", name(level)),
    }
}

/// Writes a line unless that would have to wait: everybody who logs would wait behind it.
fn write_now(mut to: impl Write + AsFd, line: &str) -> io::Result<()> {
    let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
    // A pipe that is ready takes a whole line (pipe(7)).
    match poll(&mut fds, PollTimeout::ZERO)? {
        0 => Err(ErrorKind::WouldBlock.into()),
        _ => to.write_all(line.as_bytes()),
    }
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}

/// Date and time in UTC (RFC 3339), by the proleptic Gregorian calendar.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = calendar::date(i64::try_from(days).unwrap_or(0));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The log daemon behind its socket: reached again when it was restarted, never waited for.
pub(crate) struct Syslog {
    path: PathBuf,
    backend: Option<LoggerBackend>,
    /// When the last try to reach it failed.
    failed: Option<Instant>,
}

impl Syslog {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            backend: None,
            failed: None,
        }
    }

    /// # Errors
    /// `WouldBlock` when its queue is full; anything else when it cannot be reached.
    fn write(&mut self, level: Level, text: &str) -> io::Result<()> {
        match self.send(level, text) {
            // It went since the last line, and may be back.
            Err(error) if error.kind() != ErrorKind::WouldBlock && self.failed.is_none() => {
                self.backend = None;
                self.send(level, text)
            }
            sent => sent,
        }
    }

    fn send(&mut self, level: Level, text: &str) -> io::Result<()> {
        let backend = match &mut self.backend {
            Some(backend) => backend,
            None => {
                if self.failed.is_some_and(|failed| failed.elapsed() < RETRY) {
                    return Err(ErrorKind::NotConnected.into());
                }
                self.failed = Some(Instant::now());
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect(&self.path)?;
                self.failed = None;
                self.backend.insert(LoggerBackend::Unix(socket))
            }
        };
        Line.format(backend, severity(level), text)
            .map_err(|error| match error {
                syslog::Error::Write(error) | syslog::Error::Io(error) => error,
                other => io::Error::other(other.to_string()),
            })
    }
}

/// The line that the log daemon reads; a process with threads may not ask for the local time, so
/// that the crate's own formats are of no use.
struct Line;

impl LogFormat<&str> for Line {
    fn format<W: Write>(&self, to: &mut W, severity: Severity, text: &str) -> syslog::Result<()> {
        let line = SyslogLine {
            severity: severity as u8,
            program: PROGRAM,
            // It changes when the daemon detaches.
            pid: process::id(),
            text,
        };
        write!(to, "{line}").map_err(syslog::Error::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beneath::tests::Scratch;
    use std::fs;

    fn daemon(path: &Path) -> UnixDatagram {
        let daemon = UnixDatagram::bind(path).expect("a free path");
        let limit = Some(Duration::from_secs(10));
        daemon.set_read_timeout(limit).expect("a timeout");
        daemon
    }

    fn received(daemon: &UnixDatagram) -> String {
        let mut line = [0; 2048];
        let length = daemon.recv(&mut line).expect("a line");
        String::from_utf8_lossy(&line[..length]).into_owned()
    }

    #[test]
    fn a_line_reaches_the_log_daemon_with_its_priority() {
        let scratch = Scratch::new();
        let daemon = daemon(&scratch.0.join("log"));
        let mut syslog = Syslog::new(&scratch.0.join("log"));
        syslog.write(Level::Warn, "ws_chat is gone").expect("sent");
        let line = received(&daemon);
        // 3 (daemon) * 8 + 4 (warning): RFC 3164, section 4.1.1.
        let wanted = format!("<28>ouistiti[{}]: ws_chat is gone", process::id());
        assert_eq!(line, wanted);
    }

    #[test]
    fn a_restarted_log_daemon_is_found_again() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let mut syslog = Syslog::new(&path);
        let first = daemon(&path);
        syslog.write(Level::Info, "one").expect("sent");
        drop(first);
        fs::remove_file(&path).expect("it was bound");
        let second = daemon(&path);
        syslog.write(Level::Info, "two").expect("sent");
        assert!(received(&second).ends_with(": two"));
    }

    #[test]
    fn a_missing_log_daemon_is_tried_once_a_second() {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let mut syslog = Syslog::new(&path);
        assert!(syslog.write(Level::Info, "one").is_err());
        let daemon = daemon(&path);
        let error = syslog.write(Level::Info, "two").expect_err("too early");
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        syslog.failed = Instant::now().checked_sub(RETRY);
        syslog.write(Level::Info, "three").expect("sent");
        assert!(received(&daemon).ends_with(": three"));
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let scratch = Scratch::new();
        let daemon = daemon(&scratch.0.join("log"));
        let mut syslog = Syslog::new(&scratch.0.join("log"));
        let error = (0..100_000).find_map(|_| syslog.write(Level::Info, "flood").err());
        assert_eq!(error.expect("it is full").kind(), ErrorKind::WouldBlock);
        received(&daemon);
        syslog.write(Level::Info, "room again").expect("sent");
    }

    #[test]
    fn times_are_written_in_utc() {
        for (seconds, wanted) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), wanted);
        }
    }
}
