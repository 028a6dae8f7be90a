//! From the client's socket to the server's buffer.

use core::ffi::c_int;
use core::mem::zeroed;
use core::sync::atomic::Ordering;

use libc::{EAGAIN, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, iovec, msghdr};
use libwebsocket::Opcode;
use libwebsocket::frame::FIN;
use libwebsocket::receive::{Event, Receiver};

use crate::connection::Connection;
use crate::events::{Turn, next_event, set_low_water};
use crate::sys::lock::Guard;
use crate::sys::{self, Errno, from_c};
use crate::{control, hold, lookahead};

/// The caller's buffer, which may never have been written to.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) start: *mut u8,
    pub(crate) len: usize,
}

impl Buffer {
    /// What is left of it after the first `n` bytes.
    fn after(self, n: usize) -> Buffer {
        Buffer {
            start: self.start.wrapping_add(n),
            len: self.len - n,
        }
    }

    /// Reads at most `limit` bytes, and if all those fit, the bytes of `next` behind them. Returns
    /// the former, and how many of the latter came.
    fn fill(
        self,
        fd: c_int,
        limit: u64,
        next: &mut [u8],
        flags: c_int,
    ) -> Result<(&'static mut [u8], usize), Errno> {
        let (len, more) = match usize::try_from(limit) {
            Ok(limit) if limit <= self.len => (limit, next.len()),
            _ => (self.len, 0),
        };
        let mut parts = [
            iovec {
                iov_base: self.start.cast(),
                iov_len: len,
            },
            iovec {
                iov_base: next.as_mut_ptr().cast(),
                iov_len: more,
            },
        ];
        // SAFETY: an all-zero msghdr is an empty one. The server gave us this
        // memory to write `len` bytes to, for as long as its call lasts, and
        // no longer is the slice used.
        unsafe {
            let mut message: msghdr = zeroed();
            message.msg_iov = parts.as_mut_ptr();
            message.msg_iovlen = parts.len() as _;
            let n = from_c(sys::recvmsg(fd, &mut message, flags))?;
            let own = n.min(len);
            Ok((core::slice::from_raw_parts_mut(self.start, own), n - own))
        }
    }
}

/// The receiving side, unless another thread blocks in it and we must not.
fn lock(connection: &Connection, flags: c_int) -> Result<Guard<'_, Receiver>, Errno> {
    match connection.rx.try_lock() {
        Some(guard) => Ok(guard),
        None if connection.must_not_block(flags) => Err(Errno(EAGAIN)),
        None => Ok(connection.rx.lock()),
    }
}

/// read(2) and its family: a message, or as much of it as the buffer holds; 0 at the end.
///
/// A call that may block waits until the message is whole. One that may not gives nothing before
/// that, unless a wait has called the socket readable.
pub(crate) fn read(
    connection: &Connection,
    fd: c_int,
    buffer: Buffer,
    flags: c_int,
) -> Result<usize, Errno> {
    let _use = connection.in_use();
    if buffer.len == 0 {
        return Ok(0);
    }
    let mut rx = lock(connection, flags)?;
    let all = flags & MSG_WAITALL != 0;
    let promised = connection.promised.load(Ordering::Relaxed);
    let mut reader = Reader {
        connection,
        fd,
        flags: flags & (MSG_DONTWAIT | MSG_PEEK),
        waits: (all || !promised) && !connection.must_not_block(flags),
        buffer,
        total: 0,
        whole: 0,
        drained: false,
        turn: Turn::new(),
    };
    if flags & MSG_PEEK != 0 {
        return reader.peek(&mut rx);
    }
    connection.promised.store(false, Ordering::Relaxed);
    let result = reader.messages(&mut rx, promised, all);
    settle(connection, &mut rx, fd);
    hold::has_read(connection, rx.has_payload_next());
    drop(rx);
    // A server may take a read that did not fill the buffer for the last one needed.
    if reader.total > 0 && reader.total < buffer.len && !reader.drained {
        connection.more_is_there();
    }
    match result {
        Err(_) if reader.total > 0 => Ok(reader.total),
        _ => result,
    }
}

/// One read of the server's, which may be several of the kernel's.
struct Reader<'a> {
    connection: &'a Connection,
    fd: c_int,
    flags: c_int,
    /// Wait for the message's end.
    waits: bool,
    buffer: Buffer,
    /// Bytes in the buffer, and how many of them are whole messages.
    total: usize,
    whole: usize,
    /// The kernel had less than was asked for.
    drained: bool,
    turn: Turn,
}

/// Where a message is left.
enum Left {
    /// At its end.
    Ended,
    /// Somewhere, the buffer being full.
    Full,
    /// Nothing more comes.
    Over(Event),
}

impl Reader<'_> {
    /// Reads a message, or, for MSG_WAITALL, until the buffer is full. `sure`: the first will not
    /// block.
    fn messages(&mut self, rx: &mut Receiver, sure: bool, all: bool) -> Result<usize, Errno> {
        let mut sure = sure || self.waits;
        loop {
            if !(sure || rx.is_whole() || self.is_there(rx)) {
                return Err(Errno(EAGAIN));
            }
            match self.message(rx)? {
                Left::Ended => {
                    self.whole = self.total;
                    if self.total == self.buffer.len || self.total > 0 && !all {
                        return Ok(self.total);
                    }
                    sure = self.waits;
                }
                Left::Full | Left::Over(Event::Eof) => return Ok(self.total),
                Left::Over(_) => {
                    // A message without its end is dropped.
                    self.total = self.whole;
                    self.connection.end_input(self.fd);
                    return Ok(self.total);
                }
            }
        }
    }

    fn is_there(&mut self, rx: &mut Receiver) -> bool {
        lookahead::message_is_there(self.connection, rx, self.fd, &mut self.turn)
    }

    fn event(&mut self, rx: &mut Receiver, flags: c_int) -> Result<Event, Errno> {
        next_event(self.connection, rx, self.fd, Some(flags), &mut self.turn)
    }

    fn message(&mut self, rx: &mut Receiver) -> Result<Left, Errno> {
        set_low_water(self.connection, self.fd, 1);
        loop {
            let flags = if self.waits || self.total == 0 {
                self.flags
            } else {
                MSG_DONTWAIT
            };
            match self.event(rx, flags)? {
                Event::Payload if self.total == self.buffer.len => return Ok(Left::Full),
                Event::Payload => self.payload(rx, flags)?,
                Event::MessageEnd => {
                    rx.take_end();
                    return Ok(Left::Ended);
                }
                event => return Ok(Left::Over(event)),
            }
            if self.total == self.buffer.len && rx.is_within_message() && !rx.is_over() {
                return Ok(Left::Full);
            }
        }
    }

    /// Payload of one frame, and the first bytes of the next header.
    fn payload(&mut self, rx: &mut Receiver, flags: c_int) -> Result<(), Errno> {
        let limit = rx.remaining();
        let room = self.buffer.after(self.total);
        let next = rx.next_head();
        let wanted = limit + next.len() as u64;
        let (bytes, ahead) = hold::reading(self.connection, self.fd, flags, |flags| {
            room.fill(self.fd, limit, next, flags)
        })?;
        self.drained = ((bytes.len() + ahead) as u64) < wanted;
        self.total += bytes.len();
        take(self.connection, rx, bytes);
        rx.head_read(ahead);
        Ok(())
    }

    /// MSG_PEEK: what is there of the current frame.
    fn peek(&mut self, rx: &mut Receiver) -> Result<usize, Errno> {
        let flags = self.flags & MSG_DONTWAIT;
        set_low_water(self.connection, self.fd, 1);
        loop {
            match self.event(rx, flags)? {
                Event::Payload => {
                    let (bytes, _) =
                        self.buffer
                            .fill(self.fd, rx.remaining(), &mut [], self.flags)?;
                    rx.peek_payload(bytes);
                    return Ok(bytes.len());
                }
                Event::MessageEnd => {
                    rx.take_end();
                }
                _ => {
                    self.connection.end_input(self.fd);
                    return Ok(0);
                }
            }
        }
    }
}

/// Unmasks and checks what was read; no bytes mean the end of the stream. A broken rule becomes the
/// next event.
fn take(connection: &Connection, rx: &mut Receiver, bytes: &mut [u8]) {
    if bytes.is_empty() {
        return rx.stop();
    }
    let is_text = rx.opcode() == Opcode::Text;
    connection.message_type.set(is_text);
    connection.served.store(true, Ordering::Relaxed);
    let _ = rx.take_payload(bytes);
}

/// Acts on headers that were read ahead and need no further bytes: the kernel does not call the
/// socket readable for those.
fn settle(connection: &Connection, rx: &mut Receiver, fd: c_int) {
    while let Ok(event) = next_event(connection, rx, fd, None, &mut Turn::new()) {
        match event {
            Event::Payload => return,
            Event::MessageEnd => {
                rx.take_end();
            }
            _ => return connection.end_input(fd),
        }
    }
}

/// websocket_recv: payload with the opcode of its message, and FIN in the same byte where the
/// message ends with these bytes.
pub(crate) fn read_message(
    connection: &Connection,
    fd: c_int,
    buffer: Buffer,
) -> Result<(usize, u8), Errno> {
    let _use = connection.in_use();
    connection.messages.store(true, Ordering::Relaxed);
    let mut rx = lock(connection, 0)?;
    // A wait before the first of these calls may have meant a whole message.
    set_low_water(connection, fd, 1);
    let mut turn = Turn::new();
    loop {
        match next_event(connection, &mut rx, fd, Some(0), &mut turn)? {
            Event::Payload => {
                let (bytes, _) = buffer.fill(fd, rx.remaining(), &mut [], 0)?;
                let opcode = rx.opcode() as u8;
                take(connection, &mut rx, bytes);
                match bytes.len() {
                    _ if rx.is_over() => {}
                    n if rx.take_end() => return Ok((n, opcode | FIN)),
                    n => return Ok((n, opcode)),
                }
            }
            Event::MessageEnd => {
                rx.take_end();
                return Ok((0, rx.opcode() as u8 | FIN));
            }
            Event::Violation(violation) => {
                fail(connection, fd, violation.close_code());
                return Err(Errno(libc::EPROTO));
            }
            _ => {
                connection.end_input(fd);
                return Ok((0, Opcode::Close as u8 | FIN));
            }
        }
    }
}

/// Fails the connection (RFC 6455, section 7.1.7): Close, then no more.
fn fail(connection: &Connection, fd: c_int, code: u16) {
    control::close(connection, fd, code);
    connection.end_input(fd);
    sys::drain(fd);
}
