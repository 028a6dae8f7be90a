//! The ciphertext of one session between rustls and the socket.
//!
//! rustls itself never touches the socket: [`Incoming`] holds what was read and not yet decrypted,
//! [`Outgoing`] what was encrypted and not yet sent. Both are small again when a busy connection
//! has become a quiet one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, recv, send};
use rustls::ServerConnection;

/// Bytes read at once while little arrives.
const SMALL: usize = 2048;

/// Bytes read at once under load: two full records (RFC 8446, section 5.2).
const LARGE: usize = 2 * (5 + 16384 + 256);

/// After this many small reads or writes in a row the large buffer is given back.
const CALM: u32 = 8;

/// Ciphertext from the peer that rustls has not seen yet.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    small_reads: u32,
    ended: bool,
}

impl Incoming {
    /// Whether rustls has seen all that was read.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the peer has ended the TCP stream.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Drops what rustls has not seen, and takes the stream for ended.
    pub(super) fn end(&mut self) {
        self.start = self.end;
        self.ended = true;
    }

    /// Reads from the socket once, blocking as the socket does. To be called only when empty.
    ///
    /// # Errors
    /// As recv(2), `Interrupted` too.
    pub(super) fn fill(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        self.fill_by(|bytes| socket.read(bytes))
    }

    /// The same without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if the socket holds nothing.
    pub(super) fn fill_now(&mut self, socket: &TcpStream) -> io::Result<()> {
        let descriptor = socket.as_raw_fd();
        self.fill_by(|bytes| Ok(recv(descriptor, bytes, MsgFlags::MSG_DONTWAIT)?))
    }

    fn fill_by(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        self.resize();
        self.start = 0;
        self.end = 0;
        self.end = read(&mut self.bytes)?;
        self.ended = self.end == 0;
        Ok(())
    }

    /// Gives the buffer back until the next read. To be called only when empty.
    pub(super) fn shrink(&mut self) {
        self.bytes = Vec::new();
        (self.start, self.end) = (0, 0);
    }

    fn resize(&mut self) {
        let filled = self.end == self.bytes.len() && self.end > 0;
        self.small_reads = if self.end > SMALL {
            0
        } else {
            self.small_reads.saturating_add(1)
        };
        if self.bytes.is_empty() || (self.bytes.len() == LARGE && self.small_reads > CALM) {
            self.bytes = vec![0; SMALL];
        } else if filled && self.bytes.len() < LARGE {
            self.bytes = vec![0; LARGE];
        }
    }
}

/// What rustls reads from when nothing has come: it then gives back what its buffer has grown by.
pub(super) struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

/// What rustls reads from: never the socket itself.
impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.bytes[self.start..self.end]).read(buffer)?;
        self.start += count;
        Ok(count)
    }
}

/// Ciphertext for the peer that the socket has not taken yet.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    small_writes: u32,
}

impl Outgoing {
    /// Takes over the records rustls has made, in their order.
    pub(super) fn collect(&mut self, tls: &mut ServerConnection) {
        while tls.wants_write() {
            tls.write_tls(&mut self.bytes)
                .expect("writing to memory does not fail");
        }
    }

    /// Sends all, blocking as the socket does; what an error leaves stays here.
    pub(super) fn send_all(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match socket.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(())
    }

    /// Sends what the socket takes without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if something is left.
    pub(super) fn send_now(&mut self, socket: &TcpStream) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while self.sent < self.bytes.len() {
            match send(socket.as_raw_fd(), &self.bytes[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.clear();
        Ok(())
    }

    /// Gives the buffer back until the next record, unless something is left to send.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    fn clear(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        self.small_writes = match self.bytes.len() > SMALL {
            true => 0,
            false => self.small_writes.saturating_add(1),
        };
        self.sent = 0;
        self.bytes.clear();
        if self.small_writes > CALM {
            self.bytes.shrink_to(SMALL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_buffer_grows_under_load_and_shrinks_when_it_is_over() {
        let (mut far, near) = UnixStream::pair().expect("a pair");
        let near = TcpStream::from(OwnedFd::from(near));
        let mut incoming = Incoming::default();
        let mut read = |sent: &[u8]| {
            far.write_all(sent).expect("room");
            incoming.fill(&near).expect("bytes");
            let mut seen = vec![0; sent.len()];
            let count = incoming.read(&mut seen).expect("memory");
            assert!(incoming.is_empty() && seen[..count] == sent[..count]);
            incoming.bytes.len()
        };
        assert_eq!(read(&[1; 100]), SMALL);
        assert_eq!(read(&[2; SMALL]), SMALL);
        assert_eq!(read(&[3; SMALL]), LARGE);
        for _ in 0..CALM {
            read(&[4; 100]);
        }
        assert_eq!(read(&[5; 100]), SMALL);
        assert_eq!(read(&[6; SMALL]), SMALL);
        assert_eq!(read(&[7; 100]), LARGE);
    }

    #[test]
    fn a_stream_that_is_taken_for_ended_can_be_read_without_its_buffer() {
        let (mut far, near) = UnixStream::pair().expect("a pair");
        let near = TcpStream::from(OwnedFd::from(near));
        let mut incoming = Incoming::default();
        far.write_all(b"no record").expect("room");
        incoming.fill(&near).expect("bytes");
        incoming.end();
        incoming.shrink();
        assert_eq!(incoming.read(&mut [0]).expect("memory"), 0);
    }

    #[test]
    fn the_buffer_of_what_is_sent_stays_under_load_and_goes_when_it_is_over() {
        let (mut far, near) = UnixStream::pair().expect("a pair");
        let near = TcpStream::from(OwnedFd::from(near));
        let mut outgoing = Outgoing::default();
        let mut capacity_after = |count: usize| {
            outgoing.bytes.resize(count, 1);
            outgoing.send_all(&near).expect("room");
            far.read_exact(&mut vec![0; count]).expect("all of it");
            outgoing.bytes.capacity()
        };
        for _ in 0..2 {
            assert!(capacity_after(LARGE) >= LARGE);
            for _ in 0..CALM {
                assert!(capacity_after(100) >= LARGE);
            }
        }
        assert!(capacity_after(100) <= SMALL);
    }

    #[test]
    fn what_the_socket_does_not_take_is_kept_in_order() {
        let (mut far, near) = UnixStream::pair().expect("a pair");
        let near = TcpStream::from(OwnedFd::from(near));
        let sent: Vec<u8> = (0..2_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut outgoing = Outgoing {
            bytes: sent.clone(),
            ..Outgoing::default()
        };
        let error = outgoing
            .send_now(&near)
            .expect_err("more than the socket takes");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let mut received = vec![0; sent.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| outgoing.send_all(&near).expect("a reader"));
            far.read_exact(&mut received).expect("all of it");
        });
        assert!(received == sent);
    }
}
