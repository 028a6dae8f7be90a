//! A complete server with the Rust API: each message goes back as it came. The message
//! "who" is answered with what the gateway says of the client.
//!
//!     cargo run -p libwebsocket --example message_echo -- /var/run/ouistiti/echo
//!
//! A thread a client. Messages are collected, up to a limit; a server that can do with pieces uses
//! `read` and `write_fragment` instead.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::thread;

use libwebsocket::{Accepted, Opcode, WebSocket, accept};

/// Longest message, in bytes; a longer one closes with 1009.
const MAX_MESSAGE: usize = 32 << 20;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: message_echo SOCKET");
        return ExitCode::from(2);
    };
    match UnixListener::bind(&path) {
        Err(error) => {
            eprintln!("cannot listen on {}: {error}", path.display());
            ExitCode::FAILURE
        }
        Ok(listener) => {
            for connection in listener.incoming().flatten() {
                thread::spawn(|| {
                    if let Err(error) = serve(connection) {
                        eprintln!("client: {error}");
                    }
                });
            }
            ExitCode::SUCCESS
        }
    }
}

fn serve(connection: UnixStream) -> io::Result<()> {
    match accept(connection)? {
        Accepted::WebSocket(client) => echo(*client),
        // This server speaks messages only.
        Accepted::Plain(_) => Ok(()),
    }
}

fn echo(client: WebSocket) -> io::Result<()> {
    let mut message = Vec::new();
    while let Some(opcode) = client.read_message(&mut message, MAX_MESSAGE)? {
        if message == b"bye" {
            return client.close(Some(4000), "bye yourself");
        }
        if message == b"who" {
            let who = format!("{:?}", client.info());
            client.write(Opcode::Text, who.as_bytes())?;
        } else {
            client.write(opcode, &message)?;
        }
    }
    client.close(None, "")
}
