//! The built websocket_echo over UNIX sockets: what it answers, and how it starts and ends.
#![allow(clippy::unwrap_used)]

#[path = "../../unixserver/tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, SockType, send};
use nix::unistd::{Pid, User, geteuid};
use support::{Directory, Server, client, is_ended, read_text, run};

const ECHO: &str = env!("CARGO_BIN_EXE_websocket_echo");

#[test]
fn bytes_come_back_in_order() {
    let server = Server::start(ECHO, &[]);
    let client = server.connect();
    for text in ["hello", "\0\u{1f412}\r\n", "x"] {
        (&client).write_all(text.as_bytes()).unwrap();
        assert_eq!(read_text(&client, text.len()), text);
    }
}

#[test]
fn what_was_sent_before_the_end_still_comes_back() {
    let server = Server::start(ECHO, &[]);
    let client = server.connect();
    let sent: Vec<u8> = (0..5_000_000u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&client).read_to_end(&mut back).unwrap();
        assert!(back == sent);
    });
}

#[test]
fn packets_keep_their_boundaries_and_empty_ones_come_back() {
    let server = Server::start(ECHO, &["-q"]);
    let client = server.connect_packets();
    let lengths = [5, 0, 0, 32 * 1024, 0, 1];
    for length in lengths {
        send(client.as_raw_fd(), &vec![7; length], MsgFlags::empty()).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    for length in lengths {
        assert_eq!((&client).read(&mut [0; 40_000]).unwrap(), length);
    }
    assert!(is_ended(&client));
}

#[test]
fn one_exchange_ends_a_transaction_without_a_reset() {
    for options in [["-t"].as_slice(), &["-t", "-q"]] {
        let server = Server::start(ECHO, options);
        let kind = if options.len() == 2 {
            SockType::SeqPacket
        } else {
            SockType::Stream
        };
        let client = client(&server.socket(), kind);
        (&client).write_all(b"once").unwrap();
        assert_eq!(read_text(&client, 4), "once");
        let _ = (&client).write_all(b"more");
        assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn options_that_only_tell_exit_with_0() {
    let help = run(ECHO, &["-h"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).unwrap();
    for option in ["-R", "-n", "-u", "-m", "-D", "-q", "-P", "-h", "-V", "-t"] {
        assert!(text.contains(&format!("    {option}, --")), "{option}");
    }
    let version = run(ECHO, &["-V"]);
    assert!(version.status.success());
    let expected = format!("websocket_echo {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected.as_bytes());
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let wrong: [&[&str]; 8] = [
        &["-x"],
        &["-R"],
        &["-m", "0"],
        &["-m", "many"],
        &["-n", "../name"],
        &["-n", ""],
        &["-n", ".."],
        &["argument"],
    ];
    for options in wrong {
        let output = run(ECHO, options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(
            output.stderr.starts_with(b"websocket_echo: "),
            "{options:?}"
        );
    }
}

#[test]
fn an_unknown_user_ends_the_start_before_a_socket_is_made() {
    let directory = Directory::new();
    let root = directory.path().to_str().unwrap();
    let output = run(ECHO, &["-R", root, "-u", "no-such-user"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_dir(root).unwrap().count(), 0);
}

#[test]
fn a_missing_directory_is_made_for_all_to_enter_and_the_socket_for_all_to_connect() {
    let outer = Directory::new();
    let root = outer.path().join("made/for/it");
    let status = Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" -D -R \"$1\" -n name -t", ECHO])
        .arg(&root)
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
    let root = directory.path().to_str().unwrap();
    let output = run(ECHO, &["-D", "-R", root, "-n", "name"]);
    assert!(output.status.success());
    let client = client(&directory.path().join("name"), SockType::Stream);
    (&client).write_all(b"hello").unwrap();
    assert_eq!(read_text(&client, 5), "hello");
    end_daemon(directory.path());
    assert!(is_ended(&client));
}

#[test]
fn signals_end_the_server_and_remove_its_socket() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Server::start(ECHO, &[]);
        let client = server.connect();
        assert_eq!(server.stop(signal).code(), Some(0));
        assert!(!server.socket().exists());
        assert!(is_ended(&client));
    }
}

#[test]
fn the_socket_of_a_later_server_stays() {
    let mut server = Server::start(ECHO, &[]);
    fs::remove_file(server.socket()).unwrap();
    let _later = UnixListener::bind(server.socket()).unwrap();
    server.stop(Signal::SIGTERM);
    assert!(server.socket().exists());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path().join("name")).unwrap());
    let server = Server::start_in(directory, ECHO, &[]);
    let root = server.directory.path().to_str().unwrap();
    for options in [
        ["-R", root, "-n", "name"].as_slice(),
        &["-R", root, "-n", "name", "-q"],
    ] {
        let output = run(ECHO, options);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("in use by a running server"), "{text}");
    }
    let client = server.connect();
    (&client).write_all(b"alive").unwrap();
    assert_eq!(read_text(&client, 5), "alive");
}

#[test]
fn a_file_that_is_no_socket_stays_as_it_is() {
    let directory = Directory::new();
    let file = directory.path().join("name");
    fs::write(&file, "precious").unwrap();
    let output = run(
        ECHO,
        &["-R", directory.path().to_str().unwrap(), "-n", "name"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_client_too_many_is_closed_and_the_place_is_free_again_later() {
    let server = Server::start(ECHO, &["-m", "2"]);
    let clients = [server.connect(), server.connect()];
    for mut client in &clients {
        client.write_all(b"in").unwrap();
        assert_eq!(read_text(client, 2), "in");
    }
    assert!(is_ended(&server.connect()));
    server.wait_for_line("2 clients are here");
    drop(clients);
    let served = std::iter::repeat_with(|| server.connect())
        .find(is_served)
        .unwrap();
    assert!(is_served(&served));
}

#[test]
fn a_server_out_of_descriptors_says_so_once_and_recovers() {
    let server = Server::start(ECHO, &[]);
    let pid = server.pid().to_string();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, "--nofile=12:12"])
        .status();
    assert!(limited.unwrap().success());
    let clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
    server.wait_for_line("cannot accept clients for now");
    drop(clients);
    assert!(is_served(&server.connect()));
}

#[test]
fn root_becomes_the_user_for_good() {
    if !geteuid().is_root() {
        return;
    }
    let server = Server::start(ECHO, &["-u", "nobody"]);
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
fn a_proxy_header_is_not_sent_back() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\xc0\0\0\x50";
    let server = Server::start(ECHO, &["-P"]);
    let client = server.connect();
    for byte in header {
        (&client).write_all(&[*byte]).unwrap();
    }
    (&client).write_all(b"after").unwrap();
    assert_eq!(read_text(&client, 5), "after");
    let liar = server.connect();
    (&liar).write_all(b"no header at all").unwrap();
    assert!(is_ended(&liar));
    server.wait_for_line("no PROXY v2 header");
}

/// Whether the server has a place for this client.
fn is_served(client: &UnixStream) -> bool {
    let mut client = client;
    client.write_all(b"?").is_ok() && client.read(&mut [0]).is_ok_and(|length| length == 1)
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

#[test]
fn the_manual_has_every_option_of_the_help() {
    let manual = include_str!("../../../man/websocket_echo.1").replace('\\', "");
    let help = String::from_utf8(run(ECHO, &["-h"]).stdout).unwrap();
    let words = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"));
    for word in words {
        assert!(manual.contains(&format!("--{word}")), "--{word}");
    }
}
