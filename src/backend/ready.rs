//! Running: reads and writes of a backend that never wait, for a thread that serves many clients.

use std::fs::{File, TryLockError};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, sendmsg};

use super::{Backend, Input, Kind, retry};

impl Backend {
    /// Locks a device or fifo (flock(2)), which then no other process of the daemon, and no terminal
    /// program, reads beside this one. A socket needs no lock.
    ///
    /// # Errors
    /// `ResourceBusy` if another program has it; as dup(2).
    pub(crate) fn lock(&self) -> io::Result<()> {
        if self.is_socket() {
            return Ok(());
        }
        // The lock is that of the open file: it lasts while our own descriptor does.
        match File::from(self.fd.try_clone()?).try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another program has it (flock), or the daemon before an upgrade, whose clients are \
                 still there",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// What to wait for by poll(2), and on which descriptors, until it has something to read.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let (events, other) = match &self.kind {
            Kind::Device(device) => (device.events(), device.other()),
            Kind::Stream | Kind::Packet => (PollFlags::POLLIN, None),
        };
        let other = other.map(|fd| (fd, PollFlags::empty()));
        [Some((self.as_fd(), events)), other].into_iter().flatten()
    }

    /// The descriptor to which messages are written.
    pub(crate) fn sink(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Device(device) => device.other().unwrap_or(self.as_fd()),
            Kind::Stream | Kind::Packet => self.as_fd(),
        }
    }

    /// Reads what is there, once one of the sources says that something is; `None` if that is
    /// nothing.
    ///
    /// # Errors
    /// As for [`Backend::read`].
    pub(crate) fn read_ready(&self, buffer: &mut [u8]) -> io::Result<Option<Input>> {
        match &self.kind {
            Kind::Stream => self.read_now(buffer),
            Kind::Packet => self.read_packet(buffer).map(Some),
            Kind::Device(device) => device.read_ready(self.as_fd(), buffer),
        }
    }

    /// Writes as much of two pieces as it takes now, or both as one packet.
    ///
    /// # Errors
    /// As sendmsg(2) and writev(2); `WouldBlock` if it takes nothing.
    pub(crate) fn write_ready(&self, pieces: [&[u8]; 2]) -> io::Result<usize> {
        let slices = pieces.map(IoSlice::new);
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        Ok(retry(|| match &self.kind {
            Kind::Stream | Kind::Packet => {
                sendmsg::<()>(self.fd.as_raw_fd(), &slices, &[], flags, None)
            }
            Kind::Device(device) => device.write_ready(self.as_fd(), &slices),
        })?)
    }
}
