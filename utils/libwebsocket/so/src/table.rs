//! Which descriptors are WebSocket connections.
//!
//! A look-up that finds nothing takes no lock, so that a signal handler may
//! write to its pipe while another call is inside here.

use core::ffi::c_int;
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::connection::Connection;
use crate::lingering;
use crate::sys::Lock;

/// Descriptors a page holds, and pages there are: a million descriptors, the
/// kernel's own default limit (nr_open). Beyond it a client stays untouched.
const PAGE: usize = 1024;
const PAGES: usize = 1024;

type Slot = AtomicPtr<Connection>;

static TABLE: [AtomicPtr<[Slot; PAGE]>; PAGES] = [const { AtomicPtr::new(null_mut()) }; PAGES];
/// Guards changes of the table and the reference counts.
static LOCK: Lock = Lock::new();
/// Descriptors in the table.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Goes up in parent and child at every fork.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// The process whose table this is; 0 before the first connection.
static OWNER: AtomicI32 = AtomicI32::new(0);

// SAFETY: a connection is shared by design; each part has its lock.
unsafe impl Send for Ref {}

/// A connection in use; it lives at least as long as this.
pub(crate) struct Ref(NonNull<Connection>);

impl Deref for Ref {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        // SAFETY: the reference was counted when this was made.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Ref {
    // Every call has one: inlined, they make a tenth of the library.
    #[inline(never)]
    fn drop(&mut self) {
        let last = {
            let _held = LOCK.lock();
            self.refs.fetch_sub(1, Ordering::Relaxed) == 1
        };
        if last {
            // SAFETY: nothing else points to it any more; it was made by
            // calloc in `insert`.
            unsafe { libc::free(self.0.as_ptr().cast()) };
        }
    }
}

fn slot(fd: c_int) -> Option<&'static Slot> {
    let index = usize::try_from(fd).ok()?;
    let page = TABLE.get(index / PAGE)?.load(Ordering::Acquire);
    // SAFETY: a page, once there, stays for ever.
    let page = unsafe { page.as_ref() }?;
    page.get(index % PAGE)
}

/// There is no connection at all.
pub(crate) fn is_empty() -> bool {
    COUNT.load(Ordering::Relaxed) == 0
}

/// How often this process has forked or was forked since the start.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// The process whose table this is.
pub(crate) fn process() -> c_int {
    OWNER.load(Ordering::Relaxed)
}

/// This is not a child that shares our memory (vfork, posix_spawn).
pub(crate) fn is_our_process() -> bool {
    // SAFETY: getpid cannot fail.
    process() == unsafe { libc::getpid() }
}

/// The descriptor is in the table.
pub(crate) fn has(fd: c_int) -> bool {
    slot(fd).is_some_and(|slot| !slot.load(Ordering::Relaxed).is_null())
}

/// The connection behind a descriptor.
// Every call asks: inlined, the answer would make a tenth of the library.
#[inline(never)]
pub(crate) fn find(fd: c_int) -> Option<Ref> {
    let slot = slot(fd)?;
    if slot.load(Ordering::Relaxed).is_null() {
        return None;
    }
    let _held = LOCK.lock();
    count(slot.load(Ordering::Relaxed))
}

/// This process waits for the descriptor, which is use of its connection, if
/// it is one's; that matters only after a fork.
pub(crate) fn touch(fd: c_int) {
    if generation() > 0
        && let Some(connection) = find(fd)
    {
        connection.touch();
    }
}

/// One more user; with the lock held.
fn count(connection: *mut Connection) -> Option<Ref> {
    // SAFETY: what the table points to is alive while the lock is held.
    let known = unsafe { connection.as_ref() }?;
    known.refs.fetch_add(1, Ordering::Relaxed);
    Some(Ref(NonNull::from(known)))
}

/// Makes a connection for a descriptor; None without memory or room.
pub(crate) fn insert(fd: c_int) -> Option<Ref> {
    start_once();
    make_page(fd)?;
    // SAFETY: the block has the size and, as malloc's, the alignment of a
    // connection; it is written before anything reads it.
    let connection = unsafe {
        let block = NonNull::new(libc::malloc(size_of::<Connection>()).cast::<Connection>())?;
        block.write(Connection::new(generation()));
        Ref(block)
    };
    // A descriptor that was closed behind our back.
    drop(remove(fd));
    share(fd, &connection).then_some(connection)
}

/// A further descriptor of the same connection (dup).
pub(crate) fn share(fd: c_int, connection: &Ref) -> bool {
    let Some(slot) = make_page(fd).and_then(|()| slot(fd)) else {
        return false;
    };
    let _held = LOCK.lock();
    connection.refs.fetch_add(1, Ordering::Relaxed);
    connection.descriptors.fetch_add(1, Ordering::Relaxed);
    let old = slot.swap(connection.0.as_ptr(), Ordering::Release);
    debug_assert!(old.is_null(), "the old descriptor was taken out");
    COUNT.fetch_add(1, Ordering::Relaxed);
    true
}

/// Takes a descriptor out; tells whether it was the connection's last.
pub(crate) fn remove(fd: c_int) -> Option<(Ref, bool)> {
    let slot = slot(fd)?;
    let _held = LOCK.lock();
    // The table's own count passes on to this Ref.
    let connection = Ref(NonNull::new(slot.swap(null_mut(), Ordering::Relaxed))?);
    COUNT.fetch_sub(1, Ordering::Relaxed);
    let last = connection.descriptors.fetch_sub(1, Ordering::Relaxed) == 1;
    Some((connection, last))
}

/// Calls `visit` for every descriptor in the table.
pub(crate) fn for_each(mut visit: impl FnMut(c_int, &Ref)) {
    if is_empty() {
        return;
    }
    for fd in descriptors() {
        if let Some(connection) = find(fd) {
            visit(fd, &connection);
        }
    }
}

/// Every descriptor number that has a place in the table.
fn descriptors() -> impl Iterator<Item = c_int> {
    (0..PAGES)
        .filter(|page| !TABLE[*page].load(Ordering::Acquire).is_null())
        .flat_map(|page| (0..PAGE).map(move |at| (page * PAGE + at) as c_int))
}

fn make_page(fd: c_int) -> Option<()> {
    let entry = TABLE.get(usize::try_from(fd).ok()? / PAGE)?;
    if entry.load(Ordering::Acquire).is_null() {
        let _held = LOCK.lock();
        if entry.load(Ordering::Relaxed).is_null() {
            // SAFETY: zeroed memory is a page of null pointers.
            let page = unsafe { libc::calloc(PAGE, size_of::<Slot>()) };
            if page.is_null() {
                return None;
            }
            entry.store(page.cast(), Ordering::Release);
        }
    }
    Some(())
}

/// Before the first connection: whose table this is, and what to do at fork.
fn start_once() {
    if OWNER.load(Ordering::Relaxed) != 0 {
        return;
    }
    let _held = LOCK.lock();
    if OWNER.load(Ordering::Relaxed) == 0 {
        // SAFETY: getpid cannot fail; the handlers live as long as the
        // library, which is never unloaded while connections exist.
        unsafe {
            OWNER.store(libc::getpid(), Ordering::Relaxed);
            libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child));
        }
    }
}

extern "C" fn before_fork() {
    core::mem::forget(LOCK.lock());
}

extern "C" fn after_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // SAFETY: before_fork took it in this thread, and only other threads
    // waiting for it lose by a reset; so it is let go, not reset.
    unsafe { LOCK.release() };
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the child has this one thread only; getpid cannot fail.
    unsafe {
        LOCK.reset();
        OWNER.store(libc::getpid(), Ordering::Relaxed);
        lingering::abandon();
    }
    // Threads of the parent that were inside a call are not here to let go.
    for_each(|_, connection| {
        // SAFETY: as above.
        unsafe { connection.reset_locks() };
    });
}
