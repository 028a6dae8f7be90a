//! USR2: another binary takes over, and nobody notices.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Client;
use crate::frames::TEXT;
use crate::gateway::{Gateway, free_address, is_emulated};
use crate::http;
use crate::process::{DEADLINE, TempDir, copy, figure, is_root, wait_until};

/// Why none of this is tested in an emulator.
pub(crate) const NO_PROGRAM: &str =
    "the daemon starts its own file, which this processor cannot run";

/// A line of the log that tells of a new process.
const TAKEN: &str = "serves from now on";

/// A gateway whose program is a copy that may be replaced.
pub(crate) struct Installed {
    pub(crate) gateway: Gateway,
    directory: TempDir,
}

impl Installed {
    /// Starts it with these lines at the top of its configuration. No client goes over to a new
    /// process.
    pub(crate) fn start(top: &str) -> Self {
        Self::start_for(top, "park = 3600;", None)
    }

    /// The same with these settings of `websocket`, for a service manager that listens on this
    /// socket.
    pub(crate) fn start_for(top: &str, websocket: &str, manager: Option<&Path>) -> Self {
        let directory = TempDir::new();
        let program = directory.path().join("ouistiti");
        copy(Path::new(env!("CARGO_BIN_EXE_ouistiti")), &program);
        let mut command = Command::new(&program);
        command.arg("-p").arg(directory.path().join("pid"));
        // The top of the file stands behind its servers: the order means nothing.
        if let Some(path) = manager {
            command.env("NOTIFY_SOCKET", path);
        }
        let gateway = Gateway::run_with(&mut command, free_address(), top, "", websocket);
        gateway.backend("echo").echo();
        let socket = gateway.path("run").join("echo");
        fs::set_permissions(socket, PermissionsExt::from_mode(0o666)).unwrap();
        Self { gateway, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts another program in the place of the one that runs.
    fn replace(&self, text: &[u8]) {
        let new = self.path("new");
        fs::write(self.path("text"), text).unwrap();
        copy(&self.path("text"), &new);
        fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("ouistiti")).unwrap();
    }

    /// The process in the pid file; 0 while it is being written.
    pub(crate) fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.path("pid")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Asks the process in the pid file to upgrade, and waits until another one is there.
    pub(crate) fn upgrade(&self) {
        let before = self.pid();
        kill(Pid::from_raw(before), Signal::SIGUSR2).unwrap();
        wait_until("another process in the pid file", || {
            let now = self.pid();
            now != 0 && now != before
        });
    }

    /// Asks for an upgrade that fails, and waits until the log says so.
    fn fail_to_upgrade(&self) -> String {
        let count = || self.gateway.process.log().matches("no upgrade: ").count();
        let before = count();
        kill(Pid::from_raw(self.pid()), Signal::SIGUSR2).unwrap();
        wait_until("the upgrade to fail", || count() > before);
        let log = self.gateway.process.log();
        let line = log.lines().rfind(|line| line.contains("no upgrade: "));
        line.unwrap().to_owned()
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

pub(crate) fn echoes(client: &mut Client, text: &str) {
    client.text(text);
    assert_eq!(client.message(), (TEXT, text.as_bytes().to_vec()));
}

/// Opens and ends clients all the time; panics where one is refused.
fn come_and_go(address: SocketAddr, request: &str, is_over: &AtomicBool, served: &AtomicUsize) {
    while !is_over.load(Ordering::Relaxed) {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client::over(stream, request);
        echoes(&mut client, "I come and go");
        client.send(&crate::frames::close(1000));
        client.expect_close(1000);
        served.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn two_upgrades_drop_no_websocket_and_refuse_no_client() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let mut installed = Installed::start("");
    let gateway = &installed.gateway;
    let mut old: Vec<_> = (0..20).map(|_| gateway.open("echo")).collect();
    let (is_over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let first = installed.pid();
    let mut newer = std::thread::scope(|scope| {
        let (is_over, served) = (&is_over, &served);
        let (address, request) = (gateway.address(), http::upgrade(gateway, "/echo", ""));
        scope.spawn(move || come_and_go(address, &request, is_over, served));
        installed.upgrade();
        let second = installed.pid();
        let newer: Vec<_> = (0..20).map(|_| gateway.open("echo")).collect();
        installed.upgrade();
        assert!(is_alive(first) && is_alive(second));
        is_over.store(true, Ordering::Relaxed);
        newer
    });
    figure(format_args!(
        "{} clients came and went during two upgrades",
        served.load(Ordering::Relaxed)
    ));
    let mut newest = gateway.open("echo");
    for client in old.iter_mut().chain(&mut newer).chain([&mut newest]) {
        echoes(client, "still here");
    }
    // Whoever has started the first process stops it: all of them stop.
    gateway.process.signal(Signal::SIGTERM);
    for client in old.iter_mut().chain(&mut newer).chain([&mut newest]) {
        client.expect_close(1001);
        client.send(&crate::frames::close(1001));
    }
    assert_eq!(installed.gateway.process.wait().code(), Some(0));
    wait_until("the pid file to go", || !installed.path("pid").exists());
}

#[test]
fn a_process_between_two_others_ends_with_its_last_client() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = Installed::start("");
    installed.upgrade();
    let (second, mut client) = (installed.pid(), installed.gateway.open("echo"));
    installed.upgrade();
    echoes(&mut client, "of the second");
    assert!(is_alive(second));
    client.send(&crate::frames::close(1000));
    client.expect_close(1000);
    wait_until("the second process to end", || !is_alive(second));
    let mut client = installed.gateway.open("echo");
    echoes(&mut client, "of the third");
    // A signal to the first process reaches the third.
    installed.gateway.process.signal(Signal::SIGHUP);
    let read = |line: &str| line.contains("configuration read again");
    assert!(installed.gateway.process.find_line(read).is_some());
}

#[test]
fn the_service_manager_is_told_which_process_is_the_main_one() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let directory = TempDir::new();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let installed = Installed::start_for("", "", Some(&path));
    let first = installed.pid();
    installed.upgrade();
    let mut words = Vec::new();
    for _ in 0..3 {
        let mut word = [0; 64];
        let length = socket.recv(&mut word).expect("a word");
        words.push(String::from_utf8_lossy(&word[..length]).into_owned());
    }
    let second = installed.pid();
    assert_eq!(
        words,
        [
            "READY=1".to_owned(),
            format!("MAINPID={second}"),
            "READY=1".to_owned()
        ]
    );
    // Nobody waits for the first one: it ends, since it has no client.
    wait_until("the first process to end", || !is_alive(first));
    kill(Pid::from_raw(second), Signal::SIGTERM).unwrap();
    wait_until("the second process to end", || !is_alive(second));
}

#[test]
fn a_binary_that_fails_leaves_the_old_one_serving() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = Installed::start("");
    let mut client = installed.gateway.open("echo");
    let pid = installed.pid();
    let good = fs::read(installed.path("ouistiti")).unwrap();
    for (broken, words) in [
        (
            b"#!/bin/sh\nexit 1\n".as_slice(),
            "it ended before it served",
        ),
        // It takes what it is given, says that it serves, and ends.
        (
            b"#!/bin/sh\nwhile read -r line && [ \"$line\" ]; do :; done\nprintf 'ready\\0\\0\\0\\1' >&0\n",
            "it ended soon after its start",
        ),
        (b"no program", "exec format error"),
        (b"", "exec format error"),
    ] {
        installed.replace(broken);
        let line = installed.fail_to_upgrade();
        assert!(line.contains(words), "{line}");
        assert!(line.contains("all stays as it was"), "{line}");
    }
    assert_eq!(installed.pid(), pid);
    echoes(&mut client, "still here");
    echoes(&mut installed.gateway.open("echo"), "and others");
    installed.replace(&good);
    installed.upgrade();
    echoes(&mut client, "still here");
}

#[test]
fn a_configuration_that_is_wrong_leaves_the_old_process_serving() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = Installed::start("");
    let file = installed.gateway.path("ouistiti.conf");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "servers = ( { prot = 1 } );").unwrap();
    installed.fail_to_upgrade();
    let log = installed.gateway.process.log();
    assert!(log.contains("prot"), "{log}");
    echoes(&mut installed.gateway.open("echo"), "still here");
    fs::write(&file, good).unwrap();
    installed.upgrade();
}

#[test]
fn a_daemon_without_privileges_is_followed_by_one_that_had_them() {
    if is_emulated(NO_PROGRAM) || !is_root() {
        return;
    }
    let installed = Installed::start("user = \"nobody\"; landlock = true;");
    let mut client = installed.gateway.open("echo");
    installed.upgrade();
    let status = fs::read_to_string(format!("/proc/{}/status", installed.pid())).unwrap();
    let ids = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap();
    assert!(!ids.contains("\t0"), "{ids}");
    echoes(&mut client, "still here");
    echoes(&mut installed.gateway.open("echo"), "and others");
    let log = installed.gateway.process.log_until(TAKEN);
    assert!(log.contains(TAKEN), "{log}");
}

#[test]
fn a_reload_during_an_upgrade_is_not_lost() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = Installed::start("");
    let before = installed.pid();
    kill(Pid::from_raw(before), Signal::SIGUSR2).unwrap();
    let log = || installed.gateway.process.log();
    wait_until("the new process to serve", || {
        log().matches("listening on").count() > 1
    });
    // Both processes have read their configuration; this is for the next one.
    let file = installed.gateway.path("ouistiti.conf");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace("docroot =", "frametype = \"binary\"; docroot =");
    fs::write(&file, changed).unwrap();
    kill(Pid::from_raw(before), Signal::SIGHUP).unwrap();
    wait_until("another process in the pid file", || {
        let now = installed.pid();
        now != 0 && now != before
    });
    let read = |line: &str| line.contains("configuration read again");
    assert!(installed.gateway.process.find_line(read).is_some());
    let mut client = installed.gateway.open("echo");
    client.text("hello");
    assert_eq!(client.message(), (crate::frames::BINARY, b"hello".to_vec()));
}

#[test]
fn clients_that_stay_longer_than_the_limit_get_1001() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = Installed::start("upgrade-limit = 1;");
    let mut old = installed.gateway.open("echo");
    installed.upgrade();
    let mut new = installed.gateway.open("echo");
    old.expect_close(1001);
    std::thread::sleep(Duration::from_millis(100));
    echoes(&mut new, "still here");
}

#[test]
fn whoever_asks_the_daemon_may_have_it_upgraded() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let directory = TempDir::new();
    let control = directory.path().join("control");
    let installed = Installed::start(&format!("control = \"{}\";", control.display()));
    let file = installed.gateway.path("ouistiti.conf");
    let ask = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ouistiti"));
        let output = command.arg("-S").arg("-f").arg(&file).args(words).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let mut client = installed.gateway.open("echo");
    let before = installed.pid();
    assert!(ask(&["upgrade"]).contains("the upgrade begins"));
    wait_until("another process in the pid file", || {
        let now = installed.pid();
        now != 0 && now != before
    });
    // The new one answers, and has no client yet.
    let mut newer = installed.gateway.open("echo");
    echoes(&mut newer, "hello");
    echoes(&mut client, "still here");
    let state = ask(&["json"]);
    assert_eq!(state.matches("\"peer\"").count(), 1, "{state}");
}
