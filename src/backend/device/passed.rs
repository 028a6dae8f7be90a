//! Running: a device or fifo goes over to the next process of an upgrade, with its lock.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Role, begin_device};
use crate::backend::{Backend, Kind};
use crate::config::Target;

impl Backend {
    /// What another process needs of a device or fifo: its descriptor, and that of the fifo that is
    /// written beside it; nothing for a socket.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let (own, other) = match &self.kind {
            Kind::Device(device) => (Some(self.as_fd()), device.other()),
            Kind::Stream | Kind::Packet => (None, None),
        };
        own.into_iter().chain(other)
    }

    /// Leaves a device to the process that has it too.
    pub(crate) fn leave(&self) {
        if let Kind::Device(device) = &self.kind
            && let Role::Line {
                _exclusive: Some(exclusive),
            } = &device.role
        {
            exclusive.leave();
        }
    }

    /// The device or fifo of a link that another process has opened, set up anew. Takes the
    /// descriptors that it needs.
    ///
    /// # Errors
    /// As tcsetattr(3); `InvalidInput` if descriptors are missing, or `target` is no device.
    pub(crate) fn taken_for(
        target: &Target,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
        limit: Duration,
    ) -> io::Result<Self> {
        let mut next = || descriptors.next().ok_or(io::ErrorKind::InvalidInput);
        match target {
            Target::Tty(_, line) => begin_device(next()?, line, limit),
            Target::Fifo(_) => {
                let fd = next()?;
                let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
                let role = match flags & OFlag::O_ACCMODE {
                    OFlag::O_WRONLY => Role::Written,
                    _ => Role::Read(Mutex::new(None)),
                };
                Self::of_device(fd, role, limit)
            }
            Target::Fifos { destination, .. } => {
                let source = next()?;
                let other = destination.as_ref().map(|_| next()).transpose()?;
                Self::of_device(source, Role::Held(other), limit)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// A device or fifo that went over to the process at the other end of this socket.
    ///
    /// # Errors
    /// As eventfd(2).
    pub(crate) fn elsewhere(socket: OwnedFd, limit: Duration) -> io::Result<Self> {
        Self::of_device(socket, Role::Elsewhere, limit)
    }

    /// Whether another process has it. That one is told the length of each message.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(&self.kind, Kind::Device(device) if matches!(device.role, Role::Elsewhere))
    }
}
