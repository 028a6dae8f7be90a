//! Running: frames for a client that are written as far as its socket takes them, and no further.
//!
//! A thread that writes to many clients waits for none of them. It offers each of them frames, and
//! comes back with the rest when the socket takes more.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send, sendmsg};

use super::frames::{FrameWriter, Offered, Phase, SendError, lock};
use super::{Client, Stream};
use crate::system::gather::gather;

impl FrameWriter {
    /// Writes as much of these pieces, at most four, as the socket takes without waiting; owed
    /// frames go first. Until everything is taken, or [`FrameWriter::is_whole`] is called, nothing
    /// else goes to the client.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn offer(&self, pieces: &[&[u8]]) -> Result<Offered, SendError> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut phase = lock(&self.phase);
        self.pay(&mut phase, false)?;
        if *phase != Phase::Open {
            return Err(SendError::Closed);
        }
        if self.is_owing() && !self.is_split.load(Ordering::Relaxed) {
            // The socket has no space for a control frame.
            return Ok(Offered {
                taken: 0,
                is_full: true,
            });
        }
        let offered = self.client().offer(pieces).map_err(|_| SendError::Gone)?;
        let is_split = offered.is_full || offered.taken < length;
        self.is_split.store(is_split, Ordering::Relaxed);
        drop(phase);
        if offered.taken > 0 {
            self.has_taken.store(true, Ordering::Relaxed);
        }
        if !is_split {
            self.settle();
        }
        Ok(offered)
    }

    /// Notes that what was taken of an offer ends with a whole frame: owed frames may follow.
    pub(crate) fn is_whole(&self) {
        let phase = lock(&self.phase);
        self.is_split.store(false, Ordering::Relaxed);
        drop(phase);
        self.settle();
    }
}

impl Client {
    /// Writes as much of these pieces, at most four, as the socket takes without waiting.
    ///
    /// # Errors
    /// As sendmsg(2), but for `EAGAIN`.
    fn offer(&self, pieces: &[&[u8]]) -> io::Result<Offered> {
        match &self.stream {
            Stream::Plain(socket) => {
                let length: usize = pieces.iter().map(|piece| piece.len()).sum();
                let taken = send_now(socket.as_raw_fd(), pieces)?;
                Ok(Offered {
                    taken,
                    is_full: taken < length,
                })
            }
            #[cfg(feature = "tls")]
            Stream::Tls(session) => {
                let (taken, is_full) = session.offer(pieces)?;
                Ok(Offered { taken, is_full })
            }
        }
    }
}

fn send_now(socket: i32, pieces: &[&[u8]]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        let sent = gather(pieces, 0, |slices| match slices {
            [] => Ok(0),
            [one] => send(socket, one, flags),
            several => sendmsg::<()>(socket, several, &[], flags, None),
        });
        return match sent {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Ok(0),
            sent => Ok(sent?),
        };
    }
}
