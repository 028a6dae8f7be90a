//! What people stumbled over when they first came: each cause is told, with its cure.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Stdio;

use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::{Gid, Group, getegid, geteuid};

use crate::client::Client;
use crate::gateway::{Gateway, daemon, free_address};
use crate::http::ask;
use crate::process::{Process, TempDir};

#[test]
fn a_list_of_subprotocols_that_has_none_of_those_offered_is_logged() {
    let gateway = Gateway::start("protocols = \"mqtt, chat\";");
    gateway.backend("echo").echo();
    let client = Client::open(
        &gateway,
        "echo",
        "Sec-WebSocket-Protocol: binary, base64\r\n",
    );
    assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), None);
    let told = |line: &str| {
        line.contains("echo: none of the subprotocols offered (binary, base64) is chosen")
            && line.contains("'protocols' lists those to choose from")
    };
    gateway.process.find_line(told).expect("a line");
}

#[test]
fn a_pages_directory_that_the_gateway_may_not_enter_gives_503_and_a_warning() {
    let gateway = Gateway::with("document = { docroot = \"DIR/www\"; };", "");
    let pages = gateway.path("www");
    std::fs::write(pages.join("index.html"), "page").unwrap();
    // The daemon has no capability, as root neither.
    if geteuid().is_root() {
        chown(&pages, Some(65_534), None).unwrap();
    }
    let mode = |mode| std::fs::set_permissions(&pages, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o000);
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address());
    let refused = ask(&gateway, &request);
    let warned = |line: &str| line.contains("the gateway's user may not read it, or not go there");
    let line = gateway.process.find_line(warned);
    mode(0o755);
    assert_eq!(refused.status, 503);
    assert!(line.is_some());
    assert_eq!(ask(&gateway, &request).status, 200);
}

/// A daemon that listens on a UNIX socket of this group.
fn with_group(directory: &TempDir, group: &str) -> Process {
    let path = directory.path().display();
    let text = format!(
        "servers = ( {{ addr = \"unix:{path}/x.sock\"; addrmode = \"0660\"; addrgroup = \"{group}\";
         websocket = {{ docroot = \"{path}\"; }}; }} );"
    );
    let file = directory.path().join("conf");
    std::fs::write(&file, text).unwrap();
    Process::start(daemon().arg("-f").arg(&file).stdin(Stdio::null()))
}

#[test]
fn a_unix_listener_has_the_mode_and_the_group_of_the_configuration() {
    let directory = TempDir::new();
    // Root gives it to any group; another user to one of its own.
    let group = match geteuid().is_root() {
        true => Gid::from_raw(1),
        false => getegid(),
    };
    let group = Group::from_gid(group)
        .unwrap()
        .expect("every machine has it");
    let server = with_group(&directory, &group.name);
    server
        .find_line(|line| line.contains("x.sock"))
        .expect("a line");
    let made = std::fs::metadata(directory.path().join("x.sock")).unwrap();
    assert_eq!(
        (made.mode() & 0o777, made.gid()),
        (0o660, group.gid.as_raw())
    );
    drop(server);
    let (code, log) = with_group(&directory, "nobody-has-this").finish();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("there is no group 'nobody-has-this'"), "{log}");
}

#[test]
fn a_client_that_is_reset_before_it_is_looked_at_is_logged_with_its_address() {
    let gateway = Gateway::run(daemon().arg("-v"), free_address(), "", "");
    // It is accepted when it is gone already.
    gateway.process.signal(Signal::SIGSTOP);
    let stream = gateway.connect();
    let address = stream.local_addr().unwrap();
    let no_linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &no_linger).unwrap();
    drop(stream);
    gateway.process.signal(Signal::SIGCONT);
    let told = |line: &str| line.contains("the client left before it was answered");
    let line = gateway.process.find_line(told).expect("a line");
    assert!(line.contains(&address.to_string()), "{line}");
}
