//! The frames that the library sends by itself: pongs and pings, and the server's Close. What finds
//! the socket full waits and goes later.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use libc::{EAGAIN, EINTR, ENOBUFS, EPIPE, MSG_DONTWAIT, MSG_NOSIGNAL};
use libwebsocket::Opcode;
use libwebsocket::frame::MAX_CONTROL_PAYLOAD;
use libwebsocket::send::Sender;

use crate::connection::{CONNECTIONS, Connection};
use crate::output::{lock, send};
use crate::sys::{Errno, KeepErrno};

/// Moves a waiting control frame to the front, if none is half sent; then as [`may_send`].
pub(crate) fn take_waiting(connection: &Connection, tx: &mut Sender) -> Result<(), Errno> {
    let mut waiting = connection.waiting.lock();
    if tx.is_idle() && !tx.is_closed() {
        if let Some((payload, len)) = waiting.pong.take() {
            tx.control(Opcode::Pong, &payload[..len]);
        } else if let Some(code) = waiting.close.take() {
            let code = code.to_be_bytes();
            let payload: &[u8] = if code == [0, 0] { &[] } else { &code };
            tx.control(Opcode::Close, payload);
        }
    }
    drop(waiting);
    may_send(connection, tx)
}

/// EPIPE if nothing may follow but the server's Close.
fn may_send(connection: &Connection, tx: &Sender) -> Result<(), Errno> {
    if tx.is_closed() || connection.waiting.lock().close.is_some() {
        return Err(Errno(EPIPE));
    }
    Ok(())
}

/// Sends waiting control frames as far as that goes without blocking. Leaves them to another thread
/// that is sending: that looks again after unlocking.
pub(crate) fn flush(connection: &Connection, fd: c_int) {
    let _errno = KeepErrno::new();
    loop {
        let Some(mut tx) = connection.tx.try_lock() else {
            return;
        };
        if !flush_locked(connection, &mut tx, fd) {
            // The server writes the payload that is owed, and comes here again.
            if tx.owed() == 0 {
                stall();
            }
            return;
        }
        if tx.is_closed() {
            return;
        }
        drop(tx);
        let waiting = connection.waiting.lock();
        if waiting.pong.is_none() && waiting.close.is_none() {
            return;
        }
    }
}

/// Some control frame found a full socket.
static STALLED: AtomicBool = AtomicBool::new(false);

/// A control frame is to be tried again by the next waits.
pub(crate) fn stall() {
    STALLED.store(true, Ordering::Relaxed);
}

/// There is a control frame to try again.
pub(crate) fn is_stalled() -> bool {
    STALLED.load(Ordering::Relaxed)
}

/// Control frames that found a full socket try again, if there are any.
pub(crate) fn flush_stalled() {
    if STALLED.swap(false, Ordering::Relaxed) {
        CONNECTIONS.for_each(&mut |fd, connection| flush(connection, fd));
    }
}

/// Sends waiting control frames with the sending side locked; true if none waits any more: they
/// have gone, or the client has.
pub(crate) fn flush_locked(connection: &Connection, tx: &mut Sender, fd: c_int) -> bool {
    loop {
        if tx.owed() > 0 {
            return false;
        }
        let _ = take_waiting(connection, tx);
        if tx.pending().is_empty() {
            return true;
        }
        match send(fd, tx.pending(), &[], MSG_DONTWAIT | MSG_NOSIGNAL) {
            Ok(n) => {
                tx.sent(n);
            }
            Err(Errno(EAGAIN | EINTR | ENOBUFS)) => return false,
            // Nothing reaches this client any more.
            Err(_) => {
                let mut waiting = connection.waiting.lock();
                waiting.pong = None;
                waiting.close = None;
                return true;
            }
        }
    }
}

/// Sends a ping, waiting for room as a write would.
pub(crate) fn ping(connection: &Connection, fd: c_int, payload: &[u8]) -> Result<(), Errno> {
    let _use = connection.in_use();
    // Unlocked at the end of the statement.
    let result = send_ping(connection, &mut *lock(connection, 0)?, fd, payload);
    flush(connection, fd);
    result
}

fn send_ping(
    connection: &Connection,
    tx: &mut Sender,
    fd: c_int,
    payload: &[u8],
) -> Result<(), Errno> {
    while tx.owed() == 0 && !tx.pending().is_empty() {
        let n = send(fd, tx.pending(), &[], MSG_NOSIGNAL)?;
        tx.sent(n);
    }
    may_send(connection, tx)?;
    if !tx.control(Opcode::Ping, payload) {
        return Err(Errno(EAGAIN));
    }
    match send(fd, tx.pending(), &[], MSG_NOSIGNAL) {
        Ok(n) => {
            tx.sent(n);
            Ok(())
        }
        // It waits with the other control frames.
        Err(Errno(EAGAIN)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Answers a ping, now or as soon as the sending side is free.
pub(crate) fn queue_pong(connection: &Connection, fd: c_int, payload: &[u8]) {
    let mut copy = [0; MAX_CONTROL_PAYLOAD];
    copy[..payload.len()].copy_from_slice(payload);
    connection.waiting.lock().pong = Some((copy, payload.len()));
    flush(connection, fd);
}

/// Sends Close, unless one has been sent; never waits. A thread that is inside a write sends it
/// after that.
pub(crate) fn close(connection: &Connection, fd: c_int, code: u16) {
    let _errno = KeepErrno::new();
    let Some(mut tx) = connection.tx.try_lock() else {
        connection.waiting.lock().close.get_or_insert(code);
        return flush(connection, fd);
    };
    if tx.is_closed() && tx.is_idle() {
        return;
    }
    tx.give_up_held();
    connection.waiting.lock().close.get_or_insert(code);
    if !flush_locked(connection, &mut tx, fd) && tx.owed() == 0 {
        stall();
    }
}

/// A Close of the server's own making (websocket_close), if none has gone.
pub(crate) fn close_with(connection: &Connection, fd: c_int, code: u16, reason: &[u8]) {
    connection.touch();
    let mut payload = [0; MAX_CONTROL_PAYLOAD];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason);
    if let Some(mut tx) = connection.tx.try_lock() {
        flush_locked(connection, &mut tx, fd);
        tx.control(Opcode::Close, &payload[..2 + reason.len()]);
    }
    close(connection, fd, code);
}
