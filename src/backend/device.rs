//! Opening and running: serial lines, other character devices, and fifos.
//!
//! No shutdown(2) reaches them, so every read and write waits in poll(2) for an end of its own.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::info;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::uio::writev;
use nix::unistd::read;
use rustix::io::ioctl_fionread;

use super::serial::{self, Exclusive};
use super::waiting::Waiting;
use super::{Backend, Input, Kind, input, retry};
use crate::config::SerialConfig;

#[cfg(feature = "share")]
mod passed;
#[cfg(feature = "share")]
mod ready;

/// What is read, written and waited for.
#[derive(Debug)]
pub(super) struct Device {
    waiting: Waiting,
    role: Role,
}

/// How a device or fifo is used.
#[derive(Debug)]
enum Role {
    /// A serial line: read and written, until the device is gone.
    Line { _exclusive: Option<Exclusive> },
    /// Another character device: read and written.
    Character,
    /// A fifo with a reader: written only, since reading it would return our own bytes.
    Written,
    /// A fifo with only a writer: read until that ends. One byte may have been read already.
    Read(Mutex<Option<u8>>),
    /// A fifo that we hold open: read for as long as the client stays. What the client sends goes to
    /// another fifo, or nowhere.
    Held(Option<OwnedFd>),
    /// A socket to the process that has the device or fifo since an upgrade (`share`).
    #[cfg(feature = "share")]
    Elsewhere,
}

/// Opens a serial line or another character device, raw (termios(3)).
///
/// # Errors
/// As open(2) and tcsetattr(3); `ResourceBusy` for a line that another program has for itself.
pub(super) fn open_device(
    path: &Path,
    line: &SerialConfig,
    limit: Duration,
) -> io::Result<Backend> {
    // Without O_NONBLOCK the open waits for a modem's carrier, and later a write for ever.
    let fd = open_now(path, OFlag::O_RDWR | OFlag::O_NOCTTY)?;
    begin_device(fd, line, limit)
}

/// Sets an open device up.
fn begin_device(fd: OwnedFd, line: &SerialConfig, limit: Duration) -> io::Result<Backend> {
    let role = match serial::set_up(&fd, line)? {
        false => Role::Character,
        true => Role::Line {
            _exclusive: match line.exclusive {
                true => Some(Exclusive::take(&fd)?),
                false => None,
            },
        },
    };
    Backend::of_device(fd, role, limit)
}

/// Opens a fifo (fifo(7)): to write it where it has a reader, to read it where it has only a writer.
///
/// # Errors
/// As open(2); `ENXIO` if nobody has it open.
pub(super) fn open_fifo(path: &Path, limit: Duration) -> io::Result<Backend> {
    // With O_NONBLOCK a fifo without a reader is refused at once (ENXIO).
    match open_now(path, OFlag::O_WRONLY) {
        Err(Errno::ENXIO) => {}
        fd => {
            let fd = fd?;
            if ioctl_fionread(&fd).is_ok_and(|count| count > 0) {
                info!(
                    "{}: nobody has read yet what lies in this fifo; if a program writes it, name \
                     it as 'source' instead of 'destination'",
                    path.display()
                );
            }
            return Backend::of_device(fd, Role::Written, limit);
        }
    }
    let fd = open_now(path, OFlag::O_RDONLY)?;
    // Without a writer a read finds the end.
    let mut first = [0];
    let first = match read(&fd, &mut first) {
        Ok(0) => return Err(Errno::ENXIO.into()),
        Ok(_) => Some(first[0]),
        Err(Errno::EAGAIN) => None,
        Err(error) => return Err(error.into()),
    };
    Backend::of_device(fd, Role::Read(Mutex::new(first)), limit)
}

/// Opens a fifo to read it and holds it open, so that its writers come and go. What clients send
/// goes to the fifo `destination`, which must have a reader, or nowhere.
///
/// # Errors
/// As open(2); `ENXIO` if `destination` has no reader; `InvalidInput` if `source` is no fifo.
pub(super) fn open_fifos(
    source: &Path,
    destination: Option<&Path>,
    limit: Duration,
) -> io::Result<Backend> {
    // Opened for both, it has a writer for ever: ourselves (fifo(7)).
    let fd = open_now(source, OFlag::O_RDWR)?;
    let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFIFO {
        let reason = format!("{} is not a fifo", source.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let destination = match destination {
        Some(path) => Some(open_now(path, OFlag::O_WRONLY)?),
        None => None,
    };
    Backend::of_device(fd, Role::Held(destination), limit)
}

fn open_now(path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    open(
        path,
        flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

impl Backend {
    fn of_device(fd: OwnedFd, role: Role, limit: Duration) -> io::Result<Self> {
        let waiting = Waiting::new(limit)?;
        Ok(Self::new(
            fd,
            Kind::Device(Box::new(Device { waiting, role })),
        ))
    }

    /// Whether this error of a read says that the device is gone: a USB adapter that was pulled out.
    pub(crate) fn is_gone(error: &io::Error) -> bool {
        error.raw_os_error() == Some(Errno::ENODEV as i32)
    }
}

impl Device {
    /// Reads what is there, waiting for it.
    ///
    /// # Errors
    /// As read(2); `ENODEV` if a serial line is gone.
    pub(super) fn read(&self, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Input> {
        if let Role::Written = self.role {
            return self.waiting.until_end(fd);
        }
        if let Role::Read(first) = &self.role
            && let Some(byte) = first.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            buffer[0] = byte;
            let more = retry(|| read(fd, &mut buffer[1..])).unwrap_or(0);
            return Ok(Input::Bytes(1 + more));
        }
        loop {
            let waited = match &self.role {
                Role::Held(Some(destination)) => self.waiting.for_source(fd, destination.as_fd()),
                _ => self.waiting.wait(fd, PollFlags::POLLIN, PollTimeout::NONE),
            };
            match waited {
                Err(Errno::EPIPE) => return Ok(Input::End),
                waited => waited?,
            }
            match retry(|| read(fd, buffer)) {
                // Another reader was faster.
                Err(Errno::EAGAIN) => {}
                // A line that was hung up reads as ended, the terminal of a program that is gone as
                // failed (tty_ioctl(4), pty(7)).
                Ok(0) | Err(Errno::EIO) if self.is_line() => return Err(Errno::ENODEV.into()),
                result => return input(result),
            }
        }
    }

    /// Writes pieces in one call, waiting until something can be written.
    pub(super) fn write(&self, fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> nix::Result<usize> {
        let fd = match &self.role {
            // Its only reader would be the gateway itself.
            Role::Read(_) => return Err(Errno::EPIPE),
            Role::Held(None) => return Ok(slices.iter().map(|slice| slice.len()).sum()),
            Role::Held(Some(destination)) => destination.as_fd(),
            Role::Line { .. } | Role::Character | Role::Written => fd,
            #[cfg(feature = "share")]
            Role::Elsewhere => fd,
        };
        let limit = PollTimeout::try_from(self.waiting.limit).unwrap_or(PollTimeout::MAX);
        self.waiting.wait(fd, PollFlags::POLLOUT, limit)?;
        // In one call: others may write to it as well, and lines must not mix (pipe(7)).
        writev(fd, slices)
    }

    fn is_line(&self) -> bool {
        matches!(self.role, Role::Line { .. })
    }

    /// Ends every wait in it, for good.
    pub(super) fn end(&self) {
        self.waiting.end();
    }
}
