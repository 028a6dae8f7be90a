//! What goes out in one system call: the server's buffers, and the bytes that go before them.

use core::ffi::c_int;

use libc::{EAGAIN, MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, iovec};
use libwebsocket::send::Sender;

use crate::connection::Connection;
use crate::sys::lock::Guard;
use crate::sys::{self, Errno, from_c};

/// Buffers of one writev that share a frame; more make more frames.
pub(crate) const MAX_PIECES: usize = 32;

/// What the server wants to send: its buffers, and how much of them has gone.
pub(crate) struct Source<'a> {
    buffers: &'a [iovec],
    offset: usize,
}

impl<'a> Source<'a> {
    /// The buffers are as good as the kernel demands them to be.
    pub(crate) fn new(buffers: &'a [iovec]) -> Self {
        Source { buffers, offset: 0 }
    }

    /// The next buffers, up to `limit` bytes in all; returns how many pieces.
    #[inline(never)]
    pub(crate) fn pieces(&self, limit: u64, out: &mut [&[u8]; MAX_PIECES]) -> usize {
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut used = 0;
        let mut offset = self.offset;
        for buffer in self.buffers {
            let len = (buffer.iov_len - offset).min(left);
            if len > 0 {
                if used == MAX_PIECES {
                    break;
                }
                // SAFETY: the server's buffer, readable during its call; the
                // slice does not outlive that.
                out[used] = unsafe {
                    core::slice::from_raw_parts(buffer.iov_base.cast::<u8>().add(offset), len)
                };
                used += 1;
                left -= len;
            }
            offset = 0;
        }
        used
    }

    /// The first `n` bytes have gone.
    #[inline(never)]
    pub(crate) fn skip(&mut self, mut n: usize) {
        while let Some((first, rest)) = self.buffers.split_first() {
            let left = first.iov_len - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.buffers = rest;
            self.offset = 0;
        }
    }
}

/// The sending side, locked; EAGAIN if another thread may block in it and this call must not. On a
/// socket that does not block no thread stays there for long.
pub(crate) fn lock(connection: &Connection, flags: c_int) -> Result<Guard<'_, Sender>, Errno> {
    match connection.tx.try_lock() {
        Some(guard) => Ok(guard),
        None if flags & MSG_DONTWAIT != 0 && !connection.must_not_block(0) => Err(Errno(EAGAIN)),
        None => Ok(connection.tx.lock()),
    }
}

/// One sendmsg(2) of the pending bytes and then the pieces; returns how many went.
pub(crate) fn send(
    fd: c_int,
    pending: &[u8],
    pieces: &[&[u8]],
    flags: c_int,
) -> Result<usize, Errno> {
    let mut parts = [iovec {
        iov_base: core::ptr::null_mut(),
        iov_len: 0,
    }; MAX_PIECES + 1];
    let mut used = 0;
    for piece in [pending]
        .iter()
        .chain(pieces)
        .filter(|piece| !piece.is_empty())
    {
        parts[used] = iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        };
        used += 1;
    }
    let flags = flags & (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    // SAFETY: an all-zero msghdr is an empty one; the parts outlive the call
    // and are only read.
    unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = used as _;
        from_c(sys::sendmsg(fd, &message, flags))
    }
}
