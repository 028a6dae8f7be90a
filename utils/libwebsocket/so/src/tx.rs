//! From the server's buffer to frames on the client's socket.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, iovec};
use libwebsocket::Opcode;
use libwebsocket::frame::FIN;
use libwebsocket::send::Sender;
use libwebsocket::utf8::Utf8;

use crate::connection::Connection;
use crate::control;
use crate::sys::{self, Errno, Guard, KeepErrno, from_c};

/// Buffers of one writev that share a frame; more make more frames.
const MAX_PIECES: usize = 32;

/// What the server wants to send: its buffers, and how far we are in them.
pub(crate) struct Source<'a> {
    buffers: &'a [iovec],
    offset: usize,
}

impl<'a> Source<'a> {
    /// The caller vouches for the buffers, as it does to the kernel.
    pub(crate) fn new(buffers: &'a [iovec]) -> Self {
        Source { buffers, offset: 0 }
    }

    /// The next buffers, up to `limit` bytes in all; returns how many pieces.
    #[inline(never)]
    fn pieces(&self, limit: u64, out: &mut [&[u8]; MAX_PIECES]) -> usize {
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut used = 0;
        let mut offset = self.offset;
        for buffer in self.buffers {
            let len = (buffer.iov_len - offset).min(left);
            if len > 0 {
                if used == MAX_PIECES {
                    break;
                }
                // SAFETY: the server's buffer, readable during its call; the
                // slice does not outlive that.
                out[used] = unsafe {
                    core::slice::from_raw_parts(buffer.iov_base.cast::<u8>().add(offset), len)
                };
                used += 1;
                left -= len;
            }
            offset = 0;
        }
        used
    }

    #[inline(never)]
    fn skip(&mut self, mut n: usize) {
        while let Some((first, rest)) = self.buffers.split_first() {
            let left = first.iov_len - self.offset;
            if n < left {
                self.offset += n;
                return;
            }
            n -= left;
            self.buffers = rest;
            self.offset = 0;
        }
    }
}

/// The sending side; EAGAIN if another thread may block in it and this call
/// must not. On a socket that does not block no thread stays there for long.
pub(crate) fn lock(connection: &Connection, flags: c_int) -> Result<Guard<'_, Sender>, Errno> {
    match connection.tx.try_lock() {
        Some(guard) => Ok(guard),
        None if flags & MSG_DONTWAIT != 0 && !connection.must_not_block(0) => {
            Err(Errno(libc::EAGAIN))
        }
        None => Ok(connection.tx.lock()),
    }
}

/// write(2) and its family: each call one message, of the type the client
/// last sent; but bytes that are no text never go out as text.
pub(crate) fn write(
    connection: &Connection,
    fd: c_int,
    mut source: Source<'_>,
    flags: c_int,
) -> Result<usize, Errno> {
    let _use = connection.in_use();
    let result = {
        let mut tx = lock(connection, flags)?;
        let mut total = 0;
        loop {
            match write_frame(connection, &mut tx, fd, &mut source, flags) {
                Ok(0) => break Ok(total),
                Ok(n) => total += n,
                Err(_) if total > 0 => break Ok(total),
                Err(error) => break Err(error),
            }
        }
    };
    control::flush(connection, fd);
    result
}

/// Sends what is owed, or the next frame; 0 if there is no more to send.
fn write_frame(
    connection: &Connection,
    tx: &mut Sender,
    fd: c_int,
    source: &mut Source<'_>,
    flags: c_int,
) -> Result<usize, Errno> {
    let mut cut = 0;
    if tx.owed() == 0 {
        let mut pieces: [&[u8]; MAX_PIECES] = [&[]; MAX_PIECES];
        let used = source.pieces(u64::MAX, &mut pieces);
        let pieces = &pieces[..used];
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        control::take_waiting(connection, tx)?;
        let text = connection.text.load(Ordering::Relaxed);
        let (opcode, unfinished) = kind_of(tx.held(), pieces, text);
        if unfinished == tx.held().len() + len {
            pieces.iter().for_each(|piece| tx.hold(piece));
            source.skip(len);
            return Ok(len);
        }
        cut = unfinished;
        tx.begin(FIN | opcode as u8, (len - cut) as u64);
    }
    let mut sent = send_owed(tx, fd, source, flags)?;
    if cut > 0 && tx.is_idle() {
        let mut tail: [&[u8]; MAX_PIECES] = [&[]; MAX_PIECES];
        let used = source.pieces(cut as u64, &mut tail);
        tail[..used].iter().for_each(|piece| tx.hold(piece));
        source.skip(cut);
        sent += cut;
    }
    Ok(sent)
}

/// Text or binary, and how many bytes at the end are an unfinished character.
fn kind_of(held: &[u8], pieces: &[&[u8]], text: bool) -> (Opcode, usize) {
    let mut utf8 = Utf8::new();
    if text && utf8.push(held) && pieces.iter().all(|piece| utf8.push(piece)) {
        (Opcode::Text, utf8.unfinished())
    } else {
        (Opcode::Binary, 0)
    }
}

/// One sendmsg of what waits and of the payload owed; how much payload went.
/// After a failure nothing is owed that the client does not know of.
fn send_owed(
    tx: &mut Sender,
    fd: c_int,
    source: &mut Source<'_>,
    flags: c_int,
) -> Result<usize, Errno> {
    let mut total = 0;
    loop {
        let mut pieces: [&[u8]; MAX_PIECES] = [&[]; MAX_PIECES];
        let used = source.pieces(tx.owed(), &mut pieces);
        if used == 0 && tx.pending().is_empty() {
            return Ok(total);
        }
        match send(fd, tx.pending(), &pieces[..used], flags) {
            Ok(n) => {
                let payload = tx.sent(n);
                source.skip(payload);
                total += payload;
            }
            Err(error) => {
                tx.cancel();
                return if total > 0 { Ok(total) } else { Err(error) };
            }
        }
    }
}

pub(crate) fn send(
    fd: c_int,
    pending: &[u8],
    pieces: &[&[u8]],
    flags: c_int,
) -> Result<usize, Errno> {
    let mut parts = [iovec {
        iov_base: core::ptr::null_mut(),
        iov_len: 0,
    }; MAX_PIECES + 1];
    let mut used = 0;
    for piece in [pending]
        .iter()
        .chain(pieces)
        .filter(|piece| !piece.is_empty())
    {
        parts[used] = iovec {
            iov_base: piece.as_ptr().cast_mut().cast(),
            iov_len: piece.len(),
        };
        used += 1;
    }
    let flags = flags & (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);
    // SAFETY: an all-zero msghdr is an empty one; the parts outlive the call
    // and are only read.
    unsafe {
        let mut message: libc::msghdr = core::mem::zeroed();
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = used as _;
        from_c(sys::sendmsg(fd, &message, flags))
    }
}

/// websocket_send: one frame of a message, kept in order and checked.
pub(crate) fn write_message(
    connection: &Connection,
    fd: c_int,
    opcode: Opcode,
    fin: bool,
    buffer: iovec,
) -> Result<usize, Errno> {
    let _use = connection.in_use();
    let buffers = [buffer];
    let source = Source::new(&buffers);
    // Unlocked at the end of the statement.
    let result = write_fragment(
        connection,
        &mut *lock(connection, 0)?,
        fd,
        opcode,
        fin,
        source,
    );
    control::flush(connection, fd);
    result
}

fn write_fragment(
    connection: &Connection,
    tx: &mut Sender,
    fd: c_int,
    opcode: Opcode,
    fin: bool,
    mut source: Source<'_>,
) -> Result<usize, Errno> {
    if tx.owed() > 0 {
        return send_owed(tx, fd, &mut source, MSG_NOSIGNAL);
    }
    control::take_waiting(connection, tx)?;
    let first = tx.message_frame(opcode, fin).ok_or(Errno(libc::EINVAL))?;
    let mut pieces: [&[u8]; MAX_PIECES] = [&[]; MAX_PIECES];
    let used = source.pieces(u64::MAX, &mut pieces);
    let pieces = &pieces[..used];
    let utf8 = tx
        .text_is_valid(opcode, fin, pieces)
        .ok_or(Errno(libc::EILSEQ))?;
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    tx.begin(first, len as u64);
    let result = send_owed(tx, fd, &mut source, MSG_NOSIGNAL);
    if result.is_ok() || tx.has_begun() {
        tx.message_began(opcode, fin, utf8);
    }
    match result {
        // Of an empty fragment nothing is left for another call.
        Err(_) if tx.has_begun() && len == 0 => Ok(0),
        result => result,
    }
}

/// Tells the kernel that nothing more will be read, so that poll, select and
/// epoll report the end of the stream from now on.
pub(crate) fn end_input(connection: &Connection, fd: c_int) {
    if !connection.ended.swap(true, Ordering::Relaxed) {
        let _errno = KeepErrno::new();
        // SAFETY: a plain system call.
        unsafe { sys::shutdown(fd, libc::SHUT_RD) };
    }
}
