//! Descriptors of the library's own, which the program knows nothing about.
//!
//! A program may close them all the same (closefrom(3), a daemon's loop over all numbers) and open
//! something else under the number. So each use makes sure that the number still means the same
//! socket.

use core::ffi::c_int;
use core::mem::zeroed;

use crate::sys;

/// The lowest number that is tried: select(2) reaches 1024, and the program's own descriptors have
/// the lower half of that.
const LOWEST: usize = 512;

/// A second descriptor of a socket; close-on-exec.
pub(crate) struct Hidden {
    fd: c_int,
    inode: libc::ino_t,
}

fn inode(fd: c_int) -> Option<libc::ino_t> {
    // SAFETY: an all-zero stat is valid, and the call only fills it.
    unsafe {
        let mut stat: libc::stat = zeroed();
        (libc::fstat(fd, &mut stat) == 0).then_some(stat.st_ino)
    }
}

impl Hidden {
    /// A duplicate of this socket; none where the process may have no more descriptors.
    pub(crate) fn of(fd: c_int) -> Option<Hidden> {
        let inode = inode(fd)?;
        let duplicate = |lowest: usize| {
            // SAFETY: a plain system call, with a number as argument.
            let fd = unsafe { sys::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) };
            (fd >= 0).then_some(fd)
        };
        let fd = duplicate(LOWEST).or_else(|| duplicate(0))?;
        Some(Hidden { fd, inode })
    }

    /// Its number, if that is still this socket's.
    #[inline(never)]
    pub(crate) fn get(&self) -> Option<c_int> {
        (inode(self.fd) == Some(self.inode)).then_some(self.fd)
    }

    /// Closes it, if that is still its own to close.
    #[inline(never)]
    pub(crate) fn close(self) {
        if let Some(fd) = self.get() {
            // SAFETY: nobody else knows the descriptor.
            unsafe { sys::close(fd) };
        }
    }
}
