//! Starting: options, bad configurations, the lines a log must have.

use std::net::{SocketAddr, TcpStream};

use crate::frames;
use crate::gateway::{Gateway, daemon, free_address, is_emulated};
use crate::process::{Process, TempDir};

/// Starts with this configuration, to its end: exit code and log.
fn start_with(text: &str, options: &[&str]) -> (Option<i32>, String) {
    let directory = TempDir::new();
    let file = directory.path().join("ouistiti.conf");
    std::fs::write(&file, text).unwrap();
    Process::start(daemon().args(options).arg("-f").arg(&file)).finish()
}

#[test]
fn a_mistyped_key_ends_the_start_with_78_and_a_suggestion() {
    let text =
        "servers = ( {\n    port = 8080;\n    websocket = {\n        alow = \"a\";\n    };\n} );\n";
    let (code, errors) = start_with(text, &["-t"]);
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("ouistiti.conf:4:9: error"), "{errors}");
    assert!(errors.contains("did you mean 'allow'?"), "{errors}");
}

#[test]
fn all_errors_of_a_file_come_in_one_run() {
    let text = "servers = ( {\n    prot = 1;\n    websocket = { framing = \"lines\"; ping = \"x\"; };\n} );\n";
    let (_, errors) = start_with(text, &["-t"]);
    assert!(errors.matches("error:").count() >= 3, "{errors}");
}

#[test]
fn a_docroot_that_is_missing_is_a_warning_of_the_test_with_its_line() {
    let text = "servers = ( {\n    websocket = { docroot = \"/nonexistent\"; };\n} );\n";
    let (code, log) = start_with(text, &["-t"]);
    assert_eq!(code, Some(0), "{log}");
    let wanted = "ouistiti.conf:2:29: warning: nothing in 'docroot' can be served: /nonexistent: ";
    assert!(log.contains(wanted), "{log}");
}

#[test]
fn a_directory_of_programs_that_is_missing_is_a_warning_of_the_test() {
    let text = "init_d = \"/nonexistent\";\nservers = ( { document = { docroot = \"/\"; }; } );\n";
    let (code, log) = start_with(text, &["-t"]);
    assert_eq!(code, Some(0), "{log}");
    let wanted = "no program of init_d is run: /nonexistent: ";
    assert!(log.contains(wanted), "{log}");
}

#[test]
fn a_pages_directory_that_is_missing_is_a_warning_of_the_test() {
    let text = "servers = ( {\n    document = { docroot = \"/nonexistent\"; };\n} );\n";
    let (code, log) = start_with(text, &["-t"]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ouistiti.conf:2:28: warning: "), "{log}");
    assert!(log.contains("/nonexistent"), "{log}");
}

#[test]
fn a_log_file_that_cannot_be_made_ends_the_start_with_its_name() {
    let text = "servers = ( { port = 0; document = { docroot = \"/\"; }; } );\n";
    let (code, log) = start_with(text, &["-L", "/nonexistent/log"]);
    assert_eq!(code, Some(1), "{log}");
    let wanted = "cannot open the log file /nonexistent/log: ";
    assert!(log.contains(wanted), "{log}");
}

#[test]
fn a_log_or_pid_file_whose_directory_is_missing_is_a_warning_of_the_test() {
    let text = "log-file = \"/nonexistent/log\"; pid-file = \"pid\";\n\
                servers = ( { document = { docroot = \"/\"; }; } );\n";
    let (code, log) = start_with(text, &["-t"]);
    assert_eq!(code, Some(0), "{log}");
    let told = |file: &str| {
        log.contains(&format!(
            "cannot make {file}: there is no directory /nonexistent; 'mkdir -p /nonexistent'"
        ))
    };
    assert!(told("/nonexistent/log"), "{log}");
    assert_eq!(log.matches("cannot make").count(), 1, "{log}");
    let (code, log) = start_with(text, &["-t", "-L", "log", "-p", "/nonexistent/pid"]);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("cannot make /nonexistent/pid: "), "{log}");
    assert_eq!(log.matches("cannot make").count(), 1, "{log}");
}

#[test]
fn the_name_of_an_interface_stands_for_its_addresses() {
    if is_emulated("an emulator does not tell the addresses of interfaces") {
        return;
    }
    let text = |interface: &str| {
        format!(
            "servers = ( {{\n addr = \"{interface}\"; port = 0; document = {{ docroot = \"/\"; }};\n}} );\n"
        )
    };
    let directory = TempDir::new();
    let file = directory.path().join("ouistiti.conf");
    std::fs::write(&file, text("lo")).unwrap();
    let process = Process::start(daemon().arg("-f").arg(&file));
    let line = process.find_line(|line| line.contains("http://127.0.0.1:"));
    let line = line.unwrap_or_else(|| panic!("{}", process.log()));
    let (_, address) = line.split_once("http://").expect("an address");
    let address: SocketAddr = address.split(' ').next().unwrap().parse().unwrap();
    TcpStream::connect(address).expect("it listens");

    // One that is not there keeps nobody else from being served.
    std::fs::write(
        &file,
        text("nowhere0,127.0.0.1,fe80::1%nowhere0,fe80::1%lo"),
    )
    .unwrap();
    let process = Process::start(daemon().arg("-f").arg(&file));
    for wanted in [
        "ouistiti.conf:2: nowhere0:0: no such interface yet",
        "ouistiti.conf:2: [fe80::1%nowhere0]:0: no such interface yet",
        "[fe80::1%1]:0 is no address of this machine yet",
        "listening on http://127.0.0.1:",
    ] {
        let line = process.find_line(|line| line.contains(wanted));
        assert!(line.is_some(), "{wanted}: {}", process.log());
    }
}

#[test]
fn the_start_line_names_the_user_root_too() {
    let gateway = Gateway::start("");
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap();
    let user = user.expect("a user with a name").name;
    let wanted = format!(" as {user}, services in ");
    let log = gateway.process.log();
    assert!(log.contains(&wanted), "{log}");
}

#[test]
fn an_absent_file_ends_the_start_with_78() {
    let file = "/nonexistent/ouistiti.conf";
    let (code, errors) = Process::start(daemon().args(["-f", file])).finish();
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains(file), "{errors}");
}

#[test]
fn help_and_version_end_with_0_and_a_wrong_option_with_2() {
    for (option, code) in [("-h", 0), ("-V", 0), ("--no-such-option", 2)] {
        let output = daemon().arg(option).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{option}: {output:?}");
    }
    let version = daemon().arg("-V").output().unwrap().stdout;
    assert!(
        String::from_utf8(version)
            .unwrap()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_taken_port_ends_the_start_with_1_and_says_which() {
    let gateway = Gateway::start("");
    let address = gateway.address();
    let text = format!(
        "servers = ( {{ addr = \"{}\"; port = {}; websocket = {{ docroot = \"/tmp\"; }}; }} );\n",
        address.ip(),
        address.port()
    );
    let (code, errors) = start_with(&text, &[]);
    assert_eq!(code, Some(1), "{errors}");
    let wanted = format!("ouistiti.conf:1: cannot bind {address}");
    assert!(errors.contains(&wanted), "{errors}");
}

#[test]
fn one_line_tells_of_each_connection_at_its_end() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    let peer = client.stream.local_addr().unwrap().to_string();
    client.text("Hello");
    client.message();
    client.send(&frames::close(4711));
    client.expect_close(4711);
    drop(client);
    let line = gateway
        .process
        .find_line(|line| line.contains(": 4711, "))
        .expect("a line");
    assert!(line.contains("echo") && line.contains(&peer), "{line}");
    assert_eq!(
        gateway.process.log().matches(&peer).count(),
        1,
        "{}",
        gateway.process.log()
    );
}

#[test]
fn what_a_client_sends_cannot_break_a_log_line() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    for reason in ["\r\nforged", "\x1b[2J", "\u{202e}abc", "\x7f"] {
        let mut client = gateway.open("echo");
        let mut payload = 4711_u16.to_be_bytes().to_vec();
        payload.extend(reason.bytes());
        client.send(&frames::frame(frames::FIN | frames::CLOSE, &payload));
        client.expect_close(4711);
        crate::http::ask(
            &gateway,
            &crate::http::upgrade(&gateway, "/%0d%0aforged%1b", ""),
        );
    }
    let ends = || gateway.process.log().matches("echo: 4711").count();
    crate::process::wait_until("each line at an end", || ends() == 4);
    let log = gateway.process.log();
    assert!(!log.lines().any(|line| line.starts_with("forged")), "{log}");
    assert!(!log.contains(['\x1b', '\x7f', '\u{202e}', '\r']), "{log:?}");
}

#[test]
fn frame_headers_and_ends_have_the_number_of_their_client() {
    let top = "log-level = \"trace\";";
    let gateway = Gateway::run_with(&mut daemon(), free_address(), top, "", "");
    gateway.backend("echo").echo();
    let mut clients = [gateway.open("echo"), gateway.open("echo")];
    for client in &mut clients {
        client.text("Hello");
        client.message();
        client.send(&frames::close(1000));
        client.expect_close(1000);
    }
    for (number, client) in clients.iter().enumerate() {
        let peer = client.stream.local_addr().unwrap();
        let name = format!("#{} {peer}", number + 1);
        for line in [
            format!("{name} sends TEXT, FIN, 5 bytes"),
            format!("{name} gets TEXT, FIN, 5 bytes"),
            format!("{name}: the client's direction is over: it sent a Close with 1000"),
            format!(" s, id {}", number + 1),
        ] {
            let found = gateway.process.find_line(|told| told.contains(&line));
            assert!(found.is_some(), "{line}: {}", gateway.process.log());
        }
    }
}
