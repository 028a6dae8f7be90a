//! Sockets that the server has closed and the client has not yet.
//!
//! A server that must not block closes at once, while the closing handshake
//! takes a round trip, and our Close may find the socket full. So a second
//! descriptor stays with us for a while. There is no thread to look after it:
//! the server's own waits do, in slices for as long as there is something.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering};

use libc::F_DUPFD_CLOEXEC;

use crate::closing::drain;
use crate::control;
use crate::sys::{self, Guarded, KeepErrno};
use crate::table::{self, Ref};

/// How long a client may take to end its side, in milliseconds.
const PATIENCE: i64 = 5000;
/// Longest wait of the server while there is something to look after.
const SLICE: c_int = 100;
/// Sockets at a time; a further one is closed at once.
const PLACES: usize = 32;

struct Entry {
    connection: Ref,
    fd: c_int,
    until: i64,
}

static LIST: Guarded<[Option<Entry>; PLACES]> = Guarded::new([const { None }; PLACES]);
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Entry {
    /// Goes on as far as that goes without waiting; true when all is done.
    fn is_done(&mut self) -> bool {
        if let Some(mut tx) = self.connection.tx.try_lock()
            && (control::flush_locked(&self.connection, &mut tx, self.fd) || tx.owed() > 0)
        {
            // SAFETY: a plain system call, which may be repeated.
            unsafe { sys::shutdown(self.fd, libc::SHUT_WR) };
        }
        drain(self.fd, 0) || sys::now_ms() > self.until
    }
}

/// Looks after a socket that is about to be closed, if there is need and room.
pub(crate) fn keep(connection: Ref, fd: c_int) {
    let mut entry = Entry {
        connection,
        fd,
        until: sys::now_ms() + PATIENCE,
    };
    if entry.is_done() || entry.connection.epolls.lock().is_beyond_us() {
        return;
    }
    let mut list = LIST.lock();
    let Some(place) = list.iter_mut().find(|place| place.is_none()) else {
        return;
    };
    // SAFETY: a plain system call, with a number as argument.
    entry.fd = unsafe { sys::fcntl(fd, F_DUPFD_CLOEXEC, 0) };
    if entry.fd >= 0 {
        *place = Some(entry);
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

/// There is nothing to look after.
pub(crate) fn is_empty() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// Neither here nor in the table is anything: a wait is the kernel's alone.
pub(crate) fn is_all_foreign() -> bool {
    table::is_empty() && is_empty()
}

/// The longest that a wait of `ms` may last before [`tend`] is due again.
pub(crate) fn slice(ms: c_int) -> c_int {
    if is_empty() && !control::is_stalled() || (0..SLICE).contains(&ms) {
        ms
    } else {
        SLICE
    }
}

/// Looks after all of them, and after control frames that wait for room;
/// never waits.
pub(crate) fn tend() {
    control::flush_stalled();
    if is_empty() {
        return;
    }
    let _errno = KeepErrno::new();
    let Some(mut list) = LIST.try_lock() else {
        return;
    };
    for place in list.iter_mut() {
        if place.as_mut().is_some_and(Entry::is_done) {
            release(place);
        }
    }
}

fn release(place: &mut Option<Entry>) {
    if let Some(entry) = place.take() {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the descriptor is known to nobody else.
        unsafe { sys::close(entry.fd) };
    }
}

/// At exit: gives them until then.
pub(crate) fn finish(until: i64) {
    while !is_empty() && sys::now_ms() < until {
        tend();
        // SAFETY: no entries, only a pause.
        unsafe { sys::poll(core::ptr::null_mut(), 0, 10) };
    }
}

/// In a child: they are the parent's.
///
/// # Safety
/// Only right after fork, where no other thread exists.
pub(crate) unsafe fn abandon() {
    // SAFETY: the caller's promise.
    unsafe { LIST.reset() };
    LIST.lock().iter_mut().for_each(release);
}
