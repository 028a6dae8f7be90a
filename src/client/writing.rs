//! Opening and running: bytes to the client, all of them or as many as its socket takes in time.

use std::io::{self, IoSlice, Write};
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};

use super::frames::Offered;
use super::{Client, Stream};
use crate::system::gather::gather;

impl Client {
    /// Writes everything.
    ///
    /// # Errors
    /// As write(2); `WouldBlock` when the write limit has passed.
    pub fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.write_all_of(&[bytes])
    }

    /// Writes everything by `deadline`, however many system calls that takes.
    ///
    /// # Errors
    /// As write(2); `TimedOut` or `WouldBlock` at the deadline.
    pub fn write_all_until(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.set_write_timeout(Some(left))?;
            match self.write_once(&[IoSlice::new(bytes)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets the kernel hold this many bytes for the client, instead of as many as it sees fit.
    pub fn limit_send_buffer(&self, bytes: usize) {
        // Without it the buffer is larger: memory, but no error.
        let _ = setsockopt(self.socket(), sockopt::SndBuf, &bytes);
    }

    /// Writes at most four pieces as one, with one system call if the socket takes them.
    ///
    /// # Errors
    /// As writev(2); `WouldBlock` when the write limit has passed.
    pub fn write_all_of(&self, pieces: &[&[u8]]) -> io::Result<()> {
        let mut taken = 0;
        loop {
            let offered = self.write_of(pieces, taken)?;
            if !offered.is_full {
                return Ok(());
            }
            if offered.taken == taken {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            taken = offered.taken;
        }
    }

    /// Writes at most four pieces, of which `taken` bytes have been written before, as one. Returns
    /// how many bytes of all have been when everything is written, or the write limit has passed.
    ///
    /// # Errors
    /// As writev(2), but for `WouldBlock`.
    pub(crate) fn write_of(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        let mut offered = Offered {
            taken,
            is_full: true,
        };
        while offered.taken < length {
            match gather(pieces, offered.taken, |slices| self.write_once(slices)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offered.taken += count;
                    if offered.taken < length {
                        return Ok(offered);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(offered),
                Err(error) => return Err(error),
            }
        }
        match self.write_rest() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(offered),
            sent => sent?,
        }
        offered.is_full = false;
        Ok(offered)
    }

    fn write_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.stream, slices) {
            (Stream::Plain(socket), [one]) => (&*socket).write(one),
            (Stream::Plain(socket), several) => (&*socket).write_vectored(several),
            #[cfg(feature = "tls")]
            (Stream::Tls(session), several) => (&**session).write_vectored(several),
        }
    }

    /// Writes what has been taken and not been sent: records of TLS.
    fn write_rest(&self) -> io::Result<()> {
        match &self.stream {
            Stream::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Stream::Tls(session) => (&**session).flush(),
        }
    }
}
