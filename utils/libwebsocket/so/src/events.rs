//! The next thing in the client's stream that is more than a ping or a pong.

use core::ffi::c_int;
use core::mem::zeroed;
use core::sync::atomic::Ordering;

use libc::{EAGAIN, socklen_t};
use libwebsocket::receive::{Event, Receiver};

use crate::connection::Connection;
use crate::sys::{self, Errno};
use crate::{control, hold};

/// Most reads of headers and control frames in one call that must not block. Without a limit,
/// frames without payload that are sent as fast as they are read would keep the call from
/// returning.
const TURN: u32 = 128;

/// What is left of a call's [`TURN`].
pub(crate) struct Turn(u32);

impl Turn {
    pub(crate) fn new() -> Self {
        Turn(TURN)
    }
}

/// The next event that is not a ping or a pong: this answers those and counts these. Without flags
/// it reads nothing, and takes what has been read. EAGAIN also at the end of a turn.
pub(crate) fn next_event(
    connection: &Connection,
    rx: &mut Receiver,
    fd: c_int,
    flags: Option<c_int>,
    turn: &mut Turn,
) -> Result<Event, Errno> {
    loop {
        // Of a message that is there whole the end comes soon.
        let whole = rx.is_whole();
        let event = rx.advance(|space| {
            let flags = flags.ok_or(Errno(EAGAIN))?;
            if turn.0 == 0 && !whole && connection.must_not_block(flags) {
                set_low_water(connection, fd, 1);
                connection.more_is_there();
                return Err(Errno(EAGAIN));
            }
            turn.0 = turn.0.saturating_sub(1);
            hold::reading(connection, fd, flags, |flags| {
                sys::receive(fd, space, flags)
            })
        })?;
        match event {
            Event::Ping => control::queue_pong(connection, fd, rx.control()),
            Event::Pong => {
                connection.pongs.fetch_add(1, Ordering::Relaxed);
            }
            event => return Ok(event),
        }
    }
}

/// Has the kernel call the socket readable only with so many bytes there, or as many as it can be
/// relied on to wait for.
pub(crate) fn set_low_water(connection: &Connection, fd: c_int, bytes: usize) {
    if connection.low_water.swap(bytes, Ordering::Relaxed) == bytes {
        return;
    }
    let most = if bytes > 1 { longest_wait(fd) } else { 1 };
    let value = bytes.min(most) as c_int;
    // SAFETY: a plain system call; the option's value is this call's.
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

/// Before Linux 5.7 small segments could fill a receive buffer before the bytes waited for were
/// there, and the kernel woke nobody. A quarter of the buffer is safe.
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
