//! A complete server with the Rust API: each message goes back as it came.
//!
//!     cargo run -p libwebsocket --example message_echo -- /var/run/websocket/echo
//!
//! A thread a client. Messages of any length pass in constant memory: what
//! was read goes out as a fragment, `fin` with the last.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::thread;

use libwebsocket::{Accepted, Opcode, Piece, WebSocket, accept};

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
    let mut buffer = [0; 16 << 10];
    let mut continues = false;
    while let Piece::Data { opcode, len, fin } = client.read(&mut buffer)? {
        let piece = &buffer[..len];
        if !continues && fin && piece == b"bye" {
            return client.close(Some(4000), "bye yourself");
        }
        let opcode = if continues {
            Opcode::Continuation
        } else {
            opcode
        };
        client.write_fragment(opcode, piece, fin)?;
        continues = !fin;
    }
    client.close(None, "")
}
