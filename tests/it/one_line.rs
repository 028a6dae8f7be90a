//! Starting without a file: `-l`, and the configuration that `-t` prints for it.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::backend::Backend;
use crate::client::Client;
use crate::frames::TEXT;
use crate::gateway::{Gateway, daemon};
use crate::http::{ask, get, upgrade};

/// Runs the daemon to its end with this text as its standard input.
fn run(options: &[&str], input: &[u8]) -> Output {
    let mut command = daemon();
    let command = command.args(options).stdin(Stdio::piped());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the daemon");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("its end")
}

#[test]
fn a_directory_of_sockets_is_served_with_its_pages_to_pages_of_this_machine() {
    let gateway = Gateway::one_line(&["-d", "DIR/run", "-w", "DIR/www", "-o", "www.example.org"]);
    gateway.backend("echo").echo();
    std::fs::write(gateway.path("www/index.html"), "a page").expect("a file");
    assert_eq!(get(&gateway, "/", "").body, b"a page");
    for origin in ["http://localhost:3000", "https://www.example.org"] {
        let mut client = Client::open(&gateway, "echo", &format!("Origin: {origin}\r\n"));
        client.text("Hello");
        assert_eq!(client.message(), (TEXT, b"Hello".to_vec()));
    }
    let foreign = upgrade(&gateway, "/echo", "Origin: http://example.org\r\n");
    assert_eq!(ask(&gateway, &foreign).status, 403);
}

#[test]
fn one_backend_is_served_under_every_name() {
    let gateway = Gateway::one_line(&["-b", "DIR/run/one"]);
    Backend::listen(&gateway.path("run/one")).echo();
    for name in ["any", "any/other"] {
        let mut client = gateway.open(name);
        client.text("Hello");
        assert_eq!(client.message(), (TEXT, b"Hello".to_vec()));
    }
}

#[test]
fn the_configuration_that_is_printed_is_one_that_can_be_read_again() {
    let options = ["-t", "-l", "8080", "-d", "/tmp", "-w", "/tmp"];
    let printed = run(&options, b"");
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let again = run(&["-t", "-f", "-"], &printed.stdout);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(again.stdout, b"standard input: the configuration is good\n");
    let wrong = run(&["-t", "-f", "-"], b"servers = ;");
    assert_eq!(wrong.status.code(), Some(78));
    let message = String::from_utf8_lossy(&wrong.stderr);
    assert!(
        message.starts_with("standard input:1:11: error:"),
        "{message}"
    );
}

#[test]
fn a_line_that_lacks_a_part_is_a_usage_error() {
    for options in [
        &["-l", "8080"][..],
        &["-d", "/tmp"],
        &["-l", "x", "-d", "/"],
    ] {
        let output = run(options, b"");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn the_start_says_what_is_served_and_which_address_to_open() {
    for (options, served) in [
        (&["-d", "DIR/run"][..], "services in DIR/run"),
        (&["-b", "DIR/run/one"], "every client gets DIR/run/one"),
        (
            &["-b", "127.0.0.1:5900"],
            "every client gets 127.0.0.1:5900",
        ),
    ] {
        let gateway = Gateway::one_line(options);
        let directory = gateway.path("").display().to_string();
        let served = served.replace("DIR", directory.trim_end_matches('/'));
        let listening = |line: &str| line.ends_with(&format!(", {served}"));
        let line = gateway.process.find_line(listening);
        let line = line.unwrap_or_else(|| panic!("{served}: {}", gateway.process.log()));
        let (_, address) = line.split_once("listening on ").expect("the line");
        let open = format!("open {}/", address.split(' ').next().expect("an address"));
        assert!(
            gateway
                .process
                .find_line(|line| line.contains(&open))
                .is_some()
        );
    }
}
