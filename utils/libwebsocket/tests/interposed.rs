//! Unmodified stream servers under LD_PRELOAD: each must pass every scene.

mod scenes;
mod support;

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scenes::{TEXT, scenes};
use support::{DEADLINE, Server, compile};

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
    for (name, scene) in scenes() {
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
    // It would be five seconds each.
    let used = server.processor_time();
    assert!(used < Duration::from_secs(5), "{used:?}");
}

#[test]
fn a_forking_server_speaks_websocket() {
    let server = play(c_server("fork", None), &[]);
    server.wait_until_idle();
    server.wait_until_childless();
}

#[test]
fn a_forking_server_whose_children_leave_at_once_speaks_websocket() {
    play(c_server("fork", Some("_exit")), &[]).wait_until_childless();
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
    for (name, scene) in scenes() {
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
    play(script("python3", "echo.py", Some("fork")), &[]).wait_until_childless();
}

#[test]
#[ignore = "needs python3: make check-programs"]
fn python_asyncio_speaks_websocket() {
    play(script("python3", "echo_asyncio.py", None), &[]);
}

#[test]
#[ignore = "needs python3: make check-programs"]
fn five_silent_connections_a_second_do_not_stop_an_asyncio_server() {
    let server = script("python3", "echo_asyncio.py", None);
    let mut client = server.client();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut silent = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                silent.push(server.plain());
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let started = Instant::now();
        let mut echoes = 0;
        // With 300 ms of each second and connection for waits there are none, however long it takes.
        let is_over = |echoes| match started.elapsed() {
            short if short < Duration::from_secs(4) => false,
            long => echoes >= 100 || long > DEADLINE,
        };
        while !is_over(echoes) {
            client.send(TEXT, b"Hello");
            assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()));
            echoes += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let time = started.elapsed();
        println!("figure: {echoes} echoes in {time:.1?} beside 5 silent connections a second");
        assert!(echoes >= 100, "{echoes}");
    });
}

#[test]
fn clients_that_do_not_answer_close_hold_up_no_server_of_one_thread() {
    let server = c_server("single", None);
    let started = Instant::now();
    let quiet: Vec<_> = (0..60)
        .map(|_| {
            let mut client = server.client();
            client.send(TEXT, b"quit");
            assert_eq!(client.frame(), (TEXT, b"quit".to_vec()));
            assert_eq!(client.frame().0, 0x88);
            client
        })
        .collect();
    let waited = started.elapsed();
    println!("figure: 60 clients that do not answer Close took {waited:?}");
    // A second each would make sixty.
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    // They are seen off without another call of the server's.
    server.wait_until_idle();
    for mut client in quiet {
        client.at_end();
    }
}

/// A client whose server speaks first, and hears of it only after it has accepted.
fn greeted_late(mode: &str) {
    let server = c_server("greeting", Some(mode));
    let accepted = server.socket.with_extension("accepted");
    let within_silence = loop {
        // The server's first client is the start's, which has left.
        let _ = std::fs::remove_file(&accepted);
        let started = Instant::now();
        let gateway = server.plain();
        while !accepted.exists() {
            assert!(started.elapsed() < DEADLINE, "{mode}: it does not accept");
            std::thread::sleep(Duration::from_millis(1));
        }
        let client = server.client_over(&gateway);
        // Later the server may have taken the gateway for a plain client.
        if started.elapsed() < Duration::from_millis(250) {
            break client;
        }
    };
    let mut client = within_silence;
    assert_eq!(client.frame(), (TEXT, b"hello".to_vec()), "{mode}");
    client.send(TEXT, b"and you");
    assert_eq!(client.frame(), (TEXT, b"and you".to_vec()), "{mode}");
    client.send(TEXT, b"quit");
    assert_eq!(client.frame(), (TEXT, b"quit".to_vec()), "{mode}");
    client.send(0x88, b"");
    assert_eq!(client.frame().0, 0x88);
    // A plain client that waits for the greeting gets it too.
    let mut hello = [0; 5];
    let mut plain = server.plain();
    plain.read_exact(&mut hello).expect("a greeting");
    assert_eq!(&hello, b"hello", "{mode}");
}

#[test]
fn a_server_may_speak_before_its_client_has_come() {
    for mode in ["block", "poll", "select", "epoll", "edge"] {
        greeted_late(mode);
    }
}

/// What the gateway says of the type of the messages (docs/behaviour.md, section 5), behind a TLV
/// that is none of ours.
fn typed(code: u8) -> Vec<u8> {
    let mut told = b"WS\x01\x70\0\x02??\xe7\0\x01".to_vec();
    told.push(code);
    told
}

#[test]
fn the_frametype_that_the_gateway_tells_is_kept() {
    const BINARY: u8 = 0x82;
    let server = c_server("greeting", None);
    for (code, first, then) in [
        (1, TEXT, TEXT),
        (2, BINARY, BINARY),
        (3, BINARY, TEXT),
        (77, TEXT, TEXT),
    ] {
        let mut client = server.client_told_of(&server.plain(), &typed(code));
        assert_eq!(client.frame(), (first, b"hello".to_vec()), "{code}");
        client.send(TEXT, b"text");
        assert_eq!(client.frame(), (then, b"text".to_vec()), "{code}");
        client.send(0x88, b"");
        assert_eq!(client.frame().0, 0x88);
    }
    // A client that gets text only, and bytes that are none.
    let mut client = server.client_told_of(&server.plain(), &typed(1));
    client.frame();
    client.send(BINARY, b"\xff");
    assert_eq!(client.closed(), Some(1007));
}

#[test]
fn the_gateway_gets_one_byte_when_its_client_has_come_and_the_end_with_it() {
    for name in ["thread", "fork", "poll", "select", "epoll"] {
        let server = c_server(name, None);
        let mut gateway = server.plain();
        let mut client = server.client_over(&gateway);
        let mut answer = [0; 2];
        assert_eq!(gateway.read(&mut answer).expect("an answer"), 1, "{name}");
        client.send(TEXT, b"Hello");
        assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()), "{name}");
        gateway.set_nonblocking(true).expect("a flag");
        let silent = gateway.read(&mut answer).expect_err("it is open");
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock, "{name}");
        gateway.set_nonblocking(false).expect("a flag");
        client.send(0x88, b"");
        assert_eq!(client.closed(), None, "{name}");
        assert_eq!(gateway.read(&mut answer).expect("an end"), 0, "{name}");
    }
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
            // socat alone reads the pipe that it writes: more at a time than the pipe is sure to
            // have room for (PIPE_BUF, pipe(7)) may stop it for good.
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
