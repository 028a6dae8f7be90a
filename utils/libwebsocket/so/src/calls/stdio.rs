//! stdio on a client's socket. The C library's own streams read and write without the calls that
//! this library stands in front of, so a client's stream is one whose functions are these calls
//! (fopencookie(3)).

use core::ffi::{c_char, c_int};

use libc::{FILE, c_void, size_t, ssize_t};

use super::{descriptors, read, write};
use crate::connection::CONNECTIONS;
use crate::sys::{KeepErrno, next};
use crate::{closing, handover};

/// `cookie_io_functions_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    read: unsafe extern "C" fn(*mut c_void, *mut c_char, size_t) -> ssize_t,
    write: unsafe extern "C" fn(*mut c_void, *const c_char, size_t) -> ssize_t,
    seek: *const c_void,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
}

next! {
    fn next_fdopen = c"fdopen"(fd: c_int, mode: *const c_char) -> *mut FILE;
    fn next_fopencookie = c"fopencookie"(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut FILE;
    fn next_fclose = c"fclose"(stream: *mut FILE) -> c_int;
}

/// fdopen(3). The cookie is the descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdopen(fd: c_int, mode: *const c_char) -> *mut FILE {
    let functions = Functions {
        read: read_stream,
        write: write_stream,
        seek: core::ptr::null(),
        close: close_stream,
    };
    // SAFETY: passed on; the functions live as long as the library.
    unsafe {
        // A client that may come yet needs such a stream, too.
        if handover::for_asking(fd).is_some() || CONNECTIONS.has(fd) {
            next_fopencookie(fd as usize as *mut c_void, mode, functions)
        } else {
            next_fdopen(fd, mode)
        }
    }
}

unsafe extern "C" fn read_stream(fd: *mut c_void, buf: *mut c_char, n: size_t) -> ssize_t {
    // SAFETY: passed on.
    unsafe { read::read(fd as usize as c_int, buf.cast(), n) }
}

/// A cookie's function returns 0 for an error, and never a negative number.
unsafe extern "C" fn write_stream(fd: *mut c_void, buf: *const c_char, n: size_t) -> ssize_t {
    // SAFETY: passed on.
    unsafe { write::write(fd as usize as c_int, buf.cast(), n).max(0) }
}

unsafe extern "C" fn close_stream(fd: *mut c_void) -> c_int {
    // SAFETY: passed on.
    unsafe { descriptors::close(fd as usize as c_int) }
}

/// fclose(3), of a stream whose descriptor has become a client's (dup2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    // SAFETY: passed on.
    unsafe {
        {
            let _errno = KeepErrno::new();
            closing::forget(libc::fileno(stream));
        }
        next_fclose(stream)
    }
}
