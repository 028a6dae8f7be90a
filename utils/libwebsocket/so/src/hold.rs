//! Answers that share a TCP segment.
//!
//! A server that finds several messages answers each before it reads the next, and each answer
//! would be a segment of its own. While the header of the next message is there already, the kernel
//! is asked to keep the answer for the next one (MSG_MORE), and to send what it has (TCP_NODELAY)
//! before any call that may block. A server that takes long between a read and its answer has no
//! answer kept. What it does between an answer and the next read is not seen; the kernel itself
//! keeps nothing for more than 200 ms.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::{EAGAIN, MSG_DONTWAIT, MSG_MORE};

use crate::connection::{CONNECTIONS, Connection};
use crate::sys::{self, Errno, KeepErrno};

/// The longest time between a read and an answer that may be kept, in microseconds.
const PROMPT: u32 = 200;

/// Connections whose answers the kernel keeps.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The kernel keeps some answer.
pub(crate) fn is_any() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// The server has read something, and `more`: there is more to read.
pub(crate) fn has_read(connection: &Connection, more: bool) {
    let time = match more.then(sys::now_us) {
        None => 0,
        // The moment before: 0 means that there is no more.
        Some(0) => u32::MAX,
        Some(time) => time,
    };
    connection.more_since.store(time, Ordering::Relaxed);
}

/// MSG_MORE if what the server writes now is to be kept.
pub(crate) fn flag(connection: &Connection) -> c_int {
    let since = connection.more_since.load(Ordering::Relaxed);
    if since != 0 && sys::now_us().wrapping_sub(since) < PROMPT {
        MSG_MORE
    } else {
        0
    }
}

/// Something was written with this [`flag`].
pub(crate) fn has_written(connection: &Connection, flag: c_int) {
    let keeps = flag != 0;
    if connection.kept.swap(keeps, Ordering::Relaxed) != keeps {
        let one = if keeps { 1 } else { usize::MAX };
        COUNT.fetch_add(one, Ordering::Relaxed);
    }
}

/// Has the kernel send what it keeps.
#[inline(never)]
pub(crate) fn push(connection: &Connection, fd: c_int) {
    if connection.kept.load(Ordering::Relaxed) {
        let _errno = KeepErrno::new();
        has_written(connection, 0);
        sys::set_no_delay(fd);
    }
}

/// The same of all connections, before a call that may block.
#[inline(never)]
pub(crate) fn push_all() {
    if is_any() {
        CONNECTIONS.for_each(&mut |fd, connection| push(connection, fd));
    }
}

/// A read of this connection's. One that would block has the kernel send first.
///
/// # Errors
/// Those of `read`, which takes its flags.
pub(crate) fn reading<T>(
    connection: &Connection,
    fd: c_int,
    flags: c_int,
    mut read: impl FnMut(c_int) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if connection.kept.load(Ordering::Relaxed) {
        match read(flags | MSG_DONTWAIT) {
            Err(Errno(EAGAIN)) => push(connection, fd),
            result => return result,
        }
    }
    read(flags)
}
