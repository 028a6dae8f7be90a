//! The C library below us: its functions, errno, locks and clock.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int};
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_void, pthread_mutex_t};

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

/// What a C function returns: -1 and errno for an error.
pub(crate) fn to_c(result: Result<usize, Errno>) -> libc::ssize_t {
    match result {
        Ok(n) => n as libc::ssize_t,
        Err(Errno(value)) => {
            set_errno(value);
            -1
        }
    }
}

/// The other way round, of a C function's return value.
pub(crate) fn from_c(result: libc::ssize_t) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno(errno()))
}

/// Puts errno back as it was when the guard was made.
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

/// The next library's symbol `name`, looked up once; if it has none, a
/// function that fails with ENOSYS.
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

/// Stands for a function that libc has not. All of those we call return -1
/// for an error, in a register that holds a C long.
extern "C" fn missing() -> libc::c_long {
    set_errno(libc::ENOSYS);
    -1
}

/// Declares functions that call libc's function of the same name, which our
/// own export hides.
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
    fn sendmsg = c"sendmsg"(fd: c_int, msg: *const libc::msghdr, flags: c_int) -> libc::ssize_t;
    fn poll = c"poll"(fds: *mut libc::pollfd, n: libc::nfds_t, timeout: c_int) -> c_int;
    fn close = c"close"(fd: c_int) -> c_int;
    fn shutdown = c"shutdown"(fd: c_int, how: c_int) -> c_int;
    fn fcntl = c"fcntl"(fd: c_int, command: c_int, arg: usize) -> c_int;
}

/// A lock that a forked child may take over.
pub(crate) struct Lock(UnsafeCell<pthread_mutex_t>);

// SAFETY: a mutex is made to be shared.
unsafe impl Sync for Lock {}

/// Holds a [`Lock`]; lets it go when dropped.
pub(crate) struct Held<'a>(&'a Lock);

impl Lock {
    pub(crate) const fn new() -> Self {
        Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))
    }

    pub(crate) fn lock(&self) -> Held<'_> {
        // SAFETY: the mutex is initialised and never moves while in use; a
        // default mutex cannot fail to lock.
        unsafe { libc::pthread_mutex_lock(self.0.get()) };
        Held(self)
    }

    pub(crate) fn try_lock(&self) -> Option<Held<'_>> {
        // SAFETY: as above.
        let taken = unsafe { libc::pthread_mutex_trylock(self.0.get()) } == 0;
        // A Held lets go when it is dropped: none is made of a lock not taken.
        taken.then(|| Held(self))
    }

    /// Lets go of a lock whose [`Held`] was forgotten.
    ///
    /// # Safety
    /// This thread holds it.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) };
    }

    /// Frees the lock whatever its state.
    ///
    /// # Safety
    /// Only where no other thread exists: in a child right after fork.
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: no thread is there to hold or wait for it.
        unsafe { *self.0.get() = libc::PTHREAD_MUTEX_INITIALIZER };
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.0.0.get()) };
    }
}

/// A value behind a [`Lock`].
pub(crate) struct Guarded<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at a time at the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

/// The value of a [`Guarded`], for as long as this lives.
pub(crate) struct Guard<'a, T> {
    _held: Held<'a>,
    value: *mut T,
}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded {
            lock: Lock::new(),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard {
            _held: self.lock.lock(),
            value: self.value.get(),
        }
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let held = self.lock.try_lock()?;
        Some(Guard {
            _held: held,
            value: self.value.get(),
        })
    }

    /// # Safety
    /// As [`Lock::reset`].
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.reset() };
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and this borrow is the only one.
        unsafe { &mut *self.value }
    }
}

/// Milliseconds of the monotonic clock.
#[inline(never)]
pub(crate) fn now_ms() -> i64 {
    // SAFETY: an all-zero timespec is valid, and the call only fills it.
    let time = unsafe {
        let mut time: libc::timespec = core::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time
    };
    time.tv_sec as i64 * 1000 + time.tv_nsec as i64 / 1_000_000
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

/// The descriptor's O_ flags; 0 if it has none.
#[inline(never)]
pub(crate) fn file_flags(fd: c_int) -> c_int {
    // SAFETY: F_GETFL takes no argument.
    unsafe { fcntl(fd, libc::F_GETFL, 0) }.max(0)
}

/// An integer socket option.
pub(crate) fn socket_option(fd: c_int, option: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: value and len are ours and fit each other.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &mut len,
        )
    };
    (result == 0).then_some(value)
}
