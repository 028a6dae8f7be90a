//! Listening sockets that the starting process has bound (LISTEN_FDS, sd_listen_fds(3)).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::gateway::{NO_DETACHING, daemon, is_emulated};
use crate::process::{DEADLINE, Process, TempDir};

/// Passes standard input on as descriptor 3, as systemd does.
const PASS_ON: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";

/// A command that starts the daemon with a page, at the address in `server`, and with `socket`.
fn command(socket: OwnedFd, directory: &Path, server: &str) -> Command {
    let file = directory.join("ouistiti.conf");
    let docroot = directory.display();
    let text =
        format!("servers = ( {{ {server} document = {{ docroot = \"{docroot}\"; }}; }} );\n");
    std::fs::write(&file, text).unwrap();
    std::fs::write(directory.join("index.html"), "the page").unwrap();
    let daemon = daemon();
    let mut command = Command::new("sh");
    command.args(["-c", PASS_ON]).arg(daemon.get_program());
    command.args(daemon.get_args()).arg("-f").arg(&file);
    command.stdin(Stdio::from(socket));
    command
}

/// Asks for the page and returns the whole answer.
fn ask(mut stream: impl Read + Write) -> String {
    let mut answer = String::new();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: router\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_passed_tcp_socket_serves_the_server_with_its_address_and_outlives_the_daemon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = format!("addr = \"{}\"; port = {};", address.ip(), address.port());
    let directory = TempDir::new();
    for _ in 0..2 {
        // The client waits in the socket's queue until the daemon runs, as during a restart.
        let early = TcpStream::connect(address).unwrap();
        let socket = listener.try_clone().unwrap().into();
        let mut process = Process::start(&mut command(socket, directory.path(), &server));
        assert!(ask(early).ends_with("the page"));
        assert!(ask(TcpStream::connect(address).unwrap()).ends_with("the page"));
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait().code(), Some(0));
    }
}

#[test]
fn a_passed_unix_socket_serves_and_stays_in_the_file_system() {
    let directory = TempDir::new();
    let path = directory.path().join("web.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = format!("addr = \"unix:{}\";", path.display());
    for _ in 0..2 {
        let socket = listener.try_clone().unwrap().into();
        let mut process = Process::start(&mut command(socket, directory.path(), &server));
        assert!(ask(UnixStream::connect(&path).unwrap()).ends_with("the page"));
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait().code(), Some(0));
    }
}

#[test]
fn a_passed_socket_reaches_the_daemon_that_detaches() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = format!("addr = \"{}\"; port = {};", address.ip(), address.port());
    let directory = TempDir::new();
    let pid_file = directory.path().join("pid");
    let socket = listener.try_clone().unwrap().into();
    let mut start = command(socket, directory.path(), &server);
    let log = directory.path().join("log");
    start.arg("-D").arg("-p").arg(&pid_file).arg("-L").arg(&log);
    let code = start.status().unwrap().code();
    assert_eq!(code, Some(0));
    assert!(ask(TcpStream::connect(address).unwrap()).ends_with("the page"));
    let stopped = daemon().arg("-K").arg("-p").arg(&pid_file).status();
    assert_eq!(stopped.unwrap().code(), Some(0));
}

#[test]
fn a_passed_socket_that_no_server_names_is_told_and_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let directory = TempDir::new();
    let socket = listener.try_clone().unwrap().into();
    let server = "addr = \"127.0.0.1\"; port = 0;";
    let process = Process::start(&mut command(socket, directory.path(), server));
    let line = process.find_line(|line| line.contains("a socket passed to us"));
    assert!(line.unwrap().contains(&address.to_string()));
}

#[test]
fn a_passed_descriptor_that_is_no_socket_ends_the_start_with_1() {
    let directory = TempDir::new();
    let file = std::fs::File::open("/dev/null").unwrap();
    let server = "addr = \"127.0.0.1\"; port = 0;";
    let command = &mut command(file.into(), directory.path(), server);
    let (code, log) = Process::start(command).finish();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("LISTEN_FDS: fd 3 is not a socket"), "{log}");
}

#[test]
fn the_watchdog_of_the_service_manager_gets_a_sign_of_life() {
    let directory = TempDir::new();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let file = directory.path().join("ouistiti.conf");
    let text =
        "servers = ( { addr = \"127.0.0.1\"; port = 0; document = { docroot = \"/\"; }; } );";
    std::fs::write(&file, text).unwrap();
    let mut command = daemon();
    command.arg("-f").arg(&file).env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "200000");
    let _process = Process::start(&mut command);
    let mut word = [0; 64];
    for wanted in ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"] {
        let length = socket.recv(&mut word).expect("a word");
        assert_eq!(&word[..length], wanted.as_bytes());
    }
}

#[test]
fn the_service_manager_is_told_once_it_serves() {
    if is_emulated("the builds for routers have no landlock") {
        return;
    }
    use std::os::linux::net::SocketAddrExt;
    let directory = TempDir::new();
    let path = directory.path().join("notify");
    let name = format!("ouistiti-{}", directory.path().display());
    let hidden = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, variable) in [
        (UnixDatagram::bind(&path), path.display().to_string()),
        (UnixDatagram::bind_addr(&hidden), format!("@{name}")),
    ] {
        let socket = socket.unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let docroot = directory.path().display();
        let landlock = cfg!(feature = "landlock");
        let text = format!(
            "landlock = {landlock}; servers = ( {{ addr = \"127.0.0.1\"; port = 0; \
             document = {{ docroot = \"{docroot}\"; }}; }} );\n"
        );
        let file = directory.path().join("ouistiti.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = daemon();
        command.arg("-f").arg(&file).env("NOTIFY_SOCKET", &variable);
        let process = Process::start(&mut command);
        let mut word = [0; 64];
        let length = socket.recv(&mut word).expect("a word");
        assert_eq!(&word[..length], b"READY=1");
        let line = process.find_line(|line| line.contains("listening on"));
        let address = line.unwrap().split("http://").nth(1).unwrap().to_owned();
        let address = address.split_whitespace().next().unwrap().to_owned();
        TcpStream::connect(address).expect("it listens");
    }
}
