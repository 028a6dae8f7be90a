//! Sockets that the server has closed and the client has not yet.
//!
//! close(2) does not wait, while the closing handshake takes a round trip, and the Close may find a
//! full socket. So a second descriptor stays with the library for a while. On a socket that does
//! not block, the server's own waits look after it, in slices for as long as there is something. A
//! server on blocking sockets may not wait anywhere: a thread looks after those, and ends with the
//! last of them.

use core::ffi::c_int;
use core::mem::{MaybeUninit, zeroed};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{POLLIN, POLLOUT, c_void, pollfd};

use crate::connection::{Connection, Ref};
use crate::control;
use crate::sys::hidden::Hidden;
use crate::sys::lock::Guarded;
use crate::sys::{self, KeepErrno};

/// How long a client may take to end its side, in milliseconds.
const PATIENCE: i64 = 5000;
/// Longest wait while there is something to look after.
const SLICE: c_int = 100;
/// Sockets at a time; a further one takes the place of the oldest.
const PLACES: usize = 32;
/// The thread's stack, in bytes: it needs 6 KiB.
const STACK: usize = 64 << 10;

struct Entry {
    connection: Ref,
    socket: Hidden,
    until: i64,
}

static LIST: Guarded<[Option<Entry>; PLACES]> = Guarded::new([const { None }; PLACES]);
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// A thread looks after the list; changed with the list locked.
static HAS_THREAD: AtomicBool = AtomicBool::new(false);

/// Goes on with the closing handshake as far as that goes without waiting; true when all is done.
fn go_on(connection: &Connection, fd: c_int) -> bool {
    if let Some(mut tx) = connection.tx.try_lock()
        && (control::flush_locked(connection, &mut tx, fd) || tx.owed() > 0)
    {
        // SAFETY: a plain system call, which may be repeated.
        unsafe { sys::shutdown(fd, libc::SHUT_WR) };
    }
    sys::drain(fd)
}

/// What poll(2) is to wait for, to go on.
fn awaited(connection: &Connection, fd: c_int) -> pollfd {
    let waiting = connection.waiting.try_lock();
    let has_close = waiting.is_some_and(|waiting| waiting.close.is_some());
    pollfd {
        fd,
        events: if has_close { POLLIN | POLLOUT } else { POLLIN },
        revents: 0,
    }
}

/// Goes on until all is done, or until then.
pub(crate) fn see_off(connection: &Connection, fd: c_int, until: i64) {
    while !go_on(connection, fd) && sys::now_ms() < until {
        wait(&mut [awaited(connection, fd)]);
    }
}

impl Entry {
    fn is_done(&self) -> bool {
        let go_on = |fd| go_on(&self.connection, fd) || sys::now_ms() > self.until;
        self.socket.get().is_none_or(go_on)
    }

    fn awaited(&self) -> pollfd {
        awaited(&self.connection, self.socket.get().unwrap_or(-1))
    }
}

/// Looks after a socket that is about to be closed, if there is need.
pub(crate) fn keep(connection: Ref, fd: c_int, blocking: bool) {
    if connection.watchers.lock().have_unknown() {
        return;
    }
    let Some(socket) = Hidden::of(fd) else {
        return;
    };
    let entry = Entry {
        connection,
        socket,
        until: sys::now_ms() + PATIENCE,
    };
    if entry.is_done() {
        return entry.socket.close();
    }
    let mut list = LIST.lock();
    let is_older = |place: &&mut Option<Entry>| place.as_ref().map_or(0, |entry| entry.until);
    if let Some(place) = list.iter_mut().min_by_key(is_older) {
        release(place);
        *place = Some(entry);
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    if blocking && !HAS_THREAD.load(Ordering::Relaxed) {
        HAS_THREAD.store(start_thread(), Ordering::Relaxed);
    }
}

/// There is nothing to look after.
pub(crate) fn is_empty() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// The longest that a wait of `ms` may last before [`tend`] is due again.
pub(crate) fn slice(ms: c_int) -> c_int {
    let is_idle = is_empty() || HAS_THREAD.load(Ordering::Relaxed);
    if is_idle && !control::is_stalled() || (0..SLICE).contains(&ms) {
        ms
    } else {
        SLICE
    }
}

/// Looks after all of them, and after control frames that wait for room; never waits.
pub(crate) fn tend() {
    control::flush_stalled();
    if is_empty() {
        return;
    }
    let _errno = KeepErrno::new();
    if let Some(mut list) = LIST.try_lock() {
        release_done(&mut list);
    }
}

fn release_done(list: &mut [Option<Entry>; PLACES]) {
    for place in list.iter_mut() {
        if place.as_ref().is_some_and(Entry::is_done) {
            release(place);
        }
    }
}

fn release(place: &mut Option<Entry>) {
    if let Some(entry) = place.take() {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        entry.socket.close();
    }
}

/// Starts the thread, with all signals blocked: those are the server's.
fn start_thread() -> bool {
    // SAFETY: the attributes and the sets are initialised before they are used.
    unsafe {
        let mut attributes = MaybeUninit::uninit();
        let mut all: libc::sigset_t = zeroed();
        let mut old: libc::sigset_t = zeroed();
        let mut thread = MaybeUninit::uninit();
        if libc::pthread_attr_init(attributes.as_mut_ptr()) != 0 {
            return false;
        }
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        let attributes = attributes.as_mut_ptr();
        let result = libc::pthread_create(thread.as_mut_ptr(), attributes, look_after, null_mut());
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, null_mut());
        libc::pthread_attr_destroy(attributes);
        result == 0
    }
}

extern "C" fn look_after(_: *mut c_void) -> *mut c_void {
    loop {
        let mut awaited = [const { unawaited() }; PLACES];
        {
            let mut list = LIST.lock();
            release_done(&mut list);
            if is_empty() {
                HAS_THREAD.store(false, Ordering::Relaxed);
                return null_mut();
            }
            for (entry, awaited) in list.iter().flatten().zip(&mut awaited) {
                *awaited = entry.awaited();
            }
        }
        wait(&mut awaited);
    }
}

const fn unawaited() -> pollfd {
    pollfd {
        fd: -1,
        events: 0,
        revents: 0,
    }
}

fn wait(awaited: &mut [pollfd]) {
    // SAFETY: the entries are the caller's.
    unsafe { sys::poll(awaited.as_mut_ptr(), awaited.len() as libc::nfds_t, SLICE) };
}

/// The process ends: gives them until then. Frees nothing, and waits for no lock that an
/// interrupted call of this thread may hold.
pub(crate) fn finish(until: i64) {
    while !is_empty() && sys::now_ms() < until {
        let mut awaited = [const { unawaited() }; PLACES];
        let Some(list) = LIST.try_lock() else {
            // The thread has it, and is soon done with that.
            wait(&mut awaited[..1]);
            continue;
        };
        let mut left = 0;
        for entry in list.iter().flatten() {
            // Unlocked again at the end of the statement.
            let is_free = entry.connection.waiting.try_lock().is_some();
            if is_free && !entry.is_done() {
                awaited[left] = entry.awaited();
                left += 1;
            }
        }
        if left == 0 {
            return;
        }
        drop(list);
        wait(&mut awaited[..left]);
    }
}

/// In a child: they are the parent's.
///
/// # Safety
/// Only right after fork, where no other thread exists.
pub(crate) unsafe fn abandon() {
    // SAFETY: the caller's promise.
    unsafe { LIST.reset() };
    HAS_THREAD.store(false, Ordering::Relaxed);
    LIST.lock().iter_mut().for_each(release);
}
