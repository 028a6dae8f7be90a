//! syscall(2), by which some programs make the calls that this library stands in front of, and
//! _exit(2), which the C library's own functions do not run at.

use core::ffi::{c_int, c_long, c_uint};

use libc::ENOSYS;

use super::descriptors::before_close_range;
use crate::closing;
use crate::sys::{Errno, next, to_c};

next! {
    #[allow(clippy::too_many_arguments)]
    fn next_syscall = c"syscall"(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long, g: c_long) -> c_long;
    fn next_exit = c"_exit"(status: c_int) -> c_long;
}

/// syscall(2), by which libuv closes, and would use io_uring(7), whose rings bypass every call:
/// that is refused, as by a kernel without it. The variable arguments are words; the ones that were
/// not given are passed on as they happen to be, and ignored.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
    g: c_long,
) -> c_long {
    match number {
        libc::SYS_close => closing::forget(a as c_int),
        libc::SYS_close_range => before_close_range(a as c_uint, b as c_uint, c as c_int),
        libc::SYS_io_uring_setup => return to_c(Err(Errno(ENOSYS))) as c_long,
        _ => {}
    }
    // SAFETY: passed on.
    unsafe { next_syscall(number, a, b, c, d, e, f, g) }
}

/// _exit(2): what the program has closed ends as at exit(3), for a child that closes and ends at
/// once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _exit(status: c_int) -> ! {
    closing::at_immediate_exit();
    // SAFETY: passed on; it does not return, and if it does the program ends nevertheless.
    unsafe {
        next_exit(status);
        libc::abort()
    }
}

/// The name of [`_exit`] in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _Exit(status: c_int) -> ! {
    // SAFETY: passed on.
    unsafe { _exit(status) }
}
