//! The end of a connection: when the server closes or shuts down its side,
//! and when the program ends without doing either.

use core::ffi::c_int;

use libc::{MSG_DONTWAIT, POLLIN, POLLOUT};
use libwebsocket::Opcode;
use libwebsocket::frame::MAX_CONTROL_PAYLOAD;

use crate::connection::Connection;
use crate::sys::{self, KeepErrno};
use crate::table::{self, Ref};
use crate::{control, lingering, tx};

/// How long close(2) on a blocking socket waits for room for our Close, and
/// then for the client to end its side, in milliseconds.
const PATIENCE: i64 = 1000;

/// Most reads that drop what a client goes on sending, 4 KiB each.
const MOST_DROPPED: usize = 1024;

/// The server ends its stream, the client may still send: our Close, with
/// the client's code if it sent one, that of the rule it broke, else 1000.
pub(crate) fn end_output(connection: &Connection, fd: c_int, patience: i64) {
    let reply = connection.rx.try_lock().and_then(|rx| rx.answer());
    say_close(connection, fd, reply.unwrap_or(1000), patience);
}

/// The client's side is over: its Close came, its stream ended, or it broke
/// a rule.
pub(crate) fn is_over(connection: &Connection) -> bool {
    connection.rx.try_lock().is_some_and(|rx| rx.is_over())
}

/// Sends Close if no Close has been sent, waiting for room if it must.
pub(crate) fn say_close(connection: &Connection, fd: c_int, code: u16, patience: i64) {
    let _errno = KeepErrno::new();
    // A thread that is blocked in a write has the last word.
    let Some(mut tx) = connection.tx.try_lock() else {
        return;
    };
    if tx.is_closed() && tx.is_idle() {
        return;
    }
    tx.give_up_held();
    connection.waiting.lock().close.get_or_insert(code);
    let until = sys::now_ms() + patience;
    while !control::flush_locked(connection, &mut tx, fd) && tx.owed() == 0 {
        let left = until - sys::now_ms();
        if left <= 0 || !sys::wait_for(fd, POLLOUT, left) {
            return control::stall();
        }
    }
}

/// Fails the connection (RFC 6455, section 7.1.7): our Close, then no more.
pub(crate) fn fail(connection: &Connection, fd: c_int, code: u16) {
    say_close(connection, fd, code, 0);
    tx::end_input(connection, fd);
    drain(fd, 0);
}

/// A Close of the server's own making (websocket_close), if none has gone.
pub(crate) fn close_with(connection: &Connection, fd: c_int, code: u16, reason: &[u8]) {
    connection.touch();
    let mut payload = [0; MAX_CONTROL_PAYLOAD];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason);
    if let Some(mut tx) = connection.tx.try_lock() {
        control::flush_locked(connection, &mut tx, fd);
        tx.control(Opcode::Close, &payload[..2 + reason.len()]);
    }
    say_close(connection, fd, code, 0);
}

/// close(2) of the last descriptor: the closing handshake, as far as it can
/// be had without keeping the server waiting. Only if the connection is ours.
pub(crate) fn finish(connection: Ref, fd: c_int) {
    let _errno = KeepErrno::new();
    if !is_blocking(fd) {
        end_output(&connection, fd, 0);
        return lingering::keep(connection, fd);
    }
    end_output(&connection, fd, PATIENCE);
    // SAFETY: a plain system call.
    unsafe { sys::shutdown(fd, libc::SHUT_WR) };
    drain(fd, PATIENCE);
}

fn is_blocking(fd: c_int) -> bool {
    sys::file_flags(fd) & libc::O_NONBLOCK == 0
}

/// Reads and drops until the client has ended its side: unread bytes would
/// make TCP reset the connection, and the client lose what we sent last.
/// True once the client has ended it, or gone on for too long.
pub(crate) fn drain(fd: c_int, patience: i64) -> bool {
    let until = sys::now_ms() + patience;
    let mut scrap = [0u8; 4096];
    for _ in 0..MOST_DROPPED {
        // SAFETY: the buffer is ours and that long.
        let n = unsafe { sys::recv(fd, scrap.as_mut_ptr().cast(), scrap.len(), MSG_DONTWAIT) };
        if n > 0 {
            continue;
        }
        if n == 0 || !matches!(sys::errno(), libc::EAGAIN | libc::EINTR) {
            return true;
        }
        let left = until - sys::now_ms();
        if left <= 0 || !sys::wait_for(fd, POLLIN, left) {
            return false;
        }
    }
    true
}

/// At exit: what the program left open ends as if it had closed it, all of it
/// within the patience for one.
extern "C" fn at_exit() {
    let until = sys::now_ms() + PATIENCE;
    let ours = |visit: fn(&Connection, c_int, i64)| {
        table::for_each(|fd, connection| {
            if connection.is_ours() {
                let left = if is_blocking(fd) {
                    until - sys::now_ms()
                } else {
                    0
                };
                visit(connection, fd, left.max(0));
            }
        });
    };
    ours(|connection, fd, left| {
        end_output(connection, fd, left);
        // SAFETY: a plain system call.
        unsafe { sys::shutdown(fd, libc::SHUT_WR) };
    });
    ours(|_, fd, left| {
        drain(fd, left);
    });
    lingering::finish(until);
}

/// The dynamic loader calls what stands in this section at exit(3).
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
