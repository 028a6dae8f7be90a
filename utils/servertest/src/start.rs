//! How every sample server starts and ends: the same tests for each of them.
//!
//! [`start_tests!`](crate::start_tests) makes each function here a test of a [`Sample`].

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::SockType;
use nix::unistd::{Pid, User, geteuid};

use crate::{Directory, Server, client, is_ended, run};

/// The options all servers have.
const COMMON: [&str; 9] = ["-R", "-n", "-u", "-m", "-q", "-P", "-D", "-h", "-V"];

/// A sample server under test.
pub struct Sample {
    /// Path of the built program.
    pub program: &'static str,
    /// Text of its manual page.
    pub manual: &'static str,
    /// Makes what the server cannot start without in a directory, and returns the options and
    /// operands for it.
    pub needed: fn(&Directory) -> Vec<String>,
}

/// A server that runs, and what it needs.
struct Started {
    server: Server,
    _aside: Directory,
}

impl Sample {
    fn start(&self, options: &[&str]) -> Started {
        self.start_in(Directory::new(), options)
    }

    fn start_in(&self, directory: Directory, options: &[&str]) -> Started {
        let aside = Directory::new();
        let needed = (self.needed)(&aside);
        let server = Server::start_in(directory, self.program, &arguments(&needed, options));
        Started {
            server,
            _aside: aside,
        }
    }

    /// Runs the program to its end, in `root` under the name `name` unless the options say else.
    fn try_start(&self, root: &Path, options: &[&str]) -> Output {
        let aside = Directory::new();
        let needed = (self.needed)(&aside);
        let options = [&["-R", root.to_str().unwrap()], options].concat();
        run(self.program, &arguments(&needed, &options))
    }
}

/// `options`, and around them what the server needs: its operands last.
fn arguments<'a>(needed: &'a [String], options: &[&'a str]) -> Vec<&'a str> {
    let end = needed.iter().position(|word| word == "--");
    let (before, operands) = needed.split_at(end.unwrap_or(needed.len()));
    let before = before.iter().map(String::as_str);
    let operands = operands.iter().map(String::as_str);
    before
        .chain(options.iter().copied())
        .chain(operands)
        .collect()
}

/// Options that only tell exit with 0.
pub fn options_that_only_tell_exit_with_0(sample: &Sample) {
    let help = run(sample.program, &["-h"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for option in COMMON {
        assert!(text.contains(&format!("    {option}, --")), "{option}");
    }
    let version = run(sample.program, &["-V"]);
    assert!(version.status.success());
    let name = Path::new(sample.program)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected.as_bytes());
}

/// The manual has every option of the help.
pub fn the_manual_has_every_option_of_the_help(sample: &Sample) {
    let manual = sample.manual.replace('\\', "");
    let help = String::from_utf8(run(sample.program, &["-h"]).stdout).unwrap();
    let words: Vec<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .collect();
    assert!(words.len() >= COMMON.len());
    for word in words {
        assert!(manual.contains(&format!("--{word}")), "--{word}");
    }
}

/// A wrong command line exits with 2.
pub fn a_wrong_command_line_exits_with_2(sample: &Sample) {
    let directory = Directory::new();
    let name = Path::new(sample.program)
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    let wrong: [&[&str]; 9] = [
        &["-x"],
        &["-u"],
        &["-m", "0"],
        &["-m", "many"],
        &["-n", "../name"],
        &["-n", ""],
        &["-n", ".."],
        &["-n", "a", "-n", "b"],
        &["argument"],
    ];
    for options in wrong {
        let output = sample.try_start(directory.path(), options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("{name}: ")), "{said}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// An unknown user ends the start before a socket is made.
pub fn an_unknown_user_ends_the_start_before_a_socket_is_made(sample: &Sample) {
    let directory = Directory::new();
    let output = sample.try_start(directory.path(), &["-u", "no-such-user"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("unknown user 'no-such-user'"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Root becomes the user for good.
pub fn root_becomes_the_user_for_good(sample: &Sample) {
    if !geteuid().is_root() {
        // Only root can.
        return;
    }
    let Started { server, _aside } = sample.start(&["-u", "nobody"]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let ids = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let nobody = User::from_name("nobody").unwrap().unwrap();
    assert_eq!(ids("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(ids("Gid:"), vec![nobody.gid.to_string(); 4]);
    assert!(!ids("Groups:").contains(&"0".to_owned()));
}

/// A missing directory is made for all to enter and the socket for all to connect.
pub fn a_missing_directory_is_made_for_all_to_enter_and_the_socket_for_all_to_connect(
    sample: &Sample,
) {
    let outer = Directory::new();
    let aside = Directory::new();
    let root = outer.path().join("made/for/it");
    let script = "umask 077; root=$1; shift; exec \"$0\" -D -R \"$root\" -n name \"$@\"";
    let needed = (sample.needed)(&aside);
    let status = Command::new("sh")
        .args(["-c", script, sample.program])
        .arg(&root)
        .args(arguments(&needed, &[]))
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(root.clone()), 0o755);
    assert_eq!(mode(root.join("name")), 0o666);
    end_daemon(&root);
}

/// A detached server listens when its start returns.
pub fn a_detached_server_listens_when_its_start_returns(sample: &Sample) {
    let directory = Directory::new();
    let output = sample.try_start(directory.path(), &["-D", "-n", "name"]);
    assert!(output.status.success());
    let client = client(&directory.path().join("name"), SockType::Stream);
    end_daemon(directory.path());
    assert!(is_ended(&client));
}

/// Signals end the server and remove its socket.
pub fn signals_end_the_server_and_remove_its_socket(sample: &Sample) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Started { mut server, _aside } = sample.start(&[]);
        let client = server.connect();
        assert_eq!(server.stop(signal).code(), Some(0));
        assert!(!server.socket().exists());
        assert!(is_ended(&client));
    }
}

/// A stale socket is replaced and a live one is not.
pub fn a_stale_socket_is_replaced_and_a_live_one_is_not(sample: &Sample) {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path().join("name")).unwrap());
    let Started { mut server, _aside } = sample.start_in(directory, &[]);
    let client = server.connect();
    for options in [["-n", "name"].as_slice(), &["-n", "name", "-q"]] {
        let output = sample.try_start(server.directory.path(), options);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("in use by a running server"), "{said}");
    }
    // Still the first server's.
    drop(server.connect());
    server.stop(Signal::SIGTERM);
    assert!(is_ended(&client));
}

/// The socket of a later server stays.
pub fn the_socket_of_a_later_server_stays(sample: &Sample) {
    let Started { mut server, _aside } = sample.start(&[]);
    fs::remove_file(server.socket()).unwrap();
    let _later = UnixListener::bind(server.socket()).unwrap();
    server.stop(Signal::SIGTERM);
    assert!(server.socket().exists());
}

/// A file that is not a socket stays as it is.
pub fn a_file_that_is_not_a_socket_stays_as_it_is(sample: &Sample) {
    let directory = Directory::new();
    let file = directory.path().join("name");
    fs::write(&file, "precious").unwrap();
    let output = sample.try_start(directory.path(), &["-n", "name"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("exists and is not a socket"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

/// A path too long for a socket is told with its limit.
pub fn a_path_too_long_for_a_socket_is_told_with_its_limit(sample: &Sample) {
    let directory = Directory::new();
    let output = sample.try_start(directory.path(), &["-n", &"x".repeat(108)]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("it may have 107 bytes"), "{said}");
}

/// A client too many is closed.
pub fn a_client_too_many_is_closed(sample: &Sample) {
    for (kind, options) in [
        (SockType::Stream, ["-m", "2"].as_slice()),
        (SockType::SeqPacket, &["-m", "2", "-q"]),
    ] {
        let Started { server, _aside } = sample.start(options);
        let _clients = [(); 2].map(|()| client(&server.socket(), kind));
        assert!(is_ended(&client(&server.socket(), kind)));
        server.wait_for_line("2 clients are here");
    }
}

/// A server whose stderr is gone serves on.
pub fn a_server_whose_stderr_is_gone_serves_on(sample: &Sample) {
    let Started { mut server, _aside } = sample.start(&["-m", "1"]);
    let _client = server.connect();
    server.close_stderr();
    assert!(is_ended(&server.connect()));
    assert!(is_ended(&server.connect()));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

/// A directory that another program keeps locked ends the start.
pub fn a_directory_that_another_program_keeps_locked_ends_the_start(sample: &Sample) {
    let directory = Directory::new();
    let file = File::open(directory.path()).unwrap();
    let _lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let output = sample.try_start(directory.path(), &["-n", "name"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is locked by another program"), "{said}");
}

/// Ends the detached server whose command line names `root`.
fn end_daemon(root: &Path) {
    let root = root.as_os_str().as_encoded_bytes();
    let runs_there = |process: &PathBuf| {
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        command
            .split(|&byte| byte == 0)
            .any(|argument| argument == root)
    };
    let mut processes = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let process = processes.find(runs_there).unwrap();
    let pid = process
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
}
