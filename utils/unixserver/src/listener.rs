//! Start-up: the listening socket and its place in the file system.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, umask};

use crate::Error;

/// Everyone may enter the directory and see the sockets, its owner alone make them.
const DIRECTORY_MODE: u32 = 0o755;

/// Permissions that a new socket lacks: 0666 stays, since a gateway usually runs as another user,
/// and connecting needs write permission (unix(7)).
const SOCKET_UMASK: Mode = Mode::from_bits_truncate(0o111);

/// How long another server that starts may hold the directory, and the pause before it is tried
/// again.
const LOCK_TIME: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The path of a socket we bound: removed with this value, if it is still ours.
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Binds `path` and listens, in a directory that is made if it is missing.
///
/// A socket that nobody listens on is replaced, a live one never. The lock keeps two servers that
/// start together from each taking the other for dead.
///
/// # Errors
/// [`Error::Directory`], [`Error::Locked`], [`Error::InUse`], [`Error::NotASocket`],
/// [`Error::Bind`].
pub(crate) fn listen_at(path: &Path, kind: SockType) -> Result<(UnixListener, SocketFile), Error> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let _lock = lock(directory)?;
    let failed = |error: nix::Error| Error::Bind(path.to_owned(), error.into());
    let address = UnixAddr::new(path).map_err(failed)?;
    remove_stale(path, &address)?;

    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, kind, flags, None).map_err(failed)?;
    let mask = umask(SOCKET_UMASK);
    let bound = bind(socket.as_raw_fd(), &address);
    umask(mask);
    bound.map_err(failed)?;
    let file = SocketFile::new(path).map_err(|e| Error::Bind(path.to_owned(), e))?;
    listen(&socket, Backlog::MAXCONN).map_err(failed)?;
    Ok((UnixListener::from(socket), file))
}

/// Makes `directory` if need be and holds it alone.
fn lock(directory: &Path) -> Result<Flock<File>, Error> {
    let failed = |error| Error::Directory(directory.to_owned(), error);
    let mask = umask(Mode::empty());
    let made = DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory);
    umask(mask);
    made.map_err(failed)?;
    let mut file = File::open(directory).map_err(failed)?;
    let end = Instant::now() + LOCK_TIME;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, nix::Error::EWOULDBLOCK)) if Instant::now() >= end => {
                return Err(Error::Locked(directory.to_owned()));
            }
            Err((again, nix::Error::EWOULDBLOCK | nix::Error::EINTR)) => file = again,
            Err((_, error)) => return Err(failed(error.into())),
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// Removes a socket at `path` that refuses connections, and nothing else.
fn remove_stale(path: &Path, address: &UnixAddr) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::Bind(path.to_owned(), e)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(|e| Error::Bind(path.to_owned(), e.into()))?;
    match connect(probe.as_raw_fd(), address) {
        Err(nix::Error::ECONNREFUSED) => {
            fs::remove_file(path).map_err(|e| Error::Bind(path.to_owned(), e))
        }
        // A full queue (EAGAIN) and another type of socket (EPROTOTYPE) have a server too.
        Ok(()) | Err(nix::Error::EAGAIN | nix::Error::EPROTOTYPE) => {
            Err(Error::InUse(path.to_owned()))
        }
        Err(error) => Err(Error::Bind(path.to_owned(), error.into())),
    }
}

impl SocketFile {
    /// Remembers which file stands at `path` now.
    fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let found = fs::symlink_metadata(&path)?;
        Ok(Self {
            path,
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Where the socket is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            // The user of -u may lack the right; the next start then replaces the stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}
