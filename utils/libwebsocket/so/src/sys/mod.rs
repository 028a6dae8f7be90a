//! The C library below this one: its functions, errno and clock.

pub(crate) mod hidden;
pub(crate) mod lock;
pub(crate) mod process;

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::c_void;

/// An errno value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

/// The errno of the last failed call of this thread.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is this thread's own and always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets this thread's errno.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}

/// The result as a C function returns it: -1 and errno for an error.
pub(crate) fn to_c(result: Result<usize, Errno>) -> libc::ssize_t {
    match result {
        Ok(n) => n as libc::ssize_t,
        Err(Errno(value)) => {
            set_errno(value);
            -1
        }
    }
}

/// The result that a C function has returned.
pub(crate) fn from_c(result: libc::ssize_t) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno(errno()))
}

/// Restores errno, when dropped, to its value when this was made.
pub(crate) struct KeepErrno(c_int);

impl KeepErrno {
    pub(crate) fn new() -> Self {
        KeepErrno(errno())
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}

/// The next library's symbol `name`, looked up once; if it has none, a function that fails with
/// ENOSYS.
#[inline(never)]
pub(crate) fn next_symbol(slot: &AtomicPtr<c_void>, name: &CStr) -> *mut c_void {
    let known = slot.load(Ordering::Relaxed);
    if !known.is_null() {
        return known;
    }
    let _errno = KeepErrno::new();
    // SAFETY: the name ends with NUL.
    let mut found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        found = missing as *mut c_void;
    }
    slot.store(found, Ordering::Relaxed);
    found
}

/// Takes the place of a function that libc does not have. Each function that the library calls
/// returns -1 for an error, in a register of a C long.
extern "C" fn missing() -> libc::c_long {
    set_errno(libc::ENOSYS);
    -1
}

/// Declares functions that call libc's function of the same name, which our own export hides.
macro_rules! next {
    ($($(#[$meta:meta])* fn $name:ident = $symbol:literal ($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {$(
        $(#[$meta])*
        pub(crate) unsafe fn $name($($arg: $type),*) -> $ret {
            static SLOT: core::sync::atomic::AtomicPtr<libc::c_void> =
                core::sync::atomic::AtomicPtr::new(core::ptr::null_mut());
            let symbol = $crate::sys::next_symbol(&SLOT, $symbol);
            // SAFETY: the symbol is libc's function of this name, whose
            // parameters are these, or one that takes none and returns alike;
            // the caller vouches for the arguments.
            unsafe {
                let function: unsafe extern "C" fn($($type),*) -> $ret =
                    core::mem::transmute(symbol);
                function($($arg),*)
            }
        }
    )*};
}
pub(crate) use next;

next! {
    fn recv = c"recv"(fd: c_int, buf: *mut c_void, len: usize, flags: c_int) -> libc::ssize_t;
    fn recvmsg = c"recvmsg"(fd: c_int, msg: *mut libc::msghdr, flags: c_int) -> libc::ssize_t;
    fn send = c"send"(fd: c_int, buf: *const c_void, n: usize, flags: c_int) -> libc::ssize_t;
    fn sendmsg = c"sendmsg"(fd: c_int, msg: *const libc::msghdr, flags: c_int) -> libc::ssize_t;
    fn poll = c"poll"(fds: *mut libc::pollfd, n: libc::nfds_t, timeout: c_int) -> c_int;
    fn close = c"close"(fd: c_int) -> c_int;
    fn shutdown = c"shutdown"(fd: c_int, how: c_int) -> c_int;
    fn fcntl = c"fcntl"(fd: c_int, command: c_int, arg: usize) -> c_int;
    fn dup3 = c"dup3"(old: c_int, new: c_int, flags: c_int) -> c_int;
    fn epoll_ctl = c"epoll_ctl"(epoll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int;
    fn getsockopt = c"getsockopt"(fd: c_int, level: c_int, option: c_int, value: *mut c_void, len: *mut libc::socklen_t) -> c_int;
}

/// Milliseconds of the monotonic clock.
#[inline(never)]
pub(crate) fn now_ms() -> i64 {
    let time = now();
    time.tv_sec as i64 * 1000 + time.tv_nsec as i64 / 1_000_000
}

/// Microseconds of the monotonic clock, which wrap round after 71 minutes.
#[inline(never)]
pub(crate) fn now_us() -> u32 {
    let time = now();
    (time.tv_sec as u32)
        .wrapping_mul(1_000_000)
        .wrapping_add(time.tv_nsec as u32 / 1000)
}

fn now() -> libc::timespec {
    // SAFETY: an all-zero timespec is valid, and the call only fills it.
    unsafe {
        let mut time: libc::timespec = core::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    }
}

/// Small messages go at once, what the kernel has kept of them too.
pub(crate) fn set_no_delay(client: c_int) {
    let on: c_int = 1;
    // SAFETY: a plain system call; the option's value is this call's.
    unsafe {
        libc::setsockopt(
            client,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        );
    }
}

/// Waits up to `ms` for `events`; false when none of them came.
#[inline(never)]
pub(crate) fn wait_for(fd: c_int, events: libc::c_short, ms: i64) -> bool {
    let until = now_ms() + ms;
    loop {
        let left = (until - now_ms()).clamp(0, i64::from(c_int::MAX)) as c_int;
        let mut entry = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: one entry, ours.
        match unsafe { poll(&mut entry, 1, left) } {
            -1 if errno() == libc::EINTR && left > 0 => {}
            n => return n > 0,
        }
    }
}

/// The descriptor's O_ flags; 0 if it is not open.
#[inline(never)]
pub(crate) fn file_flags(fd: c_int) -> c_int {
    // SAFETY: F_GETFL takes no argument.
    unsafe { fcntl(fd, libc::F_GETFL, 0) }.max(0)
}

/// An integer socket option.
#[inline(never)]
pub(crate) fn socket_option(fd: c_int, option: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: value and len are ours and fit each other.
    let result = unsafe {
        getsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &mut len,
        )
    };
    (result == 0).then_some(value)
}

/// Reads at most as many bytes as the buffer has.
pub(crate) fn receive(fd: c_int, buffer: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the buffer is a Rust slice.
    from_c(unsafe { recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// Most reads of one [`drain`], 4 KiB each.
const MOST_DROPPED: usize = 1024;

/// Reads and drops what has come: unread bytes would make TCP reset the connection, and the client
/// lose what was sent to it last. Never waits. True if the client has ended its side, or has sent 4
/// MiB meanwhile.
#[inline(never)]
pub(crate) fn drain(fd: c_int) -> bool {
    let mut scrap = [0u8; 4096];
    for _ in 0..MOST_DROPPED {
        match receive(fd, &mut scrap, libc::MSG_DONTWAIT) {
            Ok(0) => return true,
            Ok(_) | Err(Errno(libc::EINTR)) => {}
            Err(Errno(error)) => return error != libc::EAGAIN,
        }
    }
    true
}
