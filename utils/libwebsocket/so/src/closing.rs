//! The end of a connection: when the server closes or shuts down its side, and when the program
//! ends without doing either.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use crate::connection::{CONNECTIONS, Connection, Kind, Ref};
use crate::sys::{self, KeepErrno, process};
use crate::{control, handover, hold, lingering};

/// How long the end of the program waits for clients to end their side, all of them together, in
/// milliseconds.
const PATIENCE: i64 = 1000;

/// A server that closes a client within this time after the silence of its arrival, and has neither
/// read nor written, has turned it away, in milliseconds.
const TURNED_AWAY: i64 = 700;

/// The server ends its stream, the client may still send: Close, with the client's code if it sent
/// one, that of the rule it broke, 1013 where the server has turned it away, else 1000.
pub(crate) fn end_output(connection: &Connection, fd: c_int) {
    let reply = connection.rx.try_lock().and_then(|rx| rx.answer());
    let own = || {
        let is_new = handover::silence_left(connection) > -TURNED_AWAY;
        match is_new && !connection.served.load(Ordering::Relaxed) {
            true => 1013,
            false => 1000,
        }
    };
    control::close(connection, fd, reply.unwrap_or_else(own));
}

/// The client's side is over: its Close came, its stream ended, or it broke a rule.
pub(crate) fn is_over(connection: &Connection) -> bool {
    connection.rx.try_lock().is_some_and(|rx| rx.is_over())
}

/// The descriptor is about to close: it leaves the table, and if it was the last of its client, the
/// closing handshake begins. A vfork child does nothing of this: the memory is its parent's.
pub(crate) fn forget(fd: c_int) {
    if !CONNECTIONS.has(fd) || !process::is_owner() {
        return;
    }
    let Some(connection) = CONNECTIONS.find(fd) else {
        return;
    };
    let _errno = KeepErrno::new();
    let is_ours = connection.is_ours();
    // A client may have come in the meantime, and is due a Close.
    if is_ours && handover::look(&connection, fd) == Kind::Plain {
        return;
    }
    hold::push(&connection, fd);
    connection.watchers.lock().forget(fd);
    if let Some((connection, true)) = CONNECTIONS.remove(fd) {
        if let Some(gateway) = connection.arrival.lock().gateway.take() {
            gateway.close();
        }
        if is_ours && connection.is_client() {
            finish(connection, fd);
        }
    }
}

/// The closing handshake as far as it goes at once; the rest is looked after.
fn finish(connection: Ref, fd: c_int) {
    end_output(&connection, fd);
    let blocking = sys::file_flags(fd) & libc::O_NONBLOCK == 0;
    lingering::keep(connection, fd, blocking);
}

/// At exit(3): what the program left open ends as if it had closed it, all of it within the
/// patience for one. It stays in the table: other threads may still use it.
extern "C" fn at_exit() {
    let until = sys::now_ms() + PATIENCE;
    let each = |visit: fn(&Connection, c_int, i64)| {
        CONNECTIONS.for_each(&mut |fd, connection| {
            if connection.is_client() && connection.is_ours() {
                visit(connection, fd, until);
            }
        });
    };
    each(|connection, fd, _| end_output(connection, fd));
    each(lingering::see_off);
    lingering::finish(until);
}

/// At _exit(2): only what the program has closed.
pub(crate) fn at_immediate_exit() {
    if process::is_owner() {
        lingering::finish(sys::now_ms() + PATIENCE);
    }
}

/// The dynamic loader calls what stands in this section at exit(3).
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
