//! websocket_terminal: each client gets a terminal, in which a program runs.
//!
//! The client's bytes are what is typed, the program's output goes back as it is. A client says how
//! large its window is as terminals do (`input`). When either ends, all processes that the program
//! has started in its session are ended (`session`).

mod input;
mod session;
mod signals;
mod terminal;
mod window_size;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, Builder, Scope};
use std::time::Duration;

use unixserver::{Client, CommandLine, Server, log};

use crate::input::{Input, Part};
use crate::session::Session;
use crate::terminal::Terminal;

/// Bytes of one read of a client: two packets.
const READ: usize = 64 << 10;

/// How long a client may take to leave once its program has ended.
const FAREWELL_TIME: Duration = Duration::from_secs(5);

/// Stack of a client's further threads, in bytes.
const STACK: usize = 64 * 1024;

fn main() -> ExitCode {
    if session::is_inside() {
        return session::become_program();
    }
    let command = CommandLine::new(
        "websocket_terminal",
        env!("CARGO_PKG_VERSION"),
        "give each client a terminal that runs PROGRAM",
    )
    .operands("PROGRAM [ARGUMENT]...");
    unixserver::main(command, |options| {
        let program = options.operands().to_vec();
        Server::bind(options)?.run(move |client| serve(&program, &client))
    })
}

/// One client, from the start of its program to the end of its session.
fn serve(program: &[OsString], client: &Client) -> io::Result<()> {
    let terminal = Terminal::open()?;
    let session = Session::start(program, &terminal, client.info())
        .inspect_err(|error| log(&format!("a client was closed: {error}")))?;
    let served = thread::scope(|scope| {
        let served = run(scope, &terminal, &session, client);
        session.end();
        served
    });
    session.reap();
    served
}

/// Runs the client's three directions: what it types, what the program writes, and the program's
/// end.
fn run<'scope>(
    scope: &'scope Scope<'scope, '_>,
    terminal: &'scope Terminal,
    session: &'scope Session,
    client: &'scope Client,
) -> io::Result<()> {
    let thread = |name: &str| Builder::new().name(name.to_owned()).stack_size(STACK);
    thread("program").spawn_scoped(scope, || {
        session.wait();
        session.end();
        terminal.end_output();
    })?;
    let (has_left, left) = mpsc::channel();
    let (is_shown, shown) = mpsc::channel();
    thread("output").spawn_scoped(scope, move || {
        show(terminal, client);
        client.end_output();
        // A send fails where the client has left before: nobody waits for it then.
        let _ = is_shown.send(());
        if left.recv_timeout(FAREWELL_TIME).is_err() {
            client.shutdown();
        }
    })?;
    let typed = type_in(client, terminal);
    let _ = has_left.send(());
    session.end();
    if shown.recv_timeout(FAREWELL_TIME) == Err(RecvTimeoutError::Timeout) {
        // It has ended its side, and does not read either.
        client.shutdown();
    }
    typed
}

/// Gives the program what the client types, until the client ends its side.
fn type_in(client: &Client, terminal: &Terminal) -> io::Result<()> {
    let mut input = Input::default();
    let mut buffer = vec![0; READ];
    while let Some(length) = client.receive(&mut buffer)? {
        for part in input.split(&buffer[..length]) {
            match part {
                Part::Keys(keys) => terminal.type_in(&keys),
                Part::Size { rows, columns } => terminal.resize(rows, columns),
            }
        }
    }
    Ok(())
}

/// Gives the client what the program writes, until nothing has the terminal open or the client has
/// left.
fn show(terminal: &Terminal, client: &Client) {
    let mut buffer = [0; 4096];
    while let Some(length) = terminal.read(&mut buffer) {
        if client.send_message(&buffer[..length]).is_err() {
            client.shutdown();
            return;
        }
    }
}
