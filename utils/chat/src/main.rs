//! websocket_chat: the bytes of each client to all others.
//!
//! Each client has two threads: this file's `talk` reads what it says and puts it into the outboxes
//! of the others, its writer empties its own outbox. Only that writer waits for the client.
#![forbid(unsafe_code)]

mod command;
mod members;
mod outbox;
mod pace;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use unixserver::{Client, CommandLine, Server};

use crate::members::{Members, Membership};
use crate::outbox::{MESSAGE_COST, Outbox};
use crate::pace::Pace;

/// Longest message taken, in bytes; a client that sends a longer one is disconnected.
const MAX_MESSAGE: usize = 256 * 1024;

/// Stack of a writer's thread, in bytes.
const WRITER_STACK: usize = 64 * 1024;

/// How long a client that has ended its side may take to read what is left for it.
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
        let members = Arc::new(Members::new(options.flag("w")));
        server.run(move |client| talk(&members, client))
    })
}

/// One client, from joining to leaving.
fn talk(members: &Members, client: Client) -> io::Result<()> {
    let client = Arc::new(client);
    let membership = members.join(Arc::clone(&client));
    thread::scope(|scope| {
        let outbox = membership.outbox();
        let writer = thread::Builder::new()
            .name("writer".to_owned())
            .stack_size(WRITER_STACK);
        writer.spawn_scoped(scope, || write(outbox, &client))?;
        let heard = listen(&membership, &client);
        membership.leave();
        if heard.is_err() || !outbox.wait_until_written(FAREWELL_TIME) {
            client.shutdown();
        }
        heard
    })
}

/// Hands on what the client says, at its pace, until it ends its side.
fn listen(membership: &Membership<'_>, client: &Client) -> io::Result<()> {
    let mut pace = Pace::default();
    while let Some(message) = client.receive_message(MAX_MESSAGE)? {
        thread::sleep(pace.pause(message.len() + MESSAGE_COST, Instant::now()));
        membership.say(message);
    }
    Ok(())
}

/// Writes what the others said, until the outbox is closed and empty or the client is gone.
fn write(outbox: &Outbox, client: &Client) {
    while let Some(message) = outbox.take() {
        if client.send_message(&message).is_err() {
            // The reading thread sees the end of the connection and leaves.
            client.shutdown();
            break;
        }
    }
    outbox.set_written();
}
