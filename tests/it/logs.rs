//! A log that does not take lines, and one that is rotated: neither stops anybody.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::Pid;

use crate::daemon::Home;
use crate::faults::{NO_FAULTS, daemon_with};
use crate::gateway::{Gateway, NO_DETACHING, daemon, free_address, is_emulated};
use crate::process::{DEADLINE, Process, TempDir, figure, is_root, terminal, wait_until};

/// Makes a pipe full.
fn fill(pipe: &File) {
    let size = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(4096)).expect("a pipe");
    let full = vec![b'x'; usize::try_from(size).expect("a size")];
    (&*pipe).write_all(&full).expect("an empty pipe");
}

/// A child that ends with the value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A daemon that logs much answers its clients and ends in order.
fn answers_and_ends(settings: &str, stderr: Option<OwnedFd>, then: impl FnOnce(SocketAddr)) {
    let (directory, address) = (TempDir::new(), free_address());
    let (ip, port) = (address.ip(), address.port());
    let path = directory.path().join("conf");
    let docroot = directory.path().display();
    let text = format!(
        "{settings} servers = ( {{ addr = \"{ip}\"; port = {port}; \
         document = {{ docroot = \"{docroot}\"; }}; }} );\n"
    );
    fs::write(&path, text).unwrap();
    let mut command = daemon();
    command.arg("-v").arg("-f").arg(&path);
    let stderr = stderr.map_or_else(Stdio::null, Stdio::from);
    let mut child = Running(command.stderr(stderr).spawn().unwrap());
    let mut stream = None;
    wait_until("it to listen", || {
        stream = TcpStream::connect(address).ok();
        stream.is_some()
    });
    ask(&mut stream.expect("it listens"));
    then(address);
    kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    let mut status = None;
    wait_until("the daemon to end", || {
        status = child.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

/// Asks for a service that is not there, which makes a line of the log.
fn ask(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[test]
fn a_pipe_that_nobody_reads_takes_no_line_and_stops_nobody() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    fill(&writer);
    answers_and_ends("", Some(writer.into()), |address| {
        let mut full = [0; 4096];
        reader.read_exact(&mut full).unwrap();
        ask(&mut TcpStream::connect(address).expect("it listens"));
        let mut text = String::new();
        while !text.contains("lines lost: the log did not take them") {
            let count = reader.read(&mut full).unwrap();
            text += std::str::from_utf8(&full[..count]).unwrap();
        }
    });
}

#[test]
fn a_fifo_that_nobody_reads_takes_no_line_and_stops_nobody() {
    let directory = TempDir::new();
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let fifo = File::options().read(true).write(true).open(&path).unwrap();
    fill(&fifo);
    let settings = format!("log-file = \"{}\";", path.display());
    answers_and_ends(&settings, None, |_| {});
}

/// A terminal, opened for another process.
fn tty(path: &str, flags: OFlag) -> File {
    let mut options = File::options();
    options.custom_flags((OFlag::O_NOCTTY | flags).bits());
    options.read(true).write(true).open(path).unwrap()
}

#[test]
fn a_stopped_terminal_takes_no_line_and_stops_nobody() {
    let (_master, path) = terminal();
    let terminal = tty(&path, OFlag::empty());
    tcflow(&terminal, FlowArg::TCOOFF).unwrap();
    answers_and_ends("", Some(terminal.into()), |_| {});
}

/// Fills a terminal that nobody reads with so many lines at most. Returns how many it took whole.
fn fill_tty(path: &str, most: usize) -> usize {
    let mut terminal = tty(path, OFlag::O_NONBLOCK);
    let line = [&[b'x'; 99][..], b"\n"].concat();
    let is_taken = |_: &usize| terminal.write(&line).is_ok_and(|count| count == line.len());
    (0..most).take_while(is_taken).count()
}

#[test]
fn a_terminal_that_takes_half_a_line_stops_nobody() {
    let (_full, path) = terminal();
    let most = fill_tty(&path, usize::MAX);
    let (_master, path) = terminal();
    let terminal = tty(&path, OFlag::empty());
    // The terminal is ready for more, but not for everything that the daemon logs.
    fill_tty(&path, most);
    answers_and_ends("", Some(terminal.into()), |address| {
        for _ in 0..10 {
            ask(&mut TcpStream::connect(address).expect("it listens"));
        }
    });
}

#[test]
fn the_log_file_is_the_users_who_opens_it_anew() {
    if is_emulated(NO_DETACHING) || !is_root() {
        return;
    }
    let home = Home::new("user = \"nobody\";");
    assert_eq!(home.run(&["-D"]), (Some(0), String::new()));
    let made = fs::metadata(home.path("log")).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(
        (made.uid(), made.mode() & 0o777),
        (nobody.uid.as_raw(), 0o640)
    );
    // As logrotate(8) does with `create`.
    fs::rename(home.path("log"), home.path("log.1")).unwrap();
    fs::write(home.path("log"), "").unwrap();
    std::os::unix::fs::chown(home.path("log"), Some(made.uid()), None).unwrap();
    let pid = home.read("pid").trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    wait_until("the new file", || {
        home.read("log").contains("configuration read again")
    });
}

#[test]
fn root_follows_no_link_that_somebody_put_in_the_place_of_the_log_or_pid_file() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    for name in ["log", "pid"] {
        let home = Home::new("");
        for (target, text) in [("precious", Some("precious")), ("absent", None)] {
            if let Some(text) = text {
                fs::write(home.path(target), text).unwrap();
            }
            std::os::unix::fs::symlink(home.path(target), home.path(name)).unwrap();
            let (code, errors) = home.run(&["-D"]);
            assert_eq!(code, Some(1), "{errors}");
            let path = home.path(name).display().to_string();
            assert!(
                errors.contains(&path) && errors.contains("symbolic link"),
                "{errors}"
            );
            assert_eq!(fs::read_to_string(home.path(target)).ok().as_deref(), text);
            fs::remove_file(home.path(name)).unwrap();
        }
        // A second name (a hard link) does as much as a symbolic link.
        fs::hard_link(home.path("precious"), home.path(name)).unwrap();
        let (code, errors) = home.run(&["-D"]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains("second name"), "{errors}");
        assert_eq!(home.read("precious"), "precious");
        fs::remove_file(home.path(name)).unwrap();
    }
    figure("links and second names: nothing written, nothing made");
}

#[test]
fn a_pid_file_that_somebody_else_wrote_kills_nobody() {
    if is_emulated(NO_DETACHING) || !is_root() {
        return;
    }
    let home = Home::new("");
    let mut victim = Running(
        std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap(),
    );
    fs::write(home.path("pid"), victim.0.id().to_string()).unwrap();
    let theirs = File::open(home.path("pid")).unwrap();
    theirs.lock().unwrap();
    for (owner, reason) in [(0, "is not ouistiti"), (65534, "belongs to user 65534")] {
        std::os::unix::fs::chown(home.path("pid"), Some(owner), None).unwrap();
        let (code, errors) = home.run(&["-K"]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(reason), "{errors}");
        assert!(victim.0.try_wait().unwrap().is_none());
    }
}

/// Runs a gateway with these settings and this file as its standard error. Returns what the file
/// has after a refused request and the gateway's end.
fn lines_of(settings: &str, variables: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let found = nix::sys::stat::fstat(&writer).unwrap();
    let stream = format!("{}:{}", found.st_dev, found.st_ino);
    let (directory, address) = (TempDir::new(), free_address());
    let path = directory.path().join("conf");
    let conf = format!(
        "{settings} servers = ( {{ addr = \"{}\"; port = {}; document = {{ docroot = \"{}\"; }}; }} );",
        address.ip(),
        address.port(),
        directory.path().display()
    );
    fs::write(&path, conf).unwrap();
    let mut command = daemon();
    for (name, value) in variables {
        command.env(name, value.replace("STREAM", &stream));
    }
    command.arg("-f").arg(&path).stderr(writer);
    let mut child = Running(command.spawn().unwrap());
    drop(command);
    wait_until("it to listen", || TcpStream::connect(address).is_ok());
    kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn each_refusal_is_told_with_its_status_and_cure_without_any_option() {
    let gateway = Gateway::with("", "deny = \"secret\";");
    let dead = gateway.path("run/dead");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let foreign = "Origin: http://evil.example\r\n";
    for (path, more, wanted) in [
        (
            "/none",
            "",
            "404, no service none; there is no socket of that name in 'docroot'",
        ),
        (
            "/secret",
            "",
            "403, name not allowed: secret; 'allow' and 'deny'",
        ),
        (
            "/dead",
            "",
            "503, service not available: dead: connection refused; its server must run",
        ),
        (
            "/dead",
            foreign,
            "403, origin not allowed: http://evil.example",
        ),
    ] {
        let request = crate::http::upgrade(&gateway, path, more);
        crate::http::ask(&gateway, &request);
        let line = gateway.process.find_line(|line| line.contains(wanted));
        let line = line.expect("a line");
        assert!(line.starts_with("ouistiti: 127."), "{line}");
    }
}

#[test]
fn an_ipv4_client_of_a_socket_for_both_is_written_as_people_do() {
    let directory = TempDir::new();
    let path = directory.path().join("conf");
    let docroot = directory.path().display();
    let conf = format!("servers = ( {{ port = 0; document = {{ docroot = \"{docroot}\"; }}; }} );");
    fs::write(&path, conf).unwrap();
    let process = Process::start(daemon().arg("-f").arg(&path));
    let line = process.find_line(|line| line.contains("listening on"));
    let line = line.expect("it listens");
    let port: u16 = line
        .split([' ', ','])
        .find_map(|word| {
            word.strip_prefix("http://")?
                .rsplit(':')
                .next()?
                .parse()
                .ok()
        })
        .expect("a port");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    ask(&mut stream);
    let line = process.find_line(|line| line.contains(" refused: 404"));
    let line = line.expect("a line");
    assert!(line.starts_with("ouistiti: 127.0.0.1:"), "{line}");
}

#[test]
fn journald_gets_severities_and_no_name() {
    let text = lines_of("", &[("JOURNAL_STREAM", "STREAM")]);
    assert!(text.starts_with("<6>listening on "), "{text}");
    assert!(text.ends_with("<6>stopping\n"), "{text}");
    // JOURNAL_STREAM names another stream than standard error.
    let text = lines_of("", &[("JOURNAL_STREAM", "1:1")]);
    assert!(text.starts_with("ouistiti: listening on "), "{text}");
}

#[test]
fn a_daemon_in_the_foreground_logs_to_syslog_if_its_service_manager_says_so() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let home = Home::new("");
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    fs::write(home.path("conf"), conf.replace("log-file", "#")).unwrap();
    let syslog = UnixDatagram::bind(home.path("syslog")).unwrap();
    syslog.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut command = daemon_with("FAULT_SYSLOG", home.path("syslog"));
    command.env("OUISTITI_LOG", "syslog").arg("-f");
    let process = Process::start(command.arg(home.path("conf")));
    let mut line = [0; 1024];
    let length = syslog.recv(&mut line).expect("the line of the start");
    let line = String::from_utf8_lossy(&line[..length]).into_owned();
    // 3 (daemon) * 8 + 6 (informational): RFC 3164, section 4.1.1.
    assert!(line.starts_with("<30>ouistiti["), "{line}");
    assert!(line.contains("]: listening on "), "{line}");
    assert_eq!(process.log(), "");
}

#[test]
fn the_least_severity_is_that_of_log_level() {
    let text = lines_of("log-level = \"warn\";", &[]);
    assert_eq!(text, "");
    let text = lines_of("log-level = \"error\"; init_d = \"/nonexistent\";", &[]);
    assert_eq!(text, "");
    let text = lines_of("log-level = \"warn\"; init_d = \"/nonexistent\";", &[]);
    assert!(text.starts_with("ouistiti: warning: no program"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn the_processes_limit_of_descriptors_is_raised_and_not_that_of_its_programs() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    let script = format!("ulimit -n >> {}", home.path("ran").display());
    home.program("init/10-limit", &script);
    let own = daemon();
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "ulimit -Sn 300 && ulimit -Hn 310 && exec \"$0\" \"$@\"",
    ]);
    command.arg(own.get_program()).args(own.get_args());
    let mut process = Process::start(command.arg("-f").arg(home.path("conf")));
    wait_until("it to serve", || home.read("log").contains("listening on"));
    let limits = fs::read_to_string(format!("/proc/{}/limits", home.read("pid").trim())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<_> = line.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["310", "310"]);
    // 200 clients, which the default is, need two each.
    let log = home.read("log");
    assert!(log.contains("warning 310 descriptors are too few"), "{log}");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(home.read("ran"), "300\n300\n");
}
