//! From the server's buffer to frames on the client's socket.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use common::Utf8;
use libc::{MSG_NOSIGNAL, iovec};
use libwebsocket::Opcode;
use libwebsocket::frame::FIN;
use libwebsocket::send::Sender;

use crate::connection::Connection;
use crate::output::{MAX_PIECES, Source, lock, send};
use crate::sys::Errno;
use crate::{control, hold};

/// Close code of text that is not UTF-8 (RFC 6455, section 7.4.1).
const NOT_UTF8: u16 = 1007;

/// write(2) and its family: each call one message, of the type that the gateway's frametype asks
/// for; but bytes that are no text never go out as text.
pub(crate) fn write(
    connection: &Connection,
    fd: c_int,
    mut source: Source<'_>,
    flags: c_int,
) -> Result<usize, Errno> {
    let _use = connection.in_use();
    connection.served.store(true, Ordering::Relaxed);
    let flag = hold::flag(connection);
    let flags = flags | flag;
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
    hold::has_written(connection, flag);
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
        let frames = &connection.message_type;
        let text = frames.is_text(pieces[0]);
        let (opcode, unfinished) = kind_of(tx.held(), pieces, text);
        if opcode == Opcode::Binary && frames.must_be_text() {
            connection.waiting.lock().close.get_or_insert(NOT_UTF8);
            return Err(Errno(libc::EPIPE));
        }
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

/// One sendmsg of what waits and of the payload owed; how much payload went. After a failure
/// nothing is owed that the client does not know of.
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

/// websocket_send: one frame of a message, kept in order and checked.
pub(crate) fn write_message(
    connection: &Connection,
    fd: c_int,
    opcode: Opcode,
    fin: bool,
    buffer: iovec,
) -> Result<usize, Errno> {
    let _use = connection.in_use();
    connection.served.store(true, Ordering::Relaxed);
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
