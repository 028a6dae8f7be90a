//! Whether a program listens on a UNIX socket, told without a connection to it wherever that can
//! be: some programs start something for each client.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::SockType;
use nix::unistd::{AccessFlags, access};

use super::connect::connect_unix_as;

/// Most bytes read of the kernel's table: some ten thousand sockets.
const MAX_TABLE: u64 = 1 << 20;
/// The flag of a socket that listens (`__SO_ACCEPTCON`), in proc(5)'s column Flags.
const LISTENS: u32 = 1 << 16;

/// How a service that is there can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A program listens.
    Running,
    /// The socket is there, and nothing listens on it.
    Stopped,
    /// The gateway's user may not connect to it.
    Denied,
}

impl State {
    /// The word in the list of services.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Denied => "denied",
        }
    }
}

/// The sockets on which programs of this network namespace listen, by device and inode, in order.
pub(crate) struct Listeners(Option<Vec<(u64, u64)>>);

impl Listeners {
    /// Reads the kernel's table (proc(5), /proc/net/unix). Landlock may forbid it.
    pub(crate) fn read() -> Self {
        let mut table = Vec::new();
        let Ok(file) = File::open("/proc/net/unix") else {
            return Self(None);
        };
        // What was read before an error is true as well.
        let _ = file.take(MAX_TABLE).read_to_end(&mut table);
        let table = String::from_utf8_lossy(&table);
        let paths = table.lines().filter_map(listening_path);
        let files = paths.filter_map(|path| fs::metadata(path).ok());
        let mut files: Vec<_> = files.map(|file| (file.dev(), file.ino())).collect();
        files.sort_unstable();
        Self(Some(files))
    }

    /// How the socket at a path can be had; `None` if it cannot be told.
    pub(crate) fn state(&self, path: &Path) -> Option<State> {
        match access(path, AccessFlags::W_OK) {
            Ok(()) => {}
            Err(Errno::EACCES) => return Some(State::Denied),
            Err(Errno::ENOENT) => return Some(State::Stopped),
            // A name of the abstract namespace, such as @x, is no file.
            Err(_) => return None,
        }
        let file = fs::metadata(path).ok()?;
        let listeners = self.0.as_ref()?;
        if listeners.binary_search(&(file.dev(), file.ino())).is_ok() {
            return Some(State::Running);
        }
        // Its listener is in another network namespace, was bound by a relative path, or is gone:
        // only a connection tells.
        match connect_unix_as(path, SockType::Stream) {
            Ok(_) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Some(State::Running),
            Err(Errno::ECONNREFUSED | Errno::ENOENT) => Some(State::Stopped),
            Err(Errno::EACCES | Errno::EPERM) => Some(State::Denied),
            Err(_) => None,
        }
    }
}

/// The path in a line of the table, if its socket listens: `Num RefCount Protocol Flags Type St
/// Inode Path`.
fn listening_path(line: &str) -> Option<&str> {
    let mut rest = line;
    let mut flags = 0;
    for column in 0..7 {
        let (word, after) = rest.trim_start().split_once(' ')?;
        if column == 3 {
            flags = u32::from_str_radix(word, 16).ok()?;
        }
        rest = after;
    }
    let path = rest.trim_start();
    (flags & LISTENS != 0 && path.starts_with('/')).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beneath::tests::Scratch;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_listener_is_told_without_a_connection_and_a_dead_socket_by_one() {
        let scratch = Scratch::new();
        let (live, dead) = (scratch.0.join("live"), scratch.0.join("dead"));
        let listener = UnixListener::bind(&live).expect("a socket");
        drop(UnixListener::bind(&dead).expect("a socket"));
        let listeners = Listeners::read();
        assert_eq!(listeners.state(&live), Some(State::Running));
        assert_eq!(listeners.state(&dead), Some(State::Stopped));
        let missing = listeners.state(&scratch.0.join("missing"));
        assert_eq!(missing, Some(State::Stopped));
        listener.set_nonblocking(true).expect("our own");
        let nobody = listener.accept().expect_err("nobody came");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_the_table_a_connection_tells() {
        let scratch = Scratch::new();
        let live = scratch.0.join("live");
        let _listener = UnixListener::bind(&live).expect("a socket");
        let none = Listeners(Some(Vec::new()));
        assert_eq!(none.state(&live), Some(State::Running));
    }

    #[test]
    fn only_listening_sockets_with_a_path_are_read_from_the_table() {
        let line = |flags: &str, path: &str| {
            format!("0000000000000000: 00000002 00000000 {flags} 0001 01 14210 {path}")
        };
        let found = |flags, path| listening_path(&line(flags, path)).map(str::to_owned);
        assert_eq!(found("00010000", "/run/a b").as_deref(), Some("/run/a b"));
        assert_eq!(found("00000000", "/run/a"), None, "connected");
        assert_eq!(found("00010000", "@abstract"), None);
        assert_eq!(found("00010000", "relative"), None);
        assert_eq!(
            listening_path("Num RefCount Protocol Flags Type St Inode Path"),
            None
        );
    }
}
