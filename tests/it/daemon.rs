//! The daemon as init scripts see it: detached, alone, without privileges, stopped.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::gateway::{Gateway, NO_DETACHING, daemon, free_address, is_emulated};
use crate::process::{DEADLINE, Process, TempDir, figure};

/// A directory with a configuration. A daemon that was detached from it is stopped at the end.
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

    /// Runs the daemon to its end with these options. Returns its exit code and standard error.
    pub(crate) fn run(&self, options: &[&str]) -> (Option<i32>, String) {
        Process::start(daemon().args(options).arg("-f").arg(self.path("conf"))).finish()
    }

    /// An executable shell script.
    pub(crate) fn program(&self, name: &str, script: &str) {
        // Another process writes it: a file that is still open for writing cannot be run, and a
        // child that another test forks at this moment would have it open.
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
fn usr1_tells_how_many_clients_each_server_has() {
    let gateway = Gateway::with("maxclients = 7;", "");
    gateway.backend("echo").echo();
    let _clients = [gateway.open("echo"), gateway.open("echo")];
    gateway.process.signal(Signal::SIGUSR1);
    let wanted = format!("http://{}: 2 of 7 clients", gateway.address());
    let line = gateway.process.find_line(|line| line.contains(&wanted));
    line.expect("the state");
}

#[test]
fn no_other_signal_ends_it() {
    let mut gateway = Gateway::start("");
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
    // Killed, it would leave behind the process that SIGUSR2 has started.
    gateway.process.signal(Signal::SIGTERM);
    assert_eq!(gateway.process.wait().code(), Some(0));
    figure(format!("{} signals, none of them the end", signals.len()));
}

#[test]
fn the_manual_page_has_the_options_of_the_program() {
    let page = include_str!("../../man/ouistiti.8");
    let names = |text: &str, before: &str| -> BTreeSet<String> {
        let name = |line: &str| {
            let rest = line.strip_prefix(before)?;
            Some(rest.split([' ', ',']).next()?.to_owned())
        };
        text.lines().filter_map(name).collect()
    };
    let output = daemon().arg("-h").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let offered = names(&help, "  -");
    assert!(offered.len() > 10, "{help}");
    let mut explained = names(page, ".It Fl ");
    // `-- PROGRAM` stands in the usage line of the help.
    assert!(explained.remove("-"));
    assert_eq!(explained, offered);
}

#[test]
fn a_line_that_the_power_cut_ends_before_the_next_one() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    fs::write(home.path("log"), "1970-01-01T00:00:10Z info a li").unwrap();
    assert_eq!(home.run(&["-D"]), (Some(0), String::new()));
    let log = home.read("log");
    assert!(log.starts_with("1970-01-01T00:00:10Z info a li\n"), "{log}");
    assert!(!log.contains("\n\n"), "{log}");
    assert!(log.lines().count() > 1, "{log}");
}
