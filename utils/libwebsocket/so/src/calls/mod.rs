//! What the program sees: the C library's calls, and websocket.h.
//!
//! Each call goes on to the C library unless its descriptor is a client's.

mod accept;
mod api;
mod descriptors;
mod files;
mod fortify;
mod names;
mod read;
mod stdio;
mod system;
#[cfg(target_pointer_width = "32")]
mod time64;
mod write;

use libc::{EINVAL, iovec};

use crate::sys::Errno;

/// Most buffers of one call (the kernel's UIO_MAXIOV).
const MAX_BUFFERS: usize = 1024;

/// The buffers of one call, if there may be so many.
///
/// # Safety
/// As the kernel demands of readv and writev.
unsafe fn buffers<'a>(parts: *const iovec, n: usize) -> Result<&'a [iovec], Errno> {
    match n {
        0 => Ok(&[]),
        // SAFETY: the caller's promise.
        1..=MAX_BUFFERS => Ok(unsafe { core::slice::from_raw_parts(parts, n) }),
        _ => Err(Errno(EINVAL)),
    }
}
