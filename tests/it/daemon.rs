//! The daemon as init scripts see it: detached, alone, without privileges, stopped.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::gateway::{Gateway, NO_DETACHING, daemon, free_address, is_emulated};
use crate::process::{DEADLINE, Process, TempDir, figure, wait_until};

/// A directory with a configuration; what is detached from it is stopped at the end.
pub(crate) struct Home {
    directory: TempDir,
    pub(crate) address: SocketAddr,
}

impl Home {
    /// `DIR` in the settings stands for the directory.
    pub(crate) fn new(settings: &str) -> Home {
        let (directory, address) = (TempDir::new(), free_address());
        let (ip, port) = (address.ip(), address.port());
        let text = format!(
            "pid-file = \"DIR/pid\"; log-file = \"DIR/log\"; {settings}\n\
             servers = ( {{ addr = \"{ip}\"; port = {port}; websocket = {{ docroot = \"DIR\"; }}; }} );\n"
        );
        let text = text.replace("DIR", directory.path().to_str().expect("a UTF-8 path"));
        fs::write(directory.path().join("conf"), text).expect("a file");
        Home { directory, address }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Runs to the end with these options: exit code and standard error.
    pub(crate) fn run(&self, options: &[&str]) -> (Option<i32>, String) {
        Process::start(daemon().args(options).arg("-f").arg(self.path("conf"))).finish()
    }

    /// An executable shell script.
    pub(crate) fn program(&self, name: &str, script: &str) {
        // By another process: a file that is still open for writing, as it is in a child that
        // another test is just forking, cannot be run.
        let status = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\""])
            .arg(self.path(name))
            .arg(format!("#!/bin/sh\n{script}\n"))
            .status();
        assert!(status.unwrap().success());
    }

    /// The directory of `init_d`.
    pub(crate) fn init_d(&self) -> PathBuf {
        let path = self.path("init");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A client of the service `name`, past its upgrade.
    pub(crate) fn open(&self, name: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET /{name} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            crate::http::KEY
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 101", "{name}");
        stream
    }

    /// A field of the detached daemon's /proc/PID/status, without its name.
    pub(crate) fn status(&self, field: &str) -> Vec<String> {
        let path = format!("/proc/{}/status", self.read("pid").trim());
        let status = fs::read_to_string(path).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let values = line.expect("a known field").trim_start_matches(':');
        values.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.run(&["-K"]);
    }
}

#[test]
fn a_detached_daemon_serves_when_its_caller_returns() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    assert_eq!(home.run(&["-D"]), (Some(0), String::new()));
    TcpStream::connect(home.address).expect("it listens");
    assert_eq!(home.status("Name"), ["ouistiti"]);
    let pid = home.read("pid").trim().to_owned();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_eq!(session, pid, "it leads its own session");
    for stream in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{stream}")).unwrap();
        assert_eq!(target.to_str(), Some("/dev/null"));
    }
}

#[test]
fn kill_returns_when_the_daemon_is_gone() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.run(&["-K"]), (Some(0), String::new()));
    assert!(TcpStream::connect(home.address).is_err());
    assert!(!home.path("pid").exists());
    let (code, errors) = home.run(&["-K"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("ouistiti is not running"), "{errors}");
}

#[test]
fn kill_without_a_pid_file_is_a_usage_error() {
    let gateway = Gateway::start("");
    let file = gateway.path("ouistiti.conf");
    let (code, errors) = Process::start(daemon().arg("-K").arg("-f").arg(file)).finish();
    assert_eq!(code, Some(2));
    assert!(errors.contains("-K needs a pid file"), "{errors}");
}

#[test]
fn a_second_instance_says_that_there_is_one() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    let pid = home.read("pid");
    for options in [&["-D"][..], &[]] {
        let (code, errors) = home.run(options);
        assert_eq!(code, Some(1));
        let expected = format!("another ouistiti is running, process {}", pid.trim());
        assert!(errors.contains(&expected), "{errors}");
    }
    assert_eq!(home.read("pid"), pid);
}

#[test]
fn a_detached_start_that_fails_has_the_true_exit_code_and_says_why() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    let taken = TcpListener::bind(home.address).unwrap();
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&home.address.to_string()), "{errors}");
    assert!(home.read("log").contains(&home.address.to_string()));
    assert!(!home.path("pid").exists());
    drop(taken);
    fs::write(home.path("conf"), "servers = 1;").unwrap();
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("error:"), "{errors}");
}

#[test]
fn an_unknown_user_ends_the_start_with_78() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("user = \"no-such-user\";");
    for options in [&["-D"][..], &["-t"]] {
        let (code, errors) = home.run(options);
        assert_eq!(code, Some(78), "{errors}");
        assert!(
            errors.contains("there is no user 'no-such-user'"),
            "{errors}"
        );
    }
}

#[test]
fn a_user_is_become_for_good() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let home = Home::new("user = \"nobody\";");
    assert_eq!(home.run(&["-D"]), (Some(0), String::new()));
    let nobody = nix::unistd::User::from_name("nobody")
        .unwrap()
        .expect("Debian has it");
    assert_eq!(home.status("Uid"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(home.status("Gid"), vec![nobody.gid.to_string(); 4]);
    assert_eq!(home.status("Groups"), [nobody.gid.to_string()]);
    assert_eq!(home.status("NoNewPrivs"), ["1"]);
    assert_eq!(home.status("CapPrm"), ["0000000000000000"]);
}

#[test]
fn programs_are_started_before_and_stopped_after_with_no_signal_blocked() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    for name in ["10-first", "20-second"] {
        let ran = home.path("ran");
        let script = format!(
            "{{ echo {name} $1; grep SigBlk /proc/self/status; }} >> {}",
            ran.display()
        );
        home.program(&format!("init/{name}"), &script);
    }
    fs::write(home.path("init/README"), "no program").unwrap();
    fs::set_permissions(home.path("init/README"), Permissions::from_mode(0o644)).unwrap();
    let free = "SigBlk:\t0000000000000000\n";
    let started = format!("10-first start\n{free}20-second start\n{free}");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.read("ran"), started);
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let stopped = format!("20-second stop\n{free}10-first stop\n{free}");
    assert_eq!(home.read("ran"), started + &stopped);
}

#[test]
fn only_programs_that_nobody_else_may_change_are_run() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    let directory = home.init_d();
    let ran = home.path("ran");
    let names = [
        "10-good",
        "20-writable",
        "30-theirs",
        ".hidden",
        "40-edited~",
        "50-before.bak",
        "60-package.dpkg-old",
    ];
    for name in names {
        let script = format!("[ $1 = stop ] || echo {name} >> {}", ran.display());
        home.program(&format!("init/{name}"), &script);
    }
    let mode = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(directory.join("20-writable"), 0o777);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(directory.join("30-theirs"), Some(65534), None).unwrap();
    } else {
        fs::remove_file(directory.join("30-theirs")).unwrap();
    }
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.run(&["-K"]).0, Some(0));
    assert_eq!(home.read("ran"), "10-good\n");
    let log = home.read("log");
    assert!(
        log.contains("20-writable is not run: others may write to"),
        "{log}"
    );
    // A directory that others may write to, or that is missing, is told by a test too.
    mode(directory.clone(), 0o777);
    let (code, errors) = home.run(&["-t"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("no program of init_d is run"), "{errors}");
    assert!(errors.contains("chmod go-w"), "{errors}");
    fs::remove_dir_all(directory).unwrap();
    let (code, errors) = home.run(&["-t"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("no program of init_d is run"), "{errors}");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.read("ran"), "10-good\n");
    figure(format!("{} executables, one of them run", names.len()));
}

/// A program of `init_d` that notes what it does, and with `slow` waits for the file `go`.
fn noting(home: &Home, name: &str, slow: &str) {
    let (ran, go) = (home.path("ran"), home.path("go"));
    let (ran, go) = (ran.display(), go.display());
    let script = format!(
        "echo {name} $1 >> {ran}\n\
         if [ \"$1\" = {slow} ]; then until [ -e {go} ]; do sleep 0.05; done; fi\n\
         echo {name} $1 done >> {ran}"
    );
    home.program(&format!("init/{name}"), &script);
}

#[test]
fn a_second_term_ends_at_once_and_programs_are_stopped_all_the_same() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    // While the programs are stopped, and while a client is waited for.
    for stalled in [false, true] {
        let home = Home::new("init_d = \"DIR/init\";");
        home.init_d();
        noting(&home, "10-slow", "stop");
        assert_eq!(home.run(&["-D"]).0, Some(0));
        let backend = crate::backend::Backend::listen(&home.path("quiet"));
        let client = stalled.then(|| (home.open("quiet"), backend.accept()));
        let pid = Pid::from_raw(home.read("pid").trim().parse().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        match stalled {
            true => wait_until("the stop", || home.read("log").contains("stopping")),
            false => wait_until("the stop", || home.read("ran").contains("10-slow stop\n")),
        }
        let start = Instant::now();
        kill(pid, Signal::SIGTERM).unwrap();
        wait_until("the end", || !home.path("pid").exists());
        // Its programs could keep it for 30.
        assert!(start.elapsed() < Duration::from_secs(20));
        wait_until("its stop", || home.read("ran").contains("10-slow stop\n"));
        assert!(!home.read("ran").contains("10-slow stop done\n"));
        fs::write(home.path("go"), "").unwrap();
        wait_until("its end", || {
            home.read("ran").contains("10-slow stop done\n")
        });
        drop(client);
    }
}

#[test]
fn a_start_that_is_told_to_stop_stops_the_programs_it_has_started() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    noting(&home, "10-quick", "never");
    noting(&home, "20-slow", "start");
    noting(&home, "30-next", "never");
    let mut process = Process::start(daemon().arg("-f").arg(home.path("conf")));
    wait_until("the start", || home.read("ran").contains("20-slow start\n"));
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!home.path("pid").exists());
    let stopped = "20-slow stop\n20-slow stop done\n10-quick stop\n10-quick stop done\n";
    let ran = home.read("ran");
    assert!(ran.ends_with(stopped) && !ran.contains("30-next"), "{ran}");
    fs::write(home.path("go"), "").unwrap();
    let ended = "20-slow start done\n";
    wait_until("the program's end", || home.read("ran").contains(ended));
}

#[test]
fn no_other_signal_ends_it() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let signals = [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGPIPE,
        Signal::SIGXFSZ,
    ];
    for signal in signals {
        gateway.process.signal(signal);
        let mut client = gateway.open("echo");
        client.text("still here");
        assert_eq!(client.message().1, b"still here", "{signal}");
    }
    figure(format!("{} signals, none of them the end", signals.len()));
}

#[test]
fn a_keeper_reads_its_one_word_and_no_more() {
    let mut command = daemon();
    command.env("OUISTITI_STOPS", "1").stdin(Stdio::piped());
    let mut keeper = command.spawn().unwrap();
    let mut pipe = keeper.stdin.take().expect("it is piped");
    let mut written = 0;
    let error = loop {
        match pipe.write(&[b'x'; 65536]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(written < 300 << 20, "it has read {written} bytes");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(keeper.wait().unwrap().success());
    figure(format!("{written} bytes went into its pipe"));
}

#[test]
fn the_manual_page_has_the_options_of_the_program() {
    let page = include_str!("../../man/ouistiti.8");
    let documented: Vec<char> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl ")?.chars().next())
        .collect();
    let output = daemon().arg("-h").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let offered: Vec<char> = help
        .lines()
        .filter_map(|line| line.strip_prefix("    -")?.chars().next())
        .collect();
    assert!(!offered.is_empty(), "{help}");
    assert_eq!(documented, offered);
}
