//! Listening: UNIX sockets, with a mode from their first moment.

use std::io;
use std::os::unix::fs::{FileTypeExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Group;

use crate::system::threads;

/// Binds a UNIX socket. It replaces the socket of a daemon that is gone, never one that somebody
/// listens on. Connecting needs the right to write to the socket and to enter its directory
/// (unix(7)).
pub(super) fn bind(path: &Path, mode: u32, group: Option<&str>) -> io::Result<UnixListener> {
    let bound = match bind_with_mode(path, mode) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && std::fs::symlink_metadata(path)?.file_type().is_socket()
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) =>
        {
            std::fs::remove_file(path)?;
            bind_with_mode(path, mode)
        }
        result => result,
    };
    let listener = bound?;
    if let Some(name) = group {
        let group = Group::from_name(name)?
            .ok_or_else(|| io::Error::other(format!("there is no group '{name}'")))?;
        lchown(path, None, Some(group.gid.as_raw()))?;
    }
    Ok(listener)
}

/// Binds a socket that has its mode from its first moment on. A chmod(2) afterwards, by name, could
/// change a file that somebody has put in its place.
fn bind_with_mode(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let path = path.to_owned();
    // umask(2) changes all threads. So the socket is bound by a thread with a umask of its own.
    let bind = move || {
        // A container may forbid this. The other threads make no file in the meantime.
        let _ = unshare(CloneFlags::CLONE_FS);
        let before = umask(Mode::from_bits_truncate(0o777 & !mode));
        let bound = UnixListener::bind(path);
        umask(before);
        bound
    };
    let bound = threads::named("bind").spawn(bind)?.join();
    bound.unwrap_or_else(|_| Err(io::Error::other("the thread that binds has failed")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::system::beneath::tests::Scratch;

    #[test]
    fn a_unix_socket_gets_the_mode_of_the_configuration() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let _listener = bind(&path, 0o660, None).expect("a free name");
        let mode = std::fs::metadata(&path).expect("a socket").permissions();
        assert_eq!(mode.mode() & 0o777, 0o660);
    }

    #[test]
    fn a_unix_socket_never_has_another_mode() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let done = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    if let Ok(found) = std::fs::symlink_metadata(&path) {
                        seen.push(found.permissions().mode() & 0o777);
                    }
                }
                seen
            });
            for _ in 0..300 {
                let _listener = bind(&path, 0o622, None).expect("a free name");
                std::fs::remove_file(&path).expect("a socket");
            }
            done.store(true, Ordering::Relaxed);
            watch.join().expect("no panic")
        });
        assert!(seen.iter().all(|mode| *mode == 0o622), "{seen:?}");
    }

    #[test]
    fn a_unix_socket_of_a_daemon_that_is_gone_is_replaced_and_a_live_one_is_not() {
        let scratch = Scratch::new();
        let path = scratch.0.join("x.sock");
        let first = bind(&path, 0o660, None).expect("a free name");
        let refused = bind(&path, 0o660, None).expect_err("it is listened on");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&path, 0o660, None).expect("stale");
        std::fs::remove_file(&path).expect("a socket");
        std::fs::write(&path, "precious").expect("a file");
        assert!(bind(&path, 0o660, None).is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }
}
