//! Running: one line on stderr, or in the system's log once the server detached.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

/// Where the system's log daemon listens.
const SYSTEM_LOG: &str = "/dev/log";

/// Facility daemon, severity notice, as syslog counts them (RFC 3164, section 4.1.1).
const PRIORITY: u8 = 3 * 8 + 5;

static NAME: OnceLock<&str> = OnceLock::new();
static SYSTEM: OnceLock<UnixDatagram> = OnceLock::new();

/// Writes one line for the administrator. Control characters are escaped; nothing blocks.
pub fn log(message: &str) {
    let name = NAME.get().copied().unwrap_or("unixserver");
    let message = escape(message);
    match SYSTEM.get() {
        None => say(&format!("{name}: {message}")),
        Some(socket) => {
            let pid = std::process::id();
            // A log daemon that is full or gone must not stop the server.
            let _ = socket.send_to(
                format!("<{PRIORITY}>{name}[{pid}]: {message}").as_bytes(),
                SYSTEM_LOG,
            );
        }
    }
}

/// Writes one line to stderr, if it is still open.
pub(crate) fn say(line: &str) {
    // A reader that is gone must not end the server.
    let _ = writeln!(io::stderr(), "{line}");
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

/// `message` with its control characters as `\xNN`, so that one line stays one.
fn escape(message: &str) -> String {
    let mut escaped = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\x{:02x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn line_breaks_and_escapes_are_made_visible() {
        assert_eq!(escape("a\r\n\x1b[31mé"), "a\\x0d\\x0a\\x1b[31mé");
    }
}
