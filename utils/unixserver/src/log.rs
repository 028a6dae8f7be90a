//! Running: one line on stderr, or in the system's log once the server detached.

use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

use common::Escaped;
use common::syslog::SyslogLine;

/// Where the system's log daemon listens.
const SYSTEM_LOG: &str = "/dev/log";

/// Normal, and worth to know (RFC 3164, section 4.1.1).
const NOTICE: u8 = 5;

static NAME: OnceLock<&str> = OnceLock::new();
static SYSTEM: OnceLock<UnixDatagram> = OnceLock::new();

/// Writes one line for the administrator. Control characters are escaped; nothing blocks.
pub fn log(message: &str) {
    let name = NAME.get().copied().unwrap_or("unixserver");
    let message = without_numbers(message);
    let message = Escaped(&message);
    match SYSTEM.get() {
        None => say(&format!("{name}: {message}")),
        Some(socket) => {
            let line = SyslogLine {
                severity: NOTICE,
                program: name,
                pid: std::process::id(),
                text: message,
            };
            // A log daemon that is full or gone must not stop the server.
            let _ = socket.send_to(line.to_string().as_bytes(), SYSTEM_LOG);
        }
    }
}

/// Writes one line to stderr, if it is still open.
pub(crate) fn say(line: &str) {
    // A reader that is gone must not end the server.
    let _ = writeln!(io::stderr(), "{}", without_numbers(line));
}

/// Leaves out the numbers that the standard library puts behind an error's text: it says the same.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        left += part.split_once(')').map_or(part, |(_, rest)| rest);
    }
    left
}

/// The name that stands before each line.
pub(crate) fn set_name(name: &'static str) {
    let _ = NAME.set(name);
}

/// From now on lines go to the system's log: stderr is gone.
pub(crate) fn use_system_log() {
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = SYSTEM.set(socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_left_out_wherever_it_stands() {
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(
            without_numbers(&format!("cannot become 'x': {denied}; start as root")),
            "cannot become 'x': Permission denied; start as root"
        );
        assert_eq!(without_numbers("nothing (here)"), "nothing (here)");
    }
}
