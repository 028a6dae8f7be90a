//! Running: the program of a client and all it starts, a session of its own (setsid(2)).
//!
//! std can start a program with a terminal as its input and output, but not in a session of which
//! that is the controlling terminal. So this program starts itself once more: inside, it makes the
//! session, takes the terminal, and becomes the client's program.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{Pid, User, close, geteuid, setsid, ttyname};
use unixserver::{ClientInfo, log};

use crate::signals;
use crate::terminal::Terminal;

/// The name under which this program is started inside the terminal.
const INSIDE: &str = "websocket_terminal: session";

/// What programs are told of the terminal: xterm.js and most others do as xterm does.
const TERM: &str = "xterm-256color";

/// Where programs are looked for when the server was started without a PATH.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Of the server's environment, what a program is given.
const PASSED_ON: [&str; 5] = ["LANG", "LC_ALL", "LC_CTYPE", "TZ", "PATH"];

/// How long processes may take to end by themselves after a hangup, and how long they are killed
/// for.
const HANGUP_TIME: Duration = Duration::from_secs(2);
const KILL_TIME: Duration = Duration::from_secs(5);

/// Pause between two looks at what still runs.
const PAUSE: Duration = Duration::from_millis(20);

/// A program in a terminal.
pub(crate) struct Session {
    /// The program. Until it is reaped no other session can have its number.
    leader: Pid,
    /// Held while the session is being ended; true when it is.
    ended: Mutex<bool>,
}

impl Session {
    /// Starts `program`, a name and its arguments, in the terminal.
    ///
    /// A program that cannot be run says so in the terminal, as a shell does.
    ///
    /// # Errors
    /// When the system starts no more processes.
    pub(crate) fn start(
        program: &[OsString],
        terminal: &Terminal,
        info: &ClientInfo,
    ) -> io::Result<Self> {
        let inside = terminal.inside()?;
        let child = Command::new("/proc/self/exe")
            .arg0(INSIDE)
            .args(program)
            .env_clear()
            .envs(environment(info))
            .stdin(inside.try_clone()?)
            .stdout(inside.try_clone()?)
            .stderr(inside)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start a program: {e}")))?;
        let leader = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self {
            leader: Pid::from_raw(leader),
            ended: Mutex::new(false),
        })
    }

    /// Waits for the end of the program; what it has started may still run.
    pub(crate) fn wait(&self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(self.leader), flags) == Err(nix::Error::EINTR) {}
    }

    /// Ends every process of the session: a hangup first, as when a line is cut, and after two
    /// seconds a kill.
    pub(crate) fn end(&self) {
        let mut ended = self
            .ended
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *ended {
            return;
        }
        *ended = true;
        // A stopped process hears of the hangup when it goes on.
        self.signal(Signal::SIGHUP);
        self.signal(Signal::SIGCONT);
        if self.is_gone_within(HANGUP_TIME, None) {
            return;
        }
        if !self.is_gone_within(KILL_TIME, Some(Signal::SIGKILL)) {
            log("a client's processes cannot be ended");
        }
    }

    /// Whether all processes end within `time`, to which `signal` is sent at each look.
    fn is_gone_within(&self, time: Duration, signal: Option<Signal>) -> bool {
        let end = Instant::now() + time;
        loop {
            if self.processes().is_empty() {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            if let Some(signal) = signal {
                self.signal(signal);
            }
            thread::sleep(PAUSE);
        }
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            // One that has ended meanwhile needs no signal.
            let _ = kill(process, signal);
        }
    }

    /// The processes of the session that run, or have stopped.
    fn processes(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.has(*pid))
            .map(Pid::from_raw)
            .collect()
    }

    /// Whether a process is of this session, or about to make it, and has not ended
    /// (proc_pid_stat(5)).
    fn has(&self, pid: i32) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A name may have spaces and parentheses in it: the fields follow the last one.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next();
        let session = fields.nth(2).and_then(|session| session.parse().ok());
        let leader = self.leader.as_raw();
        !matches!(state, None | Some("Z" | "X")) && (pid == leader || session == Some(leader))
    }

    /// Takes the program's exit status, so that its number is free again.
    pub(crate) fn reap(self) {
        while waitpid(self.leader, None) == Err(nix::Error::EINTR) {}
    }
}

/// The environment of a program: what it needs of the server's, the server's user, and what the
/// gateway told of the client, named as CGI names it (RFC 3875, section 4.1).
fn environment(info: &ClientInfo) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![("TERM", TERM.into()), ("PATH", PATH.into())];
    variables.extend(
        PASSED_ON
            .iter()
            .filter_map(|&name| Some((name, env::var_os(name)?))),
    );
    if let Ok(Some(user)) = User::from_uid(geteuid()) {
        variables.push(("HOME", user.dir.into()));
        variables.push(("SHELL", user.shell.into()));
        variables.push(("LOGNAME", user.name.clone().into()));
        variables.push(("USER", user.name.into()));
    }
    let address = info.address.map(|address| address.ip().to_string());
    variables.extend(address.map(|address| ("REMOTE_ADDR", address.into())));
    // What is told cannot end a variable early: a name with a NUL is none.
    let user = info.user.clone().filter(|user| !user.contains('\0'));
    variables.extend(user.map(|user| ("REMOTE_USER", user.into())));
    variables
}

/// Whether this process was started inside a terminal, by [`Session::start`].
pub(crate) fn is_inside() -> bool {
    env::args_os().next().is_some_and(|name| name == INSIDE)
}

/// Inside the terminal: takes it, and becomes the program. Returns only if it cannot: 127, as of a
/// shell.
pub(crate) fn become_program() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let program = words.next().unwrap_or_default();
    let error = match take_terminal() {
        Ok(()) => Command::new(&program).args(words).exec(),
        Err(error) => error,
    };
    // Into the terminal; if that is gone, nobody is there to read it.
    let _ = write!(io::stderr(), "{}: {error}\r\n", program.display());
    ExitCode::from(127)
}

/// Makes a session, and the terminal its controlling one: the first that the leader opens becomes
/// it (credentials(7), tty(4)).
fn take_terminal() -> io::Result<()> {
    setsid()?;
    let path = ttyname(io::stdin())?;
    OpenOptions::new().read(true).write(true).open(path)?;
    // The server's threads have signals blocked, which a program inherits.
    SigSet::empty().thread_set_mask()?;
    signals::reset()?;
    close_inherited()
}

/// Closes what the one who started the server had open, and let it inherit.
fn close_inherited() -> io::Result<()> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let open = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let open: Vec<i32> = open.filter(|descriptor| *descriptor > 2).collect();
    for descriptor in open {
        // The directory itself is among them, and closed by now.
        let _ = close(descriptor);
    }
    Ok(())
}
