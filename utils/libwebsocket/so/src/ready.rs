//! Would a read return at once, and with a whole message?
//!
//! "Readable" is the kernel's word for bytes; a server means a message. So
//! control frames are dealt with here, and payload stays where it is until
//! its message is there to the end: with SO_RCVLOWAT the kernel wakes nobody
//! for less. Where it cannot hold that much it says so by waking all the same,
//! and the message comes in pieces.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::zeroed;
use core::sync::atomic::Ordering;

use libc::{EAGAIN, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, iovec, socklen_t};
use libwebsocket::ahead::{ENOUGH, LONGEST, Outlook};
use libwebsocket::receive::{Event, Receiver};

use crate::connection::Connection;
use crate::rx::{Turn, next_event, recv};
use crate::sys::{self, Errno, KeepErrno, from_c};
use crate::{control, tx};

/// Bytes looked at in one go: several frames of a message in fragments.
const SCOPE: usize = 2 * ENOUGH;

/// Where payload goes that is only skipped. What threads write here at the
/// same time nobody reads.
struct Scrap(UnsafeCell<[u8; LONGEST + 1]>);

// SAFETY: only the kernel writes to it, and nothing reads it.
unsafe impl Sync for Scrap {}

static SCRAP: Scrap = Scrap(UnsafeCell::new([0; LONGEST + 1]));

/// How many bytes are there, up to `skip` and as many as `buffer` has; those
/// after the first `skip` are copied into it.
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

/// Would a read return at once? Deals with control frames on the way.
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
                let result = recv(fd, &mut [0], MSG_DONTWAIT | MSG_PEEK);
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
                tx::end_input(connection, fd);
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

/// How many bytes must be there for the kernel to call the socket readable; as
/// many as it can be relied on to wait for.
pub(crate) fn set_low_water(connection: &Connection, fd: c_int, bytes: usize) {
    if connection.low_water.swap(bytes, Ordering::Relaxed) == bytes {
        return;
    }
    let most = if bytes > 1 { longest_wait(fd) } else { 1 };
    let value = bytes.min(most) as c_int;
    // SAFETY: a plain system call; the option's value is ours.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<c_int>() as socklen_t,
        );
    }
}

/// Before Linux 5.7 a receive buffer could be full of small segments before
/// the bytes waited for were there, and nobody was woken: not for a quarter of
/// it.
fn longest_wait(fd: c_int) -> usize {
    // SAFETY: an all-zero utsname is valid, and the call only fills it.
    let name = unsafe {
        let mut name: libc::utsname = zeroed();
        libc::uname(&mut name);
        name
    };
    let mut release = name.release.iter().map(|byte| *byte as u8);
    let mut number = || {
        let digits = release.by_ref().take_while(u8::is_ascii_digit);
        digits.fold(0u32, |all, digit| {
            all.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))
        })
    };
    if (number(), number()) >= (5, 7) {
        return usize::MAX;
    }
    let room = sys::socket_option(fd, libc::SO_RCVBUF).unwrap_or(0);
    (room / 4).max(1) as usize
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
