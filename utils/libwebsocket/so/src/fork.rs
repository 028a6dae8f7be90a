//! What fork(2) needs done.

use crate::connection::CONNECTIONS;
use crate::sys::lock::Lock;
use crate::sys::process;
use crate::{lingering, table};

static LOCK: Lock = Lock::new();

/// Before the first connection: whose memory this is, and what to do at fork.
pub(crate) fn watch() {
    if process::owner() != 0 {
        return;
    }
    let _held = LOCK.lock();
    if process::owner() == 0 {
        process::set_owner();
        // SAFETY: the handlers live as long as the library, which is never
        // unloaded while connections exist.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    }
}

extern "C" fn before() {
    table::before_fork();
}

extern "C" fn in_parent() {
    process::forked();
    // SAFETY: `before` ran in this thread.
    unsafe { table::after_fork() };
}

extern "C" fn in_child() {
    process::forked();
    process::set_owner();
    // SAFETY: the child has this one thread only.
    unsafe {
        table::in_child();
        lingering::abandon();
    }
    // Threads of the parent that were inside a call are not here to unlock.
    CONNECTIONS.for_each(&mut |_, connection| {
        // SAFETY: as above.
        unsafe { connection.reset_locks() };
    });
}
