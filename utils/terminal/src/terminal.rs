//! Running: a client's pseudo-terminal, seen from outside (pty(7)).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::window_size;

/// Size of the window until the client tells another: that of a VT100.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// How long a program may leave what is typed unread while its queue (4 KiB) is full. What a client
/// typed beyond it is dropped then, or nobody would see that the client has left.
const UNREAD_TIME: Duration = Duration::from_secs(5);

/// A terminal that one program is to run in.
pub(crate) struct Terminal {
    /// Our side, not blocking.
    master: File,
    path: PathBuf,
    /// Shut down when the program has ended: a process that has left its session may still have the
    /// terminal open.
    program: (UnixStream, UnixStream),
}

impl Terminal {
    /// Makes a terminal.
    ///
    /// # Errors
    /// When there are no more, or devpts is not mounted.
    pub(crate) fn open() -> io::Result<Self> {
        let failed = |error: nix::Error| {
            let error = io::Error::from(error);
            io::Error::new(error.kind(), format!("cannot open a terminal: {error}"))
        };
        // Closed on exec from its beginning: the program of another client may start any time.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let master = posix_openpt(flags).map_err(failed)?;
        grantpt(&master).map_err(failed)?;
        unlockpt(&master).map_err(failed)?;
        let path = ptsname_r(&master).map_err(failed)?.into();
        let master = File::from(OwnedFd::from(master));
        window_size::set(&master, ROWS, COLUMNS)?;
        Ok(Self {
            master,
            path,
            program: UnixStream::pair()?,
        })
    }

    /// The program's side of it.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn inside(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(&self.path)
    }

    /// Sets the size of the window.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        // A terminal whose program has gone needs no size.
        let _ = window_size::set(&self.master, rows, columns);
    }

    /// Gives the program what was typed. Drops what it leaves unread for five seconds.
    pub(crate) fn type_in(&self, mut keys: &[u8]) {
        while !keys.is_empty() {
            match (&self.master).write(keys) {
                Ok(length) => keys = &keys[length..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !self.is_taken() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// From now on nothing is waited for: what has been written can still be read.
    pub(crate) fn end_output(&self) {
        let _ = self.program.0.shutdown(Shutdown::Both);
    }

    /// Reads what the program has written, waiting for it; `None` at the end: nothing has the
    /// terminal open any more (EIO, pty(7)), or [`end_output`](Self::end_output) was called.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match (&self.master).read(buffer) {
                Ok(0) => return None,
                Ok(length) => return Some(length),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !self.is_written() {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// Waits until the program has written something, or will write no more.
    fn is_written(&self) -> bool {
        let mut ready = [
            PollFd::new(self.master.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.program.1.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => ready[0].any() == Some(true),
            Err(error) => error == nix::Error::EINTR,
        }
    }

    /// Waits until the program takes what is typed, five seconds at most.
    fn is_taken(&self) -> bool {
        let time = PollTimeout::try_from(UNREAD_TIME).unwrap_or(PollTimeout::MAX);
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLOUT)];
        matches!(poll(&mut ready, time), Ok(1..) | Err(nix::Error::EINTR))
    }
}
