//! From a file to a client without the program's buffers: sendfile works, by reads and writes of
//! the library's; splice is refused.

use core::ffi::{c_int, c_uint};

use libc::{EINVAL, c_void, iovec, size_t, ssize_t};

use crate::connection::{CONNECTIONS, Ref};
use crate::output::Source;
use crate::sys::{Errno, from_c, next, to_c};
use crate::{handover, transmit};

next! {
    fn next_sendfile = c"sendfile"(to: c_int, from: c_int, offset: *mut libc::off_t, n: size_t) -> ssize_t;
    fn next_sendfile64 = c"sendfile64"(to: c_int, from: c_int, offset: *mut i64, n: size_t) -> ssize_t;
    fn next_splice = c"splice"(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, n: size_t, flags: c_uint) -> ssize_t;
}

/// Bytes of a file that make a message.
const CHUNK: usize = 16 << 10;

/// sendfile(2) of either width of offset.
///
/// # Safety
/// The offset is null or valid.
unsafe fn send_file<O: Copy + Into<i64> + TryFrom<i64>>(
    to: c_int,
    from: c_int,
    offset: *mut O,
    n: size_t,
    kernel: impl FnOnce() -> ssize_t,
) -> ssize_t {
    let client = match handover::for_writing(to, 0) {
        Ok(Some(client)) => client,
        // The kernel sends from a file only.
        Ok(None) if CONNECTIONS.has(from) => return to_c(Err(Errno(EINVAL))),
        Ok(None) => return kernel(),
        Err(error) => return to_c(Err(error)),
    };
    // SAFETY: the caller's promise; lseek is a plain system call.
    unsafe {
        let given = offset.as_ref().map(|offset| (*offset).into());
        let start = match given {
            Some(start) => start,
            None => match from_c(libc::lseek64(from, 0, libc::SEEK_CUR) as ssize_t) {
                Ok(start) => start as i64,
                Err(_) => return to_c(Err(Errno(EINVAL))),
            },
        };
        let result = copy(&client, to, from, start, n);
        if let Ok(sent) = result {
            let end = start + sent as i64;
            match (given, O::try_from(end)) {
                (Some(_), Ok(end)) => *offset = end,
                (Some(_), Err(_)) => return to_c(Err(Errno(libc::EOVERFLOW))),
                (None, _) => {
                    libc::lseek64(from, end, libc::SEEK_SET);
                }
            }
        }
        to_c(result)
    }
}

/// Sends up to `n` bytes of the file; returns how many went.
fn copy(client: &Ref, to: c_int, from: c_int, start: i64, n: usize) -> Result<usize, Errno> {
    let mut chunk = [0u8; CHUNK];
    let mut total = 0;
    while total < n {
        let wanted = CHUNK.min(n - total);
        // SAFETY: the chunk is that long.
        let read = from_c(unsafe {
            libc::pread64(
                from,
                chunk.as_mut_ptr().cast::<c_void>(),
                wanted,
                start + total as i64,
            )
        });
        let len = match read {
            Ok(0) => break,
            Ok(len) => len,
            Err(_) if total > 0 => break,
            Err(Errno(libc::ESPIPE)) => return Err(Errno(EINVAL)),
            Err(error) => return Err(error),
        };
        let part = iovec {
            iov_base: chunk.as_mut_ptr().cast(),
            iov_len: len,
        };
        match transmit::write(client, to, Source::new(&[part]), 0) {
            Ok(sent) => {
                total += sent;
                if sent < len {
                    break;
                }
            }
            Err(_) if total > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// sendfile(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut libc::off_t,
    n: size_t,
) -> ssize_t {
    // SAFETY: passed on.
    unsafe { send_file(to, from, offset, n, || next_sendfile(to, from, offset, n)) }
}

/// The 64-bit name of [`sendfile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut i64,
    n: size_t,
) -> ssize_t {
    // SAFETY: passed on; where both are the same, so are their offsets.
    unsafe {
        if size_of::<libc::off_t>() == size_of::<i64>() {
            return sendfile(to, from, offset.cast(), n);
        }
        send_file(to, from, offset, n, || next_sendfile64(to, from, offset, n))
    }
}

/// splice(2) would bypass the frames; EINVAL makes programs fall back to reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut i64,
    to: c_int,
    to_offset: *mut i64,
    n: size_t,
    flags: c_uint,
) -> ssize_t {
    for fd in [from, to] {
        match handover::for_writing(fd, 0) {
            Ok(None) => {}
            Ok(Some(_)) => return to_c(Err(Errno(EINVAL))),
            Err(error) => return to_c(Err(error)),
        }
    }
    // SAFETY: passed on.
    unsafe { next_splice(from, from_offset, to, to_offset, n, flags) }
}
