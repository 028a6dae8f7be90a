//! Would a read return at once, and with a whole message?
//!
//! To the kernel a socket is readable when there are bytes; a server means a message. So this
//! answers pings on the way, and leaves payload in the kernel until its message is there to the
//! end: with SO_RCVLOWAT the kernel wakes nobody for less. Where the kernel cannot hold that much
//! it wakes the server nevertheless, and the message comes in pieces.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::zeroed;
use core::sync::atomic::Ordering;

use libc::{EAGAIN, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, iovec};
use libwebsocket::ahead::{ENOUGH, LONGEST, Outlook};
use libwebsocket::receive::{Event, Receiver};

use crate::connection::Connection;
use crate::control;
use crate::events::{Turn, next_event, set_low_water};
use crate::sys::{self, Errno, KeepErrno, from_c};

/// Bytes looked at in one go: several frames of a message in fragments.
const SCOPE: usize = 2 * ENOUGH;

/// Takes the payload that a look only skips. Threads write here at the same time, and nothing reads
/// it.
struct Scrap(UnsafeCell<[u8; LONGEST + 1]>);

// SAFETY: only the kernel writes to it, and nothing reads it.
unsafe impl Sync for Scrap {}

static SCRAP: Scrap = Scrap(UnsafeCell::new([0; LONGEST + 1]));

/// How many bytes are there, up to `skip` and as many as `buffer` has; those after the first `skip`
/// are copied into it.
fn look(fd: c_int, skip: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut parts = [
        iovec {
            iov_base: SCRAP.0.get().cast(),
            iov_len: skip,
        },
        iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        },
    ];
    // Where nothing is to be copied TCP only counts.
    let count = if buffer.is_empty() { MSG_TRUNC } else { 0 };
    // SAFETY: an all-zero msghdr is an empty one; both parts are as long as
    // they say, for `skip` is never more than the scrap has.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        from_c(sys::recvmsg(
            fd,
            &mut message,
            MSG_PEEK | MSG_DONTWAIT | count,
        ))
    }
}

/// Would a read return at once? Answers pings on the way.
///
/// Called when the kernel says that there are bytes; keeps errno.
pub(crate) fn is_readable(connection: &Connection, fd: c_int) -> bool {
    let _errno = KeepErrno::new();
    let Some(mut rx) = connection.rx.try_lock() else {
        return true;
    };
    let readable = message_is_there(connection, &mut rx, fd, &mut Turn::new());
    if readable {
        connection.promised.store(true, Ordering::Relaxed);
    }
    readable
}

/// The same, with the receiving side locked.
pub(crate) fn message_is_there(
    connection: &Connection,
    rx: &mut Receiver,
    fd: c_int,
    turn: &mut Turn,
) -> bool {
    let messages = connection.messages.load(Ordering::Relaxed);
    loop {
        match next_event(connection, rx, fd, Some(MSG_DONTWAIT), turn) {
            Ok(Event::Payload) if messages => {
                let result = sys::receive(fd, &mut [0], MSG_DONTWAIT | MSG_PEEK);
                return result != Err(Errno(EAGAIN));
            }
            Ok(Event::Payload) => return is_whole(connection, rx, fd),
            Ok(Event::MessageEnd) if messages => return true,
            Ok(Event::MessageEnd) => {
                rx.take_end();
            }
            Err(Errno(EAGAIN)) => {
                set_low_water(connection, fd, 1);
                return false;
            }
            Ok(_) => {
                connection.end_input(fd);
                return true;
            }
            Err(_) => return true,
        }
    }
}

/// Payload is next: is its message there to the end, or will no more come?
fn is_whole(connection: &Connection, rx: &mut Receiver, fd: c_int) -> bool {
    let mut buffer = [0; SCOPE];
    let mut asked = 0;
    loop {
        let known = rx.known_ahead();
        let buffer: &mut [u8] = if rx.ends_ahead() {
            &mut []
        } else {
            &mut buffer
        };
        let wanted = known + buffer.len();
        let there = match look(fd, known, buffer) {
            Ok(0) => return true,
            Ok(n) => n,
            Err(Errno(EAGAIN)) => 0,
            Err(_) => return true,
        };
        let seen = &buffer[..there.saturating_sub(known).min(buffer.len())];
        let outlook = rx.outlook(there, seen, |ping| {
            control::queue_pong(connection, fd, ping);
        });
        let Outlook::Short(needed) = outlook else {
            return true;
        };
        if there == wanted {
            continue;
        }
        set_low_water(connection, fd, needed);
        if !sys::wait_for(fd, libc::POLLIN, 0) {
            return false;
        }
        // More has come just now; or nothing more will, or can.
        if core::mem::replace(&mut asked, needed) == needed {
            return true;
        }
    }
}

/// FIONREAD: payload that a read would give at once.
pub(crate) fn available(connection: &Connection, fd: c_int, queued: c_int) -> c_int {
    if !is_readable(connection, fd) {
        return 0;
    }
    let Some(rx) = connection.rx.try_lock() else {
        return 0;
    };
    if rx.is_over() {
        return 0;
    }
    c_int::try_from(rx.remaining()).map_or(queued, |left| left.min(queued))
}
