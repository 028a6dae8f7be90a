//! websocket_echo: the bytes of a client back to the same client.
//!
//! One read is one write, so a SEQPACKET socket (`-q`) keeps its packets, empty ones too.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use unixserver::{Client, CommandLine, Server};

/// Bytes of one read: as many as the gateway gives a stream in one write, and two packets.
const BUFFER: usize = 64 << 10;

fn main() -> ExitCode {
    let command = CommandLine::new(
        "websocket_echo",
        env!("CARGO_PKG_VERSION"),
        "send every client its own bytes back",
    )
    .flag("t", "transaction", "answer once, then close the connection");
    unixserver::main(command, |options| {
        let once = options.flag("t");
        Server::bind(options)?.run(move |client| if once { answer(client) } else { echo(&client) })
    })
}

/// Sends back all that comes, until the client ends its side.
fn echo(client: &Client) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    while let Some(length) = client.receive(&mut buffer)? {
        client.send(&buffer[..length])?;
    }
    Ok(())
}

/// Sends the first read back, then closes.
fn answer(client: Client) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    if let Some(length) = client.receive(&mut buffer)? {
        client.send(&buffer[..length])?;
        client.finish();
    }
    Ok(())
}
