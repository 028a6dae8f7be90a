//! Running: one client, whichever way it came.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockType, SockaddrStorage, UnixCredentials, getpeername,
    getsockopt, recvmsg, send, setsockopt, sockopt,
};

/// Longest packet of a SEQPACKET socket, in bytes; a shorter one ends the message.
pub const PACKET: usize = 32 * 1024;

/// How long `finish` waits for the client to close its side.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// One client: a UNIX stream or SEQPACKET connection, or a TCP connection handed over by
/// the gateway to a server linked with libwebsocket.so. All are read and written alike,
/// by several threads if need be.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    packets: bool,
}

impl Client {
    /// Takes an accepted connection.
    ///
    /// # Errors
    /// When the system cannot say what kind of socket it is.
    pub(crate) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        let packets = getsockopt(&socket, sockopt::SockType)? == SockType::SeqPacket;
        if packets {
            // Every packet, an empty one too, then brings its sender's credentials, and the
            // end does not: nothing else tells the two apart without a race (unix(7)).
            setsockopt(&socket, sockopt::PassCred, &true)?;
        }
        Ok(Self { socket, packets })
    }

    /// Reads what is there, up to the length of `buffer`: some bytes of a stream, or one packet.
    ///
    /// `None` is the end. `Some(0)` is an empty packet; a stream has none.
    ///
    /// # Errors
    /// A broken connection, or a packet longer than `buffer`.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let result = if self.packets {
                self.receive_packet(buffer)
            } else {
                (&self.socket)
                    .read(buffer)
                    .map(|length| (length > 0).then_some(length))
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn receive_packet(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut space = cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        if message.flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "packet over 32 KiB",
            ));
        }
        let is_packet = message.bytes > 0
            || message
                .cmsgs()?
                .any(|c| matches!(c, ControlMessageOwned::ScmCredentials(_)));
        Ok(is_packet.then_some(message.bytes))
    }

    /// Writes all of `bytes`; on a SEQPACKET connection as one packet, which may be empty.
    ///
    /// # Errors
    /// A connection the client has left.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.packets {
            return (&self.socket).write_all(bytes);
        }
        loop {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Ends the connection so that the client gets all that was sent to it: says that no
    /// more will come, then reads and drops what still arrives until the client closes too,
    /// five seconds at most. (Closed with bytes unread, a socket resets the connection.)
    pub fn finish(self) {
        let deadline = Instant::now() + FINISH_TIME;
        let mut buffer = [0; 4096];
        let _ = self.socket.shutdown(Shutdown::Write);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match self.receive(&mut buffer) {
                Ok(Some(_)) => {}
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Breaks the connection off: a thread that reads or writes it returns.
    pub fn shutdown(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The client's network address, if it is known: that of a connection handed over.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let peer: SockaddrStorage = getpeername(self.socket.as_raw_fd()).ok()?;
        let v4 = peer.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| peer.as_sockaddr_in6().map(|a| a.ip().to_canonical()))
    }
}
