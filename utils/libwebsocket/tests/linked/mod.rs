//! C programs that are linked with the library, and do what a client names.
#![allow(dead_code, unreachable_pub)]

use std::process::Command;

use crate::support::{Client, Server, compile, library, masked};

pub const TEXT: u8 = 0x81;

/// Starts this C program, linked with the library.
pub fn server(source: &str) -> Server {
    let directory = library()
        .parent()
        .expect("it is in a directory")
        .display()
        .to_string();
    Server::start(false, |scratch, socket| {
        let path = format!("-Wl,-rpath,{directory}");
        let search = format!("-L{directory}");
        let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
        let flags = [
            "-Wno-unused-function",
            include,
            &search,
            "-lwebsocket",
            &path,
        ];
        let mut command = Command::new(compile(source, scratch, &flags));
        command.arg(socket);
        command
    })
}

/// Names the check, sends these frames, and gives the client.
pub fn ask(server: &Server, name: &str, frames: &[(u8, &[u8])]) -> Client {
    let mut client = server.client();
    client.send(TEXT, name.as_bytes());
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|(first, payload)| masked(*first, payload))
        .collect();
    client.raw(&bytes);
    client
}

/// The same with a gateway that keeps its connection while the client is there.
pub fn ask_with_gateway(server: &Server, name: &str) -> Client {
    let gateway = server.plain();
    let mut client = server.client_over(&gateway);
    std::mem::forget(gateway);
    client.send(TEXT, name.as_bytes());
    client
}

/// The check has gone well.
pub fn expect_ok(mut client: Client) {
    let (kind, answer) = client.frame();
    assert_eq!(
        (kind, String::from_utf8_lossy(&answer).as_ref()),
        (TEXT, "ok"),
        "in the C program"
    );
}
