//! What the sample UNIX servers share: options, listening socket, accept loop.
//!
//! A server is three steps: read the command line, bind, run. Between bind and run it still has the
//! privileges it was started with, to open files that its later user may not; after that it answers
//! each client in a thread of its own (or a process: [`Server::processes`]).
//!
//! ```no_run
//! use std::process::ExitCode;
//! use unixserver::{CommandLine, Server};
//!
//! fn main() -> ExitCode {
//!     let command = CommandLine::new("shout", "1.0", "sends what it reads in upper case");
//!     unixserver::main(command, |options| {
//!         let server = Server::bind(options)?;
//!         server.run(|client| {
//!             let mut buffer = vec![0; unixserver::PACKET];
//!             while let Some(length) = client.receive(&mut buffer)? {
//!                 buffer[..length].make_ascii_uppercase();
//!                 client.send(&buffer[..length])?;
//!             }
//!             Ok(())
//!         })
//!     })
//! }
//! ```
//!
//! The same program serves plain UNIX clients, a gateway that relays, and, linked with
//! libwebsocket.so, a gateway that hands its clients over.

mod accept;
mod client;
mod error;
mod listener;
mod log;
mod options;
mod privileges;
mod process;
mod proxy;
mod server;

use std::process::ExitCode;

pub use client::{Client, PACKET};
pub use error::Error;
pub use log::log;
pub use options::{CommandLine, Options};
pub use proxy::ClientInfo;
pub use server::Server;

/// Runs a server's `body` with the options of this process's command line.
///
/// Exits with 0 after `-h`, `-V` and an orderly end, 2 on a command line that is wrong, and 1 on
/// any other error; both errors are told on stderr.
pub fn main(command: CommandLine, body: impl FnOnce(&Options) -> Result<(), Error>) -> ExitCode {
    log::set_name(command.name());
    let result = command
        .parse(std::env::args_os().skip(1))
        .and_then(|options| options.as_ref().map_or(Ok(()), body));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(&format!("{}: {error}", command.name()));
            ExitCode::from(error.exit_code())
        }
    }
}
