//! Unmodified stream servers under LD_PRELOAD: each must pass every scene.

mod scenes;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use scenes::{SCENES, TEXT};
use support::{Server, compile};

fn c_server(name: &str, mode: Option<&str>) -> Server {
    Server::start(true, |directory, socket| {
        let mut command = Command::new(compile(&format!("tests/servers/{name}.c"), directory, &[]));
        command.arg(socket).args(mode);
        command
    })
}

fn script(program: &str, file: &str, mode: Option<&str>) -> Server {
    Server::start(true, |_, socket| {
        let mut command = Command::new(program);
        command
            .arg(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/servers")
                    .join(file),
            )
            .arg(socket)
            .args(mode);
        command
    })
}

/// Plays every scene but those named, and gives the server back.
fn play(mut server: Server, without: &[&str]) -> Server {
    for (name, scene) in SCENES {
        if !without.contains(name) {
            eprintln!("scene: {name}");
            scene(&server);
            assert!(server.is_alive(), "the server ended in: {name}");
        }
    }
    server
}

#[test]
fn a_thread_server_speaks_websocket() {
    play(c_server("thread", None), &[]).wait_until_idle();
}

#[test]
fn closing_a_client_that_is_gone_takes_no_processor_time() {
    let server = c_server("thread", None);
    for _ in 0..10 {
        let mut client = server.client();
        client.send(TEXT, b"Hello");
        assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()));
        client.reset();
    }
    server.wait_until_idle();
    let used = server.processor_time();
    assert!(used < Duration::from_millis(300), "{used:?}");
}

#[test]
fn a_forking_server_speaks_websocket() {
    play(c_server("fork", None), &[]).wait_until_idle();
}

#[test]
fn a_select_server_speaks_websocket() {
    play(c_server("select", None), &[]).wait_until_idle();
}

#[test]
fn a_poll_server_speaks_websocket() {
    play(c_server("poll", None), &[]).wait_until_idle();
}

#[test]
fn an_epoll_server_speaks_websocket() {
    play(c_server("epoll", None), &[]).wait_until_idle();
}

#[test]
fn an_edge_triggered_server_speaks_websocket() {
    play(c_server("epoll", Some("edge")), &[]).wait_until_idle();
}

#[test]
fn a_one_shot_epoll_server_speaks_websocket() {
    play(c_server("epoll", Some("oneshot")), &[]).wait_until_idle();
}

/// What would take minutes under valgrind.
const LONG: &[&str] = &[
    "a slow reader gets every byte",
    "a flood of frames without payload stops nobody",
];

/// Plays every scene under valgrind but the long ones.
fn play_under_valgrind(name: &str, mode: Option<&str>) {
    let directory = support::directory();
    let log = directory.join("log");
    let mut server = Server::start(true, |directory, socket| {
        let program = compile(&format!("tests/servers/{name}.c"), directory, &["-g"]);
        let mut command = Command::new("valgrind");
        command
            .args(["--leak-check=full", "--errors-for-leak-kinds=definite"])
            .arg(format!("--log-file={}", log.display()))
            .arg(program)
            .arg(socket)
            .args(mode);
        command
    });
    for (name, scene) in SCENES {
        if !LONG.contains(name) {
            eprintln!("scene: {name}");
            scene(&server);
        }
    }
    server.wait_until_idle();
    server.terminate();
    let log_text = std::fs::read_to_string(&log).expect("valgrind's log");
    let _ = std::fs::remove_dir_all(&directory);
    assert!(log_text.contains("ERROR SUMMARY: 0 errors"), "{log_text}");
}

#[test]
#[ignore = "needs valgrind: make check"]
fn valgrind_finds_nothing_in_a_thread_server() {
    play_under_valgrind("thread", None);
}

#[test]
#[ignore = "needs valgrind: make check"]
fn valgrind_finds_nothing_in_an_epoll_server() {
    play_under_valgrind("epoll", Some("edge"));
}

#[test]
#[ignore = "needs valgrind: make check"]
fn valgrind_finds_nothing_in_a_select_server() {
    play_under_valgrind("select", None);
}

#[test]
#[ignore = "needs python3: make check-programs"]
fn python_socketserver_speaks_websocket() {
    play(script("python3", "echo.py", Some("thread")), &[]).wait_until_idle();
}

#[test]
#[ignore = "needs python3: make check-programs"]
fn python_forking_socketserver_speaks_websocket() {
    play(script("python3", "echo.py", Some("fork")), &[]).wait_until_idle();
}

#[test]
fn a_server_on_rusts_std_speaks_websocket() {
    let server = Server::start(true, |directory, socket| {
        let program = directory.join("echo");
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .args(["--edition", "2024", "-o"])
            .arg(&program)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/servers/echo.rs"
            ))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the server does not compile"
        );
        let mut command = Command::new(program);
        command.arg(socket);
        command
    });
    play(server, &[]).wait_until_idle();
}

#[test]
#[ignore = "needs node: make check-programs"]
fn node_net_server_speaks_websocket() {
    play(script("node", "echo.js", None), &[]).wait_until_idle();
}

#[test]
#[ignore = "needs socat: make check-programs"]
fn socat_speaks_websocket() {
    let server = Server::start(true, |_, socket| {
        let mut command = Command::new("socat");
        command
            // socat alone reads the pipe that it writes: more at a time than the pipe is sure
            // to have room for (PIPE_BUF, pipe(7)) may stop it for good.
            .args(["-b", "4096"])
            .arg(format!("UNIX-LISTEN:{},fork,backlog=128", socket.display()))
            .arg("PIPE");
        command
    });
    let without = [
        // The pipe between socat's two sides joins them.
        "messages in one segment come back one by one",
        // Nobody there knows the word for it; see below.
        "the server's close is a Close 1000",
        "a client that talks on gets the server's last words",
    ];
    play(server, &without);
}

#[test]
#[ignore = "needs socat: make check-programs"]
fn a_program_behind_socat_ends_with_a_close_1000() {
    let server = Server::start(true, |_, socket| {
        let mut command = Command::new("socat");
        command
            .arg(format!("UNIX-LISTEN:{},fork", socket.display()))
            .arg("SYSTEM:head -c 9");
        command
    });
    let mut client = server.client();
    client.send(TEXT, b"last");
    client.send(TEXT, b"words");
    let mut words = Vec::new();
    while words.len() < 9 {
        let (kind, payload) = client.frame();
        assert_eq!(kind, TEXT);
        words.extend(payload);
    }
    assert_eq!(words, b"lastwords");
    assert_eq!(client.closed(), Some(1000));
}
