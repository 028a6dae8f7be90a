//! Running: reads and writes of a device or fifo that never wait.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::PoisonError;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::uio::writev;
use nix::unistd::read;

use super::{Device, Role};
use crate::backend::{Input, input, retry};

impl Device {
    /// The descriptor, other than its own, whose end it has to notice.
    pub(in crate::backend) fn other(&self) -> Option<BorrowedFd<'_>> {
        match &self.role {
            Role::Held(Some(destination)) => Some(destination.as_fd()),
            _ => None,
        }
    }

    /// What to wait for on its own descriptor.
    pub(in crate::backend) fn events(&self) -> PollFlags {
        match self.role {
            // Only its end, which is always told, can come.
            Role::Written => PollFlags::empty(),
            _ => PollFlags::POLLIN,
        }
    }

    /// Reads what is there; `None` if that is nothing.
    ///
    /// # Errors
    /// As for [`Device::read`].
    pub(in crate::backend) fn read_ready(
        &self,
        fd: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> io::Result<Option<Input>> {
        if let Role::Written = self.role {
            return Ok(Some(Input::End));
        }
        if let Role::Read(first) = &self.role
            && let Some(byte) = first.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            buffer[0] = byte;
            return Ok(Some(Input::Bytes(1)));
        }
        match retry(|| read(fd, buffer)) {
            Err(Errno::EAGAIN) => {
                let mut other = self.other().map(|fd| PollFd::new(fd, PollFlags::empty()));
                let other = other.as_mut().map_or(&mut [][..], std::slice::from_mut);
                match poll(other, PollTimeout::ZERO) {
                    Ok(1..) => Ok(Some(Input::End)),
                    _ => Ok(None),
                }
            }
            Ok(0) | Err(Errno::EIO) if self.is_line() => Err(Errno::ENODEV.into()),
            result => input(result).map(Some),
        }
    }

    /// Writes as much of these pieces as it takes now.
    ///
    /// # Errors
    /// As writev(2).
    pub(in crate::backend) fn write_ready(
        &self,
        fd: BorrowedFd<'_>,
        slices: &[IoSlice<'_>],
    ) -> nix::Result<usize> {
        match &self.role {
            Role::Read(_) => Err(Errno::EPIPE),
            Role::Held(None) => Ok(slices.iter().map(|slice| slice.len()).sum()),
            Role::Held(Some(destination)) => writev(destination, slices),
            Role::Line { .. } | Role::Character | Role::Written | Role::Elsewhere => {
                writev(fd, slices)
            }
        }
    }
}
