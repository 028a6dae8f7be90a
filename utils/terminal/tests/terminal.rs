//! The built websocket_terminal over UNIX sockets: what a program and its client see.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use servertest::{DEADLINE, Server, run};

const TERMINAL: &str = env!("CARGO_BIN_EXE_websocket_terminal");

/// A server whose clients each get this shell script.
fn script(options: &[&str], script: &str) -> Server {
    Server::start(TERMINAL, &[options, &["--", "sh", "-c", script]].concat())
}

/// What comes until these words do.
fn read_until(client: &UnixStream, words: &str) -> String {
    let mut client = client;
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(words) {
        let mut buffer = [0; 4096];
        let length = client.read(&mut buffer).unwrap();
        let said = String::from_utf8_lossy(&all).into_owned();
        assert!(length > 0, "it ended without '{words}': {said}");
        all.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(all).unwrap()
}

/// What comes until the end.
fn read_all(mut client: &UnixStream) -> String {
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    all
}

fn type_in(mut client: &UnixStream, text: &str) {
    client.write_all(text.as_bytes()).unwrap();
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not within the deadline: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, fields)| fields.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// The number that follows `key=` in what a script has written.
fn number<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("{key}=")).unwrap();
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap()
}

#[test]
fn a_program_has_a_terminal_of_its_own() {
    let server = script(
        &[],
        "tty; echo $TERM; cut -d' ' -f6 /proc/$$/stat; echo pid $$; exec 3</dev/tty; echo held",
    );
    let said = read_all(&server.connect());
    let lines: Vec<_> = said.lines().map(str::trim).collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{said}");
    assert_eq!(lines[1], "xterm-256color");
    assert_eq!(
        lines[3],
        format!("pid {}", lines[2]),
        "the leader of its session"
    );
    assert_eq!(lines[4], "held", "the terminal controls its session");
}

#[test]
fn what_is_typed_is_echoed_and_keys_are_signals() {
    let server = script(
        &[],
        "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 1; done",
    );
    let client = server.connect();
    read_until(&client, "ready");
    type_in(&client, "\x03");
    assert!(read_all(&client).contains("interrupted"));
}

#[test]
fn keys_are_signals_too_where_the_server_was_started_with_such_signals_ignored() {
    let directory = servertest::Directory::new();
    let starter = directory.path().join("starter");
    // Written by another process: a program that another test starts at that moment would hold the
    // file open, which then could not be executed (execve(2), ETXTBSY).
    let text = format!("#!/bin/sh\ntrap '' INT QUIT\nexec {TERMINAL} \"$@\"\n");
    let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh")
        .args(["-c", write])
        .arg(&starter)
        .arg(text)
        .status();
    assert!(written.unwrap().success());
    let typed = "trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 1; done";
    let server = Server::start(starter.to_str().unwrap(), &["--", "sh", "-c", typed]);
    let client = server.connect();
    read_until(&client, "ready");
    type_in(&client, "\x03");
    assert!(read_all(&client).contains("interrupted"));
}

#[test]
fn a_report_of_the_size_resizes_the_terminal() {
    let server = script(
        &[],
        "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.1; done",
    );
    let client = server.connect();
    let said = read_until(&client, "ready");
    assert!(said.starts_with("24 80\r\n"), "{said}");
    type_in(&client, "\x1b[8;50;132t");
    assert!(read_all(&client).contains("50 132"));
}

#[test]
fn the_whole_session_ends_with_its_client() {
    let server = script(
        &[],
        "trap '' HUP; sleep 1000 & echo job=$!; set -m; sleep 1000 & echo group=$!; echo shell=$$; echo ready; wait",
    );
    for half in [false, true] {
        let client = server.connect();
        let said = read_until(&client, "ready");
        let pids = ["job", "group", "shell"].map(|key| number(&said, key).to_owned());
        assert!(pids.iter().all(|pid| runs(pid)), "{said}");
        if half {
            client.shutdown(Shutdown::Write).unwrap();
        } else {
            drop(client);
        }
        wait_until("the end of the session", || {
            !pids.iter().any(|pid| runs(pid))
        });
    }
}

/// How many processes this one has started and not reaped.
fn children(parent: Pid) -> usize {
    let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path().join("stat");
        fs::read_to_string(path).ok()
    });
    let parent = parent.to_string();
    let is_child = |stat: &String| {
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(1) == Some(&parent)
    };
    stats.filter(is_child).count()
}

#[test]
fn a_client_that_leaves_at_once_leaves_nothing_behind() {
    let server = Server::start(TERMINAL, &["-m", "200", "--", "sleep", "1000"]);
    let threads = format!("/proc/{}/task", server.pid());
    for _ in 0..50 {
        drop(server.connect());
    }
    // Clients are accepted in turn, so all others have been when the last is served.
    let last = server.connect();
    type_in(&last, "here");
    read_until(&last, "here");
    drop(last);
    wait_until("the end of all", || {
        children(server.pid()) == 0 && fs::read_dir(&threads).unwrap().count() == 1
    });
}

#[test]
fn the_last_words_of_a_program_arrive_before_the_end() {
    let server = script(&[], "sleep 1000 & seq 1 20000");
    let client = server.connect();
    let said = read_all(&client);
    assert_eq!(said.lines().count(), 20_000);
    assert!(said.ends_with("20000\r\n"));
}

#[test]
fn a_process_that_left_the_session_does_not_keep_the_client() {
    let server = script(&[], "setsid sleep 1000 & echo away=$!; echo done");
    let client = server.connect();
    let said = read_all(&client);
    assert!(said.contains("done"), "{said}");
    let away = number(&said, "away").parse().unwrap();
    kill(Pid::from_raw(away), Signal::SIGKILL).unwrap();
}

#[test]
fn a_program_that_reads_nothing_does_not_outlive_its_client() {
    let server = script(&[], "stty raw; echo pid=$$; echo ready; exec sleep 1000");
    let client = server.connect();
    let pid = number(&read_until(&client, "ready"), "pid").to_owned();
    // More than the terminal's queue holds.
    type_in(&client, &"x".repeat(60_000));
    drop(client);
    wait_until("the end of the program", || !runs(&pid));
}

#[test]
fn a_program_that_is_not_there_is_told_in_the_terminal() {
    let server = Server::start(TERMINAL, &["--", "/no/such/program"]);
    let said = read_all(&server.connect());
    assert!(said.contains("/no/such/program: No such file"), "{said}");
}

#[test]
fn a_program_inherits_no_descriptor() {
    let server = Server::start(TERMINAL, &["--", "ls", "-1", "/proc/self/fd"]);
    let first = server.connect();
    for client in [first, server.connect()] {
        // The last is the directory that it lists.
        assert_eq!(read_all(&client), "0\r\n1\r\n2\r\n3\r\n");
    }
}

#[test]
fn a_program_has_no_signal_blocked_or_ignored() {
    let server = Server::start(
        TERMINAL,
        &["--", "grep", "-E", "SigBlk|SigIgn", "/proc/self/status"],
    );
    let said = read_all(&server.connect());
    let mask = |status: &str, name: &str| {
        let word = status
            .split(name)
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next());
        u64::from_str_radix(word.unwrap_or_default(), 16).expect("a mask")
    };
    // What whoever runs these tests ignores (nohup) stays ignored; the C library has the two first
    // real-time signals.
    let own = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let of_standard_signals = (1 << 31) - 1;
    let ignored = mask(&said, "SigIgn:") & !mask(&own, "SigIgn:") & of_standard_signals;
    assert_eq!([mask(&said, "SigBlk:"), ignored], [0, 0], "{said}");
}

#[test]
fn a_program_is_told_who_its_client_is_and_little_else() {
    let server = Server::start(TERMINAL, &["-P", "--", "env"]);
    let client = server.connect();
    let header =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\xc0\0\x02\x07\x7f\0\0\x01\xc0\0\0\x50\xe3\0\x03ann";
    (&client).write_all(header).unwrap();
    let said = read_all(&client);
    let known = [
        "TERM",
        "PATH",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "HOME",
        "SHELL",
        "LOGNAME",
        "USER",
        "REMOTE_ADDR",
        "REMOTE_USER",
    ];
    for line in said.lines() {
        let (name, _) = line.split_once('=').unwrap();
        assert!(known.contains(&name), "{line}");
    }
    assert!(said.contains("REMOTE_ADDR=192.0.2.7\r\n"), "{said}");
    assert!(said.contains("REMOTE_USER=ann\r\n"), "{said}");
}

#[test]
fn a_server_without_a_program_says_so() {
    let output = run(TERMINAL, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("-- PROGRAM [ARGUMENT]... is needed"),
        "{said}"
    );
}

#[test]
fn packets_carry_a_terminal_too() {
    let server = script(
        &["-q"],
        "stty -echo; echo ready; read line; echo \"got $line\"",
    );
    let client = server.connect_packets();
    read_until(&client, "ready");
    type_in(&client, "hello\n");
    let mut said = String::new();
    while !said.contains("got hello") {
        let mut packet = [0; 40_000];
        let length = (&client).read(&mut packet).unwrap();
        assert!(length > 0, "{said}");
        said.push_str(str::from_utf8(&packet[..length]).unwrap());
    }
}
