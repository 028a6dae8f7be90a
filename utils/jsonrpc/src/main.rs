//! websocket_jsonrpc: a UNIX server of JSON-RPC 2.0 whose methods are a plugin's (`-L`, `-C`).

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonrpc::budget::{BUDGET, Budget};
use jsonrpc::connection::Connection;
use jsonrpc::library::Library;
use jsonrpc::session::serve;
use jsonrpc::{Call, Methods};
use rpcplugin::{Code, Error, Json};
use unixserver::{Client, CommandLine, Options, Server, log};

/// Stack of a client's thread, in bytes. Plugins and their libraries need more than this program
/// does; pages that are not touched cost nothing.
const STACK_SIZE: usize = 1024 * 1024;

/// Longest wait of a write. A client that reads nothing is dropped after one wait, or after two if
/// the first write sent a part.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// How long the requests of a client are worked for that has ended its sending. It may wait for the
/// answers, or have left: a gateway that relays shows both alike.
const LAST_TIME: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let command = CommandLine::new(
        "websocket_jsonrpc",
        env!("CARGO_PKG_VERSION"),
        "answers JSON-RPC 2.0 requests by a plugin",
    )
    .value(
        "L",
        "library",
        "the plugin: a shared library that only root or you can write",
        "FILE",
    )
    .value(
        "C",
        "config",
        "what the plugin is told, such as the name of its file",
        "STRING",
    )
    .value(
        "M",
        "memory",
        "memory for the requests and answers of all clients, in MiB (16)",
        "MIB",
    )
    .flag(
        "F",
        "fork",
        "a process for each client: a plugin that crashes harms no other",
    );
    unixserver::main(command, run)
}

fn run(options: &Options) -> Result<(), unixserver::Error> {
    let path = options.value("L").ok_or_else(|| {
        unixserver::Error::Usage("a plugin is needed: -L FILE, such as -L ./authrpc.so".to_string())
    })?;
    let config = options.value("C").unwrap_or_default();
    let budget = Budget::new(memory(options)?);
    jsonrpc::heap::give_back_at_once();
    // Before the user changes: the plugin may be readable for root alone.
    let library = Library::load(Path::new(&path))
        .map_err(|error| format!("cannot load the plugin {path}: {error}"))?;
    let server = Server::bind(options)?
        .stack_size(STACK_SIZE)
        .processes(options.flag("F"))
        .become_user()?;
    // As if a client came and left, so that a bad -C ends the start.
    library
        .open(&config, None, &budget)
        .map_err(|error| format!("the plugin {path} cannot use its -C: {}", error.reason()))?;
    let library = Arc::new(library);
    server.run(move |client| answer_client(client, &library, &config, &budget))
}

/// The memory that the clients share, in bytes.
fn memory(options: &Options) -> Result<usize, unixserver::Error> {
    let Some(mebibytes) = options.value("M") else {
        return Ok(BUDGET);
    };
    let bytes = mebibytes.parse().ok().filter(|mebibytes| *mebibytes > 0);
    let bytes = bytes.and_then(|mebibytes: usize| mebibytes.checked_mul(1024 * 1024));
    bytes.ok_or_else(|| {
        let why = format!("-M needs a number of MiB, 1 or more, and not '{mebibytes}'");
        unixserver::Error::Usage(why)
    })
}

/// Serves one client with a plugin of its own.
fn answer_client(
    client: Client,
    library: &Library,
    config: &str,
    budget: &Budget,
) -> io::Result<()> {
    let opened = library.open(config, client.address(), budget);
    let mut methods = opened.unwrap_or_else(|error| {
        log(&format!("the plugin refuses a client: {}", error.reason()));
        Box::new(Refused)
    });
    client.set_write_timeout(WRITE_TIME)?;
    let mut socket = Socket {
        client,
        time: None,
        ended: Cell::new(None),
    };
    let served = serve(&mut socket, methods.as_mut(), budget);
    if let Err(error) = &served
        && error.kind() == io::ErrorKind::WouldBlock
    {
        log("a client was dropped: it does not read its answer");
    }
    served?;
    socket.client.finish();
    Ok(())
}

/// The methods of a client for whom the plugin does not open. The reason is in the log only, since
/// it may name files.
struct Refused;

impl Methods for Refused {
    fn call(
        &mut self,
        _call: &mut Call<'_>,
        _method: &str,
        _params: Option<&str>,
    ) -> Result<Json, Error> {
        Err(Error::of(Code::InternalError))
    }
}

/// A client as the session sees it: an answer is a message.
struct Socket {
    client: Client,
    /// How long a read waits at present.
    time: Option<Duration>,
    /// When it was first seen that the client has ended its sending.
    ended: Cell<Option<Instant>>,
}

impl Connection for Socket {
    fn receive(&mut self, buffer: &mut [u8], time: Option<Duration>) -> io::Result<Option<usize>> {
        if self.time != time {
            self.client.set_read_timeout(time)?;
            self.time = time;
        }
        self.client.receive(buffer)
    }

    fn ends_message(&self, length: usize) -> bool {
        self.client.ends_message(length)
    }

    fn has_left(&self) -> bool {
        if self.ended.get().is_none() && self.client.has_ended_sending() {
            self.ended.set(Some(Instant::now()));
        }
        let is_over = |ended: Instant| ended.elapsed() >= LAST_TIME;
        self.client.has_left() || self.ended.get().is_some_and(is_over)
    }

    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        self.client.send_message(answer)
    }
}
