//! The built websocket_jsonrpc with authrpc: who becomes the first user, and who waits for whom.

mod plugins;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use plugins::{Client, PROGRAM, built, start};
use servertest::{Directory, Server};

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const NOT_FOUND: &str = r#""error":{"code":-32000,"message":"user or password not found"}"#;

/// A server with authrpc on this file, whom the gateway tells its clients.
fn with_file(file: &Path, config: &str) -> Server {
    let directory = Directory::new();
    let plugin = built(&directory, "authrpc");
    let config = format!("{}{config}", file.display());
    start(directory, &plugin, &["-P", "-C", &config])
}

fn account(user: &str, passwd: &str) -> String {
    format!(r#"{{"user":"{user}","passwd":"{passwd}"}}"#)
}

#[test]
fn users_stay_across_clients_and_restarts() {
    let data = Directory::new();
    let file = data.path().join("users.db");
    let mut server = with_file(&file, "");
    let mut client = Client::from_address(&server, LOOPBACK);
    let user = r#"{"user":"root","passwd":"secret","home":"/root"}"#;
    assert_eq!(
        client.call("adduser", user),
        r#""result":{"message":"user added"}"#
    );
    assert_eq!(client.call("auth", &account("root", "wrong")), NOT_FOUND);
    let answer = client.call("auth", user);
    assert!(answer.contains(r#""algorithm":"argon2id""#), "{answer}");
    assert!(server.stop(Signal::SIGTERM).success());
    let server = with_file(&file, "");
    let answer = Client::from_address(&server, [192, 0, 2, 1]).call("auth", user);
    assert!(answer.contains(r#""group":"root""#), "{answer}");
}

#[test]
fn the_first_user_is_made_at_the_start_with_a_password_that_is_printed() {
    let directory = Directory::new();
    let plugin = built(&directory, "authrpc");
    let file = directory.path().join("users.db").display().to_string();
    // What the program says until it listens; it ends with its standard input.
    let started = || {
        let mut server = Command::new(PROGRAM)
            .arg("-R")
            .arg(directory.path())
            .arg("-L")
            .arg(&plugin)
            .args(["-n", "name", "-C", &format!("{file};root=admin")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let stderr = server.stderr.take().expect("its stderr");
        let lines = BufReader::new(stderr)
            .lines()
            .map(|line| line.expect("text"));
        let said: Vec<String> = lines
            .take_while(|line| !line.contains("listening"))
            .collect();
        (server, said.join("\n"))
    };
    let ask = |method: &str, params: &str| {
        let socket = directory.path().join("name");
        let client = servertest::client(&socket, nix::sys::socket::SockType::Stream);
        Client(BufReader::new(client)).call(method, params)
    };
    let (mut server, said) = started();
    let password = said.split("with the password ").nth(1).expect("a password");
    let password = password.split_whitespace().next().expect("a password");
    let answer = ask("auth", &account("admin", password));
    assert!(
        answer.contains(r#""group":"root","user":"admin""#),
        "{answer}"
    );
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    let (mut server, said) = started();
    assert_eq!(said, "", "there is a user already");
    assert!(ask("auth", &account("admin", password)).contains("root"));
    server.kill().expect("it runs");
    server.wait().expect("it ends");
}

#[test]
fn nobody_from_elsewhere_becomes_the_first_user() {
    let data = Directory::new();
    let file = data.path().join("users.db");
    let server = with_file(&file, "");
    for address in [[192, 0, 2, 1], [10, 0, 0, 1]] {
        let mut client = Client::from_address(&server, address);
        let answer = client.call("adduser", &account("mine", "p"));
        assert!(answer.contains("there is no user yet"), "{answer}");
    }
    // Without the address, all clients of a gateway look alike.
    let server = {
        let directory = Directory::new();
        let plugin = built(&directory, "authrpc");
        start(directory, &plugin, &["-C", &file.display().to_string()])
    };
    let answer = Client::of(&server).call("adduser", &account("mine", "p"));
    assert!(answer.contains("there is no user yet"), "{answer}");
}

#[test]
fn a_right_password_does_not_wait_for_those_who_guess_elsewhere() {
    let data = Directory::new();
    let file = data.path().join("users.db");
    let server = with_file(&file, "");
    let owner = account("owner", "right");
    let mut first = Client::from_address(&server, LOOPBACK);
    assert_eq!(
        first.call("adduser", &owner),
        r#""result":{"message":"user added"}"#
    );
    let over = AtomicBool::new(false);
    let guessing = std::sync::Barrier::new(21);
    std::thread::scope(|scope| {
        for host in 1..=20 {
            let (server, over, guessing) = (&server, &over, &guessing);
            scope.spawn(move || {
                for round in 0.. {
                    let mut client = Client::from_address(server, [198, 51, 100, host]);
                    for number in 0..10 {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let guess = account("owner", &format!("guess{round}.{number}"));
                        client.ask_with("auth", &guess);
                        client.try_read();
                        if round + number == 0 {
                            guessing.wait();
                        }
                    }
                }
            });
        }
        guessing.wait();
        let mut longest = Duration::ZERO;
        for host in 1..=10 {
            let begin = Instant::now();
            let answer = Client::from_address(&server, [192, 0, 2, host]).call("auth", &owner);
            longest = longest.max(begin.elapsed());
            assert!(answer.contains(r#""user":"owner""#), "{answer}");
        }
        over.store(true, Ordering::Relaxed);
        println!("20 guess, ten right passwords wait {longest:?} at most");
        // A second on a quiet machine; behind those who guess it would be many.
        assert!(longest < Duration::from_secs(30), "{longest:?}");
    });
}

#[test]
fn a_guess_of_a_client_that_has_left_is_not_waited_for() {
    let data = Directory::new();
    let file = data.path().join("users.db");
    let directory = Directory::new();
    let plugin = built(&directory, "authrpc");
    // A minute after the first wrong password.
    let config = format!("{};delay=60000", file.display());
    let server = start(directory, &plugin, &["-m", "1", "-P", "-C", &config]);
    let mut client = Client::from_address(&server, LOOPBACK);
    assert_eq!(client.call("auth", &account("u", "p")), NOT_FOUND);
    client.ask_with("auth", &account("u", "q"));
    drop(client);
    let end = Instant::now() + servertest::DEADLINE;
    let next = || Client::from_address(&server, [192, 0, 2, 1]).try_call("none");
    let answer = std::iter::repeat_with(next)
        .take_while(|_| Instant::now() < end)
        .flatten()
        .next();
    assert!(answer.expect("the place stays taken").contains("-32601"));
}
