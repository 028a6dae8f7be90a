//! websocket_chat: the bytes of each client to all others.
//!
//! Each client has two threads: this file's `talk` reads what it says and puts it into the
//! outboxes of the others, its writer empties its own outbox. Nobody ever waits for a client
//! but that client's writer.
#![forbid(unsafe_code)]

mod command;
mod outbox;
mod pace;
mod room;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use unixserver::{Client, CommandLine, Server};

use crate::outbox::{MESSAGE_COST, Outbox};
use crate::pace::Pace;
use crate::room::{Room, Seat};

/// Longest message taken, in bytes; who sends a longer one is disconnected.
const MAX_MESSAGE: usize = 256 * 1024;

/// Stack of a writer's thread, in bytes.
const WRITER_STACK: usize = 64 * 1024;

/// How long a client that said its last word may take to read what is left for it.
const FAREWELL_TIME: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let command = CommandLine::new(
        "websocket_chat",
        env!("CARGO_PKG_VERSION"),
        "send what each client says to all others",
    )
    .flag("w", "commands", "interpret WSHello, WSPrivate and WSWhois");
    unixserver::main(command, |options| {
        let server = Server::bind(options)?;
        let room = Arc::new(Room::new(options.flag("w")));
        server.run(move |client| talk(&room, client))
    })
}

/// One client, from joining to leaving.
fn talk(room: &Room, client: Client) -> io::Result<()> {
    let client = Arc::new(client);
    let seat = room.join(Arc::clone(&client));
    thread::scope(|scope| {
        let outbox = seat.outbox();
        let writer = thread::Builder::new()
            .name("writer".to_owned())
            .stack_size(WRITER_STACK);
        writer.spawn_scoped(scope, || write(outbox, &client))?;
        let heard = listen(&seat, &client);
        seat.leave();
        if heard.is_err() || !outbox.wait_until_written(FAREWELL_TIME) {
            client.shutdown();
        }
        heard
    })
}

/// Hands on what the client says, at its pace, until it ends its side.
fn listen(seat: &Seat<'_>, client: &Client) -> io::Result<()> {
    let mut pace = Pace::default();
    while let Some(message) = client.receive_message(MAX_MESSAGE)? {
        thread::sleep(pace.pause(message.len() + MESSAGE_COST, Instant::now()));
        seat.say(message);
    }
    Ok(())
}

/// Writes what the others said, until the outbox is closed and empty or the client is gone.
fn write(outbox: &Outbox, client: &Client) {
    while let Some(message) = outbox.take() {
        if client.send_message(&message).is_err() {
            // The reading thread sees the end of the connection and leaves the room.
            client.shutdown();
            break;
        }
    }
    outbox.set_written();
}
