//! Tests of the sample servers: a built program in a directory of its own, its clients, and the
//! tests that each of them passes. Every wait has a deadline.
#![allow(clippy::unwrap_used)]

pub mod start;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::Pid;

/// How long a test waits for anything before it fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A directory that goes with the test.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes an empty one.
    #[allow(
        clippy::new_without_default,
        reason = "each call makes another directory"
    )]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ouistiti-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Its path; absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that runs; it ends with the test.
pub struct Server {
    child: Child,
    stderr: UnixStream,
    lines: Mutex<Receiver<String>>,
    /// Where its socket is.
    pub directory: Directory,
}

impl Server {
    /// Starts `program` with the socket `name` in a new directory; returns when it listens.
    pub fn start(program: &str, options: &[&str]) -> Self {
        Self::start_in(Directory::new(), program, options)
    }

    /// The same in a directory that is there.
    pub fn start_in(directory: Directory, program: &str, options: &[&str]) -> Self {
        let (stderr, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(program)
            .arg("-R")
            .arg(directory.path())
            .args(["-n", "name"])
            .args(options)
            .stdout(Stdio::null())
            .stderr(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        let said = BufReader::new(stderr.try_clone().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let server = Self {
            child,
            stderr,
            lines: Mutex::new(lines),
            directory,
        };
        server.wait_for_line("listening on");
        server
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("name")
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// The first line on stderr from now on that contains `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.lock().unwrap().recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no line with '{text}' on stderr"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Breaks off its stderr: nothing can be written there any more.
    pub fn close_stderr(&self) {
        self.stderr.shutdown(Shutdown::Both).unwrap();
    }

    /// A client of a stream server.
    pub fn connect(&self) -> UnixStream {
        client(&self.socket(), SockType::Stream)
    }

    /// A client of a SEQPACKET server.
    pub fn connect_packets(&self) -> UnixStream {
        client(&self.socket(), SockType::SeqPacket)
    }

    /// Ends the server with `signal` and says how it went.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        kill(self.pid(), signal).unwrap();
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server does not end on {signal}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `program` to its end; one that does not end is killed, and has no exit code then.
pub fn run(program: &str, options: &[&str]) -> Output {
    let mut child = Command::new(program)
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// A connection to the socket at `path`, with a deadline on each read and write.
pub fn client(path: &Path, kind: SockType) -> UnixStream {
    let client = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    with_deadline(client)
}

fn with_deadline(client: OwnedFd) -> UnixStream {
    let client = UnixStream::from(client);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_write_timeout(Some(DEADLINE)).unwrap();
    client
}

/// The next `length` bytes, as text.
pub fn read_text(mut client: &UnixStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Whether the other side closes within the deadline, whatever it says before.
pub fn is_ended(mut client: &UnixStream) -> bool {
    // This goes on after a read that a signal has interrupted.
    match client.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// Makes each function of [`start`] a test of the [`Sample`](start::Sample) that `$sample` is.
#[macro_export]
macro_rules! start_tests {
    ($sample:expr) => {
        $crate::start_tests! {
            $sample;
            options_that_only_tell_exit_with_0,
            the_manual_has_every_option_of_the_help,
            a_wrong_command_line_exits_with_2,
            an_unknown_user_ends_the_start_before_a_socket_is_made,
            root_becomes_the_user_for_good,
            a_missing_directory_is_made_for_all_to_enter_and_the_socket_for_all_to_connect,
            a_detached_server_listens_when_its_start_returns,
            signals_end_the_server_and_remove_its_socket,
            a_stale_socket_is_replaced_and_a_live_one_is_not,
            the_socket_of_a_later_server_stays,
            a_file_that_is_not_a_socket_stays_as_it_is,
            a_path_too_long_for_a_socket_is_told_with_its_limit,
            a_client_too_many_is_closed,
            a_server_whose_stderr_is_gone_serves_on,
            a_directory_that_another_program_keeps_locked_ends_the_start
        }
    };
    ($sample:expr; $($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                $crate::start::$name(&$sample);
            }
        )+
    };
}
