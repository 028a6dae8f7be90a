//! One TLS session, read by one thread and written by another.
//!
//! rustls keeps one state for both directions, so it stands behind a lock; that lock is never held
//! across a call that can block. Ciphertext is read into a buffer of our own first and decrypted
//! afterwards; records are made under the lock and sent after it. What is to be sent to the client
//! (`outgoing`) has a lock of its own, so that records leave in the order they were made. Locks are
//! taken in this order: incoming, then outgoing, then session.
//!
//! Neither direction waits for the other's network: the reader takes `outgoing` only if nobody has
//! it, and sends only what cannot block; the rest is sent by the next writer.

use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, TryLockError};

use rustls::ServerConnection;

use super::lock;
use super::records::{Incoming, Nothing, Outgoing};
use super::x509;

/// Most plaintext in a record, in bytes (RFC 8446, section 5.1).
#[cfg(feature = "share")]
const RECORD: usize = 1 << 14;

/// A TLS session after its handshake; owns the socket. Share it by reference: one thread reads,
/// others write.
pub struct Session {
    socket: TcpStream,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    tls: Mutex<ServerConnection>,
}

impl Session {
    pub(super) fn new(
        socket: TcpStream,
        tls: ServerConnection,
        incoming: Incoming,
        outgoing: Outgoing,
    ) -> Session {
        Session {
            socket,
            incoming: Mutex::new(incoming),
            outgoing: Mutex::new(outgoing),
            tls: Mutex::new(tls),
        }
    }

    /// The socket beneath, for its address, options and `shutdown`.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The socket alone; the session is forgotten.
    pub fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// The server name the client asked for (RFC 6066, section 3).
    pub fn server_name(&self) -> Option<String> {
        lock(&self.tls).server_name().map(str::to_owned)
    }

    /// The subject of the client's certificate, if it showed one (RFC 4514 text).
    pub fn client_subject(&self) -> Option<String> {
        x509::subject(lock(&self.tls).peer_certificates()?.first()?)
    }

    /// Copies plaintext into `buffer` without consuming it: waits for at least one byte, gives at
    /// most the rest of one record.
    ///
    /// # Errors
    /// As for reading.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|tls, incoming| {
            loop {
                match tls.reader().fill_buf() {
                    Ok(mut chunk) => return chunk.read(buffer),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => decrypt(tls, incoming)?,
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Whether a read would return at once, whatever the socket holds: there is plaintext, or the
    /// end of the stream has been seen.
    pub fn buffered(&self) -> bool {
        let Ok(mut incoming) = self.incoming.try_lock() else {
            return false;
        };
        let mut tls = lock(&self.tls);
        loop {
            match tls.reader().fill_buf() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => return true,
            }
            match decrypt(&mut tls, &mut incoming) {
                Ok(()) => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
        }
    }

    /// Reads what the socket holds, as far as that needs no waiting, and drops chunks of plaintext
    /// for as long as `drops` tells it to. Returns whether all that came has been dropped; if not,
    /// the next read returns the rest, or why there is none. Half a record is nothing yet.
    pub(crate) fn take_now(&self, mut drops: impl FnMut(&[u8]) -> bool) -> bool {
        let Ok(mut incoming) = self.incoming.try_lock() else {
            return false; // somebody reads it
        };
        if let Err(error) = incoming.fill_now(&self.socket) {
            return error.kind() == ErrorKind::WouldBlock;
        }
        let mut tls = lock(&self.tls);
        let took_all = loop {
            let mut reader = tls.reader();
            let outcome = match reader.fill_buf() {
                Ok(chunk) if !chunk.is_empty() && drops(chunk) => {
                    let count = chunk.len();
                    reader.consume(count);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    decrypt(&mut tls, &mut incoming)
                }
                _ => break false,
            };
            if let Err(error) = outcome {
                break error.kind() == ErrorKind::WouldBlock;
            }
        };
        let answer_is_due = tls.wants_write();
        drop(tls);
        drop(incoming);
        if answer_is_due {
            self.send_without_waiting();
        }
        took_all
    }

    /// Gives back the buffers that a silent session does not need, where no thread uses them.
    pub(crate) fn shrink(&self) {
        if let Ok(mut incoming) = self.incoming.try_lock()
            && incoming.is_empty()
        {
            incoming.shrink();
            let _ = lock(&self.tls).read_tls(&mut Nothing);
        }
        if let Ok(mut outgoing) = self.outgoing.try_lock() {
            outgoing.shrink();
        }
    }

    /// Encrypts and sends as much of these pieces as the socket takes without waiting, and perhaps a
    /// record more, which is kept. Returns how much that is, and whether the socket is full.
    ///
    /// # Errors
    /// Those of the socket.
    #[cfg(feature = "share")]
    pub(crate) fn offer(&self, pieces: &[&[u8]]) -> io::Result<(usize, bool)> {
        let mut taken = 0;
        let mut outgoing = lock(&self.outgoing);
        let mut records = (pieces.iter()).flat_map(|piece| piece.chunks(RECORD));
        loop {
            match outgoing.send_now(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((taken, true)),
                sent => sent?,
            }
            let Some(record) = records.next() else {
                return Ok((taken, false));
            };
            let mut tls = lock(&self.tls);
            tls.writer().write_all(record)?;
            outgoing.collect(&mut tls);
            taken += record.len();
        }
    }

    /// Tells the peer that nothing more follows (RFC 8446, section 6.1), after all that was
    /// written. The socket stays open: the peer may still send.
    ///
    /// # Errors
    /// Those of the socket. It waits for a writer that is stalled; to end that one too, shut the
    /// socket down.
    pub fn close_notify(&self) -> io::Result<()> {
        let mut outgoing = lock(&self.outgoing);
        {
            let mut tls = lock(&self.tls);
            tls.send_close_notify();
            outgoing.collect(&mut tls);
        }
        outgoing.send_all(&self.socket)
    }

    /// Reads from the socket until `take` finds what it wants; it answers `WouldBlock` when all
    /// that was read is decrypted and taken.
    fn receive<T>(
        &self,
        mut take: impl FnMut(&mut ServerConnection, &mut Incoming) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut incoming = lock(&self.incoming);
        loop {
            let mut tls = lock(&self.tls);
            let taken = take(&mut tls, &mut incoming);
            let answer_is_due = tls.wants_write();
            drop(tls);
            if answer_is_due {
                self.send_without_waiting();
            }
            match taken {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            incoming.fill(&self.socket)?;
        }
    }

    /// Sends what rustls has made by itself (alerts, key updates) if nobody else is writing and it
    /// cannot block.
    fn send_without_waiting(&self) {
        loop {
            let mut outgoing = match self.outgoing.try_lock() {
                Ok(outgoing) => outgoing,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return, // its holder looks again afterwards
            };
            outgoing.collect(&mut lock(&self.tls));
            if outgoing.send_now(&self.socket).is_err() {
                return; // kept for the next writer, who also meets the error
            }
            drop(outgoing);
            if !lock(&self.tls).wants_write() {
                return;
            }
        }
    }
}

/// Waits as the socket does: `WouldBlock` when its receive timeout passes. `Ok(0)` is the peer's
/// close_notify; a stream that ends without one is `UnexpectedEof`, since anybody on the way could
/// have cut it there.
impl Read for &Session {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(|tls, incoming| {
            let mut filled = 0;
            loop {
                match tls.reader().read(&mut buffer[filled..]) {
                    Ok(0) => return Ok(filled),
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return some_or(filled, error),
                }
                if filled == buffer.len() {
                    return Ok(filled);
                }
                if let Err(error) = decrypt(tls, incoming) {
                    return some_or(filled, error);
                }
            }
        })
    }
}

/// A write returns when all of it has been sent. When the socket's send timeout passes, what was
/// encrypted by then counts as written, as in a socket's own buffer, and the next write or `flush`
/// sends it first; the timeout is an error (`WouldBlock`) when nothing of this write was taken.
impl Write for &Session {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut slices = slices.to_vec();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        let mut outgoing = lock(&self.outgoing);
        let mut written = 0;
        loop {
            match outgoing.send_all(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return some_or(written, error);
                }
                other => other?,
            }
            if rest.is_empty() {
                break;
            }
            let mut tls = lock(&self.tls);
            let count = tls.writer().write_vectored(rest)?;
            outgoing.collect(&mut tls);
            if count == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            written += count;
            IoSlice::advance_slices(&mut rest, count);
        }
        drop(outgoing);
        if lock(&self.tls).wants_write() {
            self.send_without_waiting();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.outgoing).send_all(&self.socket)
    }
}

/// What was done counts first; the error comes again with the next call.
fn some_or(count: usize, error: io::Error) -> io::Result<usize> {
    if count > 0 { Ok(count) } else { Err(error) }
}

/// Gives rustls some of the ciphertext. To be called only when it has no plaintext left: its own
/// buffer holds little.
///
/// # Errors
/// `WouldBlock` if there is nothing to give, `InvalidData` if the peer broke a rule of TLS.
fn decrypt(tls: &mut ServerConnection, incoming: &mut Incoming) -> io::Result<()> {
    if incoming.is_empty() && !incoming.ended() {
        return Err(ErrorKind::WouldBlock.into());
    }
    tls.read_tls(incoming)?;
    if let Err(error) = tls.process_new_packets() {
        // What follows is not read, and rustls gives the same error again.
        incoming.end();
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    Ok(())
}
