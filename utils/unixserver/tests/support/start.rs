//! How every sample server starts and ends: the same tests for each of them.
//!
//! A test includes this file beside `support`. It names its PROGRAM and its MANUAL. Its `needed`
//! makes what the server cannot start without, and returns the options and operands for it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::SockType;
use nix::unistd::{Pid, User, geteuid};

use crate::support::{Directory, Server, client, is_ended, run};
use crate::{MANUAL, PROGRAM, needed};

/// The options all servers have.
const COMMON: [&str; 9] = ["-R", "-n", "-u", "-m", "-q", "-P", "-D", "-h", "-V"];

/// A server that runs with these options, and what it needs.
struct Started {
    server: Server,
    _aside: Directory,
}

fn start_in(directory: Directory, options: &[&str]) -> Started {
    let aside = Directory::new();
    let needed = needed(&aside);
    let server = Server::start_in(directory, PROGRAM, &arguments(&needed, options));
    Started {
        server,
        _aside: aside,
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

fn start(options: &[&str]) -> Started {
    start_in(Directory::new(), options)
}

/// Runs the program to its end, in `root` under the name `name` unless the options say else.
fn try_start(root: &Path, options: &[&str]) -> Output {
    let aside = Directory::new();
    let needed = needed(&aside);
    let options = [&["-R", root.to_str().unwrap()], options].concat();
    run(PROGRAM, &arguments(&needed, &options))
}

#[test]
fn options_that_only_tell_exit_with_0() {
    let help = run(PROGRAM, &["-h"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for option in COMMON {
        assert!(text.contains(&format!("    {option}, --")), "{option}");
    }
    let version = run(PROGRAM, &["-V"]);
    assert!(version.status.success());
    let name = Path::new(PROGRAM).file_name().unwrap().to_str().unwrap();
    let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected.as_bytes());
}

#[test]
fn the_manual_has_every_option_of_the_help() {
    let manual = MANUAL.replace('\\', "");
    let help = String::from_utf8(run(PROGRAM, &["-h"]).stdout).unwrap();
    let words: Vec<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .collect();
    assert!(words.len() >= COMMON.len());
    for word in words {
        assert!(manual.contains(&format!("--{word}")), "--{word}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let directory = Directory::new();
    let name = Path::new(PROGRAM).file_name().unwrap().to_str().unwrap();
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
        let output = try_start(directory.path(), options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("{name}: ")), "{said}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_unknown_user_ends_the_start_before_a_socket_is_made() {
    let directory = Directory::new();
    let output = try_start(directory.path(), &["-u", "no-such-user"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("unknown user 'no-such-user'"), "{said}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn root_becomes_the_user_for_good() {
    if !geteuid().is_root() {
        // Only root can.
        return;
    }
    let Started { server, _aside } = start(&["-u", "nobody"]);
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

#[test]
fn a_missing_directory_is_made_for_all_to_enter_and_the_socket_for_all_to_connect() {
    let outer = Directory::new();
    let aside = Directory::new();
    let root = outer.path().join("made/for/it");
    let script = "umask 077; root=$1; shift; exec \"$0\" -D -R \"$root\" -n name \"$@\"";
    let needed = needed(&aside);
    let status = Command::new("sh")
        .args(["-c", script, PROGRAM])
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

#[test]
fn a_detached_server_listens_when_its_start_returns() {
    let directory = Directory::new();
    let output = try_start(directory.path(), &["-D", "-n", "name"]);
    assert!(output.status.success());
    let client = client(&directory.path().join("name"), SockType::Stream);
    end_daemon(directory.path());
    assert!(is_ended(&client));
}

#[test]
fn signals_end_the_server_and_remove_its_socket() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Started { mut server, _aside } = start(&[]);
        let client = server.connect();
        assert_eq!(server.stop(signal).code(), Some(0));
        assert!(!server.socket().exists());
        assert!(is_ended(&client));
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path().join("name")).unwrap());
    let Started { mut server, _aside } = start_in(directory, &[]);
    let client = server.connect();
    for options in [["-n", "name"].as_slice(), &["-n", "name", "-q"]] {
        let output = try_start(server.directory.path(), options);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("in use by a running server"), "{said}");
    }
    // Still the first server's.
    drop(server.connect());
    server.stop(Signal::SIGTERM);
    assert!(is_ended(&client));
}

#[test]
fn the_socket_of_a_later_server_stays() {
    let Started { mut server, _aside } = start(&[]);
    fs::remove_file(server.socket()).unwrap();
    let _later = UnixListener::bind(server.socket()).unwrap();
    server.stop(Signal::SIGTERM);
    assert!(server.socket().exists());
}

#[test]
fn a_file_that_is_not_a_socket_stays_as_it_is() {
    let directory = Directory::new();
    let file = directory.path().join("name");
    fs::write(&file, "precious").unwrap();
    let output = try_start(directory.path(), &["-n", "name"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("exists and is not a socket"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_client_too_many_is_closed() {
    for (kind, options) in [
        (SockType::Stream, ["-m", "2"].as_slice()),
        (SockType::SeqPacket, &["-m", "2", "-q"]),
    ] {
        let Started { server, _aside } = start(options);
        let _clients = [(); 2].map(|()| client(&server.socket(), kind));
        assert!(is_ended(&client(&server.socket(), kind)));
        server.wait_for_line("2 clients are here");
    }
}

#[test]
fn a_server_whose_stderr_is_gone_serves_on() {
    let Started { mut server, _aside } = start(&["-m", "1"]);
    let _client = server.connect();
    server.close_stderr();
    assert!(is_ended(&server.connect()));
    assert!(is_ended(&server.connect()));
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn a_directory_that_another_program_keeps_locked_ends_the_start() {
    let directory = Directory::new();
    let file = File::open(directory.path()).unwrap();
    let _lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let output = try_start(directory.path(), &["-n", "name"]);
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
