//! Opening: connects a backend that many clients will share.
//!
//! It is told of no client: a PROXY header says LOCAL, and a program gets the variables that are
//! not about a client.

use std::io;
use std::time::Instant;

use super::Key;
use crate::backend::{self, Backend};
use crate::config::Target;
use crate::http::proxy;
#[cfg(feature = "exec")]
use crate::websocket::cgi;

/// Connects the backend of a share. `target` is that of the key, or leads to the same file. While
/// connecting waits, `go_on` says whether it is still wanted.
///
/// # Errors
/// As [`backend::connect_while`] and [`Backend::lock`]; why a program cannot be run.
pub(crate) fn connect(key: &Key, target: &Target, go_on: &dyn Fn() -> bool) -> io::Result<Backend> {
    let backend = match target {
        #[cfg(feature = "exec")]
        Target::Exec(config) => Backend::run(config, cgi::run_for_all(&key.name), key.ping)?,
        target => backend::connect_while(target, key.ping, go_on)?,
    };
    backend.lock()?;
    if key.config.proxy {
        let header = proxy::header(None, None, &[(proxy::SERVICE, Some(&key.name))]);
        let begun = Instant::now();
        backend.write_all(&header, || begun.elapsed() < key.ping)?;
    }
    Ok(backend)
}
