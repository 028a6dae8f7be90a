//! Running: one client, relayed or handed over.

use std::io::{self, IoSliceMut, Read, Write};
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockType, SockaddrStorage, UnixCredentials, getpeername,
    getsockopt, recv, recvmsg, send, setsockopt, sockopt,
};

use crate::proxy::{self, ClientInfo};

/// Longest packet of a SEQPACKET socket, in bytes; a shorter one ends the message.
pub const PACKET: usize = 32 * 1024;

/// How long a client that begins with a PROXY header may take to send it.
const PROXY_TIME: Duration = Duration::from_secs(5);

/// How long `finish` waits for the client to close its side.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// One client: a UNIX stream or SEQPACKET connection, or a TCP connection handed over by the
/// gateway to a server linked with libwebsocket.so. All are read and written alike, by several
/// threads if need be.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    packets: bool,
    /// What a PROXY header told.
    info: ClientInfo,
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
            // Every packet, an empty one too, then brings its sender's credentials, which the end
            // does not: nothing else tells the two apart without a race (unix(7)).
            setsockopt(&socket, sockopt::PassCred, &true)?;
        }
        Ok(Self {
            socket,
            packets,
            info: ClientInfo::default(),
        })
    }

    /// Reads the PROXY header that a relayed connection begins with (`-P`).
    ///
    /// A connection handed over begins with none: its peer address is the client's own.
    ///
    /// # Errors
    /// No header, a broken one, or none in time.
    pub(crate) fn read_proxy_header(&mut self) -> io::Result<()> {
        // libwebsocket.so calls a connection writable once it knows whether a client has been
        // handed over (websocket.h(3)).
        let mut known = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        let time = PollTimeout::try_from(PROXY_TIME).map_err(io::Error::other)?;
        let _ = poll(&mut known, time);
        if self.peer_address().is_some() {
            return Ok(());
        }
        self.socket.set_read_timeout(Some(PROXY_TIME))?;
        if self.packets {
            let mut buffer = vec![0; PACKET];
            let length = self.receive(&mut buffer)?.unwrap_or(0);
            let (fixed, rest) = buffer[..length]
                .split_first_chunk()
                .ok_or_else(proxy::invalid)?;
            let (family, _) = proxy::parse_fixed(fixed)?;
            self.info = proxy::parse_rest(family, rest)?;
        } else {
            let mut fixed = [0; proxy::FIXED];
            (&self.socket).read_exact(&mut fixed)?;
            let (family, length) = proxy::parse_fixed(&fixed)?;
            let mut rest = vec![0; length];
            (&self.socket).read_exact(&mut rest)?;
            self.info = proxy::parse_rest(family, &rest)?;
        }
        self.socket.set_read_timeout(None)
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
                // Reported once, before the packets that the client sent and that are unread.
                Err(e) if self.packets && e.kind() == io::ErrorKind::ConnectionReset => {}
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

    /// Whether the client has left: no answer can reach it any more.
    ///
    /// A UNIX client that has only ended its own sending still waits for answers. A WebSocket
    /// client that has sent its Close, or has ended its TCP connection, does not (RFC 6455, section
    /// 1.4).
    #[must_use]
    pub fn has_left(&self) -> bool {
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        if matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1)) {
            return true;
        }
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        self.peer_address().is_some()
            && matches!(recv(self.socket.as_raw_fd(), &mut [0], flags), Ok(0))
    }

    /// Whether the client has ended its sending, even if not all of it is read yet. Behind a
    /// gateway that relays, this is how a client looks that has left.
    #[must_use]
    pub fn has_ended_sending(&self) -> bool {
        let end = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        let mut ready = [PollFd::new(self.socket.as_fd(), end)];
        matches!(poll(&mut ready, PollTimeout::ZERO), Ok(1))
    }

    /// Whether a packet of this length ends its message; no part of a stream does.
    #[must_use]
    pub fn ends_message(&self, length: usize) -> bool {
        self.packets && length < PACKET
    }

    /// From now on a `receive` that waits this long in vain fails
    /// ([`WouldBlock`](io::ErrorKind::WouldBlock)).
    ///
    /// # Errors
    /// When the system refuses, or `time` is zero.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(time)
    }

    /// From now on a client that reads nothing fails a `send` to it
    /// ([`WouldBlock`](io::ErrorKind::WouldBlock)): after `time`, or twice as long where a part was
    /// still written.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_write_timeout(&self, time: Duration) -> io::Result<()> {
        self.socket.set_write_timeout(Some(time))
    }

    /// Reads a message: of a stream, what is there, up to 32 KiB; of a SEQPACKET connection, all
    /// packets up to the first that is shorter than 32 KiB.
    ///
    /// `None` is the end; a message that the end cuts short is dropped.
    ///
    /// # Errors
    /// A broken connection, or a message longer than `max` bytes.
    pub fn receive_message(&self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        loop {
            let start = message.len();
            message.resize(start + PACKET, 0);
            let Some(length) = self.receive(&mut message[start..])? else {
                return Ok(None);
            };
            message.truncate(start + length);
            if message.len() > max {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "message too long",
                ));
            }
            if !self.packets || self.ends_message(length) {
                message.shrink_to_fit();
                return Ok(Some(message));
            }
        }
    }

    /// Writes a message: to a stream as it is, to a SEQPACKET connection as packets of 32 KiB, of
    /// which the last is shorter and may be empty.
    ///
    /// # Errors
    /// A connection the client has left.
    pub fn send_message(&self, message: &[u8]) -> io::Result<()> {
        if !self.packets {
            return self.send(message);
        }
        let mut packets = message.chunks_exact(PACKET);
        packets.by_ref().try_for_each(|packet| self.send(packet))?;
        self.send(packets.remainder())
    }

    /// Ends the connection so that the client gets all that was sent to it: says that no more will
    /// come, then reads and drops what still arrives until the client closes too, five seconds at
    /// most. (Closed with bytes unread, a socket resets the connection.)
    pub fn finish(self) {
        let deadline = Instant::now() + FINISH_TIME;
        let mut buffer = [0; 4096];
        self.end_output();
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

    /// Says that no more will come; the client may still send.
    pub fn end_output(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Breaks the connection off: a thread that reads or writes it returns.
    pub fn shutdown(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The client's network address, if it is known: that of a connection handed over, or what the
    /// gateway told with `-P`.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let told = self.info.address.map(|address| address.ip());
        told.or_else(|| self.peer_address())
    }

    /// What the gateway told of the client with `-P`.
    #[must_use]
    pub fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn peer_address(&self) -> Option<IpAddr> {
        let peer: SockaddrStorage = getpeername(self.socket.as_raw_fd()).ok()?;
        let v4 = peer.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| peer.as_sockaddr_in6().map(|a| a.ip().to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_client_has_left_when_it_closes_not_when_it_ends_its_sending() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let client = Client::new(ours).expect("a socket");
        assert!(!client.has_left());
        (&theirs).write_all(b"unread").expect("sent");
        assert!(!client.has_ended_sending());
        theirs.shutdown(Shutdown::Write).expect("ended");
        assert!(client.has_ended_sending());
        assert!(!client.has_left());
        drop(theirs);
        assert!(client.has_left());
    }

    #[test]
    fn a_client_handed_over_has_left_when_it_ends_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let theirs = TcpStream::connect(listener.local_addr().expect("its address"));
        let theirs = theirs.expect("connected");
        let (ours, _) = listener.accept().expect("a client");
        let client = Client::new(UnixStream::from(OwnedFd::from(ours))).expect("a socket");
        assert!(!client.has_left());
        theirs.shutdown(Shutdown::Write).expect("ended");
        // The end is on its way: a read that waits for it says when it is here.
        assert_eq!(client.receive(&mut [0]).expect("the end"), None);
        assert!(client.has_left());
    }

    #[test]
    fn a_client_that_reads_nothing_is_not_waited_for() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let client = Client::new(ours).expect("a socket");
        let time = Duration::from_millis(50);
        client.set_write_timeout(time).expect("a time");
        let error = client.send(&[0; 8 * 1024 * 1024]).expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
