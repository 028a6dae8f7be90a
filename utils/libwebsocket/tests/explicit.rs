//! Servers that use the explicit API: websocket.h from C, the crate from Rust.

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Server, compile, library};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The C example, linked as its head says but for pkg-config.
fn c_example() -> Server {
    let directory = library()
        .parent()
        .expect("it is in a directory")
        .display()
        .to_string();
    Server::start(false, |scratch, socket| {
        let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
        let search = format!("-L{directory}");
        let path = format!("-Wl,-rpath,{directory}");
        let flags = [include, &search, "-lwebsocket", &path];
        let mut command = Command::new(compile("examples/message_echo.c", scratch, &flags));
        command.arg(socket);
        command
    })
}

/// The Rust example. `cargo test` has built it beside the tests, but not where single tests were
/// asked for.
fn rust_example() -> Server {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .parent()
        .and_then(|deps| deps.parent())
        .expect("target/PROFILE/deps");
    let program = profile.join("examples/message_echo");
    if !program.exists() {
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "-p",
                "libwebsocket",
                "--example",
                "message_echo",
                "--target-dir",
            ])
            .arg(profile.parent().expect("target"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the example does not build"
        );
    }
    Server::start(false, |_, socket| {
        let mut command = Command::new(program);
        command.arg(socket);
        command
    })
}

/// What every echo server with the explicit API must do.
fn keeps_messages(server: &Server) {
    let mut client = server.client();
    // Types, boundaries and empty messages.
    for (kind, payload) in [
        (TEXT, &b"Hello"[..]),
        (BINARY, b"\0\xff"),
        (TEXT, b""),
        (BINARY, b""),
    ] {
        client.send(kind, payload);
        assert_eq!(client.frame(), (kind, payload.to_vec()));
    }
    // A message as long as it likes, whole on the other side.
    let text = "\u{20ac}".repeat(30_000);
    client.send(TEXT, text.as_bytes());
    assert!(client.message() == (TEXT & 0x0f, text.into_bytes()));
    // Fragments with a ping between them; one message comes back.
    client.send(0x02, b"one ");
    client.send(0x89, b"");
    client.send(0x00, b"message");
    client.send(0x80, b"");
    assert_eq!(client.frame(), (0x8a, vec![]));
    assert_eq!(client.message(), (2, b"one message".to_vec()));
    // The client's code comes back.
    client.send(0x88, &[0x0b, 0xb8, b'!']);
    assert_eq!(client.closed(), Some(3000));
    // The server's own code comes too, with its reason.
    let mut client = server.client();
    client.send(TEXT, b"bye");
    let (kind, payload) = client.frame();
    assert_eq!((kind, &payload[..]), (0x88, &b"\x0f\xa0bye yourself"[..]));
    client.send(0x88, &payload);
    client.at_end();
}

/// What every echo server with the explicit API must refuse.
fn refuses_bad_frames(server: &Server) {
    for (bytes, code) in [
        (&b"\x81\x05hello"[..], 1002),
        (b"\xc1\x80\0\0\0\0", 1002),
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x80\x80\0\0\0\0", 1002),
        (b"\x09\x80\0\0\0\0", 1002),
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002),
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
        (b"\x81\x81\0\0\0\0\xc3", 1007),
        (b"\x88\x81\0\0\0\0\x03", 1002),
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),
    ] {
        let mut client = server.client();
        client.raw(bytes);
        assert_eq!(client.closed(), Some(code), "{bytes:02x?}");
    }
}

#[test]
fn the_c_example_keeps_messages_as_they_are() {
    let server = c_example();
    keeps_messages(&server);
}

/// What the gateway says of a client, as the tests' servers are told it.
const TOLD: &[u8] = b"WS\x01\xe7\0\x01\x01\xe0\0\x04echo\xe3\0\x03eva\xe4\0\x06room=7\xe9\0\x01?";

/// The answer to "who" of a client of which the gateway has said this.
fn who(server: &Server, told: &[u8]) -> String {
    let gateway = server.plain();
    let mut client = server.client_told_of(&gateway, told);
    client.send(TEXT, b"who");
    let (_, answer) = client.message();
    client.send(0x88, &1000u16.to_be_bytes());
    assert_eq!(client.closed(), Some(1000));
    String::from_utf8(answer).expect("text")
}

#[test]
fn the_c_example_knows_what_the_gateway_says_of_its_client() {
    let server = c_example();
    let known = "user: eva\nservice: echo\nquery: room=7\n";
    assert_eq!(who(&server, TOLD), known);
    assert_eq!(who(&server, b""), "");
    // A value with a NUL ends there, and hides nothing behind it.
    let cut = b"WS\x01\xe1\0\x06a\0\xe3eve\xe4\0\x01q";
    assert_eq!(who(&server, cut), "origin: a\nquery: q\n");
    assert_eq!(who(&server, b"WS\x01\xe1\0\x06a\0\xe3eve"), "origin: a\n");
    // As much as there may be.
    let long = [b"WS\x01\xe4\x0f\xfa", &[b'q'; 4090][..]].concat();
    assert_eq!(
        who(&server, &long),
        format!("query: {}\n", "q".repeat(4090))
    );
}

#[test]
fn the_c_example_behind_the_relay_reads_who_its_client_is() {
    use std::io::{Read, Write};
    let server = Server::start(false, |scratch, socket| {
        let mut command = Command::new(compile("examples/who.c", scratch, &[]));
        command.arg(socket);
        command
    });
    // What each family of addresses begins with: two of them, and two ports.
    let addresses = [
        (
            0x11,
            [&[192, 0, 2, 7][..], &[0; 8]].concat(),
            "address: 192.0.2.7\n",
        ),
        (
            0x21,
            [&[0x20, 1, 0xd, 0xb8][..], &[0; 32]].concat(),
            "address: 2001:db8::\n",
        ),
        (0x00, Vec::new(), ""),
    ];
    let fields = b"\xe3\0\x03eva\x99\0\x01?\xe5\0\x03a=1\xe4\0\x09cut";
    for (family, addresses, known) in addresses {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.push(family);
        header.extend(((addresses.len() + fields.len()) as u16).to_be_bytes());
        let mut client = server.plain();
        client
            .write_all(&[&header[..], &addresses, fields].concat())
            .expect("room");
        let mut told = String::new();
        client.read_to_string(&mut told).expect("text");
        assert_eq!(told, format!("{known}user: eva\ncookies: a=1\n"));
    }
}

#[test]
fn the_rust_example_knows_what_the_gateway_says_of_its_client() {
    let info = who(&rust_example(), TOLD);
    assert!(info.contains("user: Some(\"eva\")"), "{info}");
    assert!(info.contains("query: Some(\"room=7\")"), "{info}");
}

#[test]
fn the_c_example_refuses_bad_frames() {
    refuses_bad_frames(&c_example());
}

#[test]
fn the_c_example_closes_plain_clients() {
    use std::io::{Read, Write};
    let server = c_example();
    // Whether the server has seen it before it speaks, or does so with its first bytes.
    for wait in [Duration::ZERO, Duration::from_millis(100)] {
        let mut plain = server.plain();
        std::thread::sleep(wait);
        // As a client of the gateway would, but for the gateway.
        plain.write_all(b"\x81\x80\0\0\0\0").expect("room");
        let end = plain.read(&mut [0]);
        let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(
            matches!(end, Ok(0)) || end.as_ref().is_err_and(reset),
            "{end:?}"
        );
    }
    // One that says nothing is no burden.
    let _silent = server.plain();
    keeps_messages(&server);
}

#[test]
fn the_rust_example_keeps_messages_as_they_are() {
    keeps_messages(&rust_example());
}

#[test]
fn the_rust_example_refuses_bad_frames() {
    refuses_bad_frames(&rust_example());
}

#[test]
fn the_header_has_the_version_of_the_crate() {
    let header = include_str!("../include/websocket.h");
    let numbers = env!("CARGO_PKG_VERSION").split('.').map(|part| {
        let number: u32 = part.parse().expect("a number");
        assert!(number < 100);
        number
    });
    let version = numbers.fold(0, |all, number| all * 100 + number);
    let line = format!("\n#define WEBSOCKET_VERSION {version}\n");
    assert!(header.contains(&line), "{line}");
}

#[test]
fn the_header_is_good_c_and_cpp() {
    for (language, standard) in [("c", "c99"), ("c++", "c++11")] {
        let header = concat!(env!("CARGO_MANIFEST_DIR"), "/include/websocket.h");
        let output = Command::new("cc")
            .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic"])
            .args(["-x", language, &format!("-std={standard}"), header])
            .output()
            .expect("cc is installed");
        let message = String::from_utf8_lossy(&output.stderr);
        // A machine for C alone has no C++ compiler behind cc.
        assert!(
            output.status.success() || message.contains("cc1plus"),
            "{message}"
        );
    }
}
