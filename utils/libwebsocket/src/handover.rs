//! The moment a client arrives: the gateway's connection in, the client's socket out. The only
//! unsafe code of this crate, since a descriptor that comes over a socket is a bare number.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recvmsg, send};

use crate::WebSocket;
use crate::info::ClientInfo;
use common::handover;

/// How long a fresh connection may keep silent before it counts as a plain client. The gateway
/// sends at once.
const SILENCE: Duration = Duration::from_millis(300);

/// Most descriptors of one message (unix(7)).
const SCM_MAX_FD: usize = 253;

/// What tells the gateway that the client has arrived: any one byte does.
const ANSWER: u8 = b'\x06';

/// Who connected.
#[derive(Debug)]
pub enum Accepted {
    /// A client of the gateway.
    WebSocket(Box<WebSocket>),
    /// A plain UNIX client; nothing of it has been read.
    Plain(UnixStream),
}

/// Receives the client over a connection that was just accepted, and tells the gateway so by one
/// byte. The connection is closed together with the client.
///
/// Waits up to 300 ms for the gateway's message; a plain client that says nothing is known by that.
/// So this belongs on the client's own thread, where it holds nobody up.
///
/// # Errors
/// `InvalidData` for a message that is not the gateway's, or what poll(2) or recvmsg(2) say.
pub fn accept(connection: UnixStream) -> io::Result<Accepted> {
    if !is_there(&connection)? || !is_hand_over(&connection)? {
        return Ok(Accepted::Plain(connection));
    }
    let mut data = [0; handover::MAX_DATA];
    let (len, client) = receive(&connection, &mut data)?;
    let peer = parse_address(&data[..len]);
    let mut client = WebSocket::new(TcpStream::from(client), peer)?;
    // A gateway that does not listen for the answer may have closed the connection.
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let _ = send(connection.as_raw_fd(), &[ANSWER], flags);
    client.keep_gateway(connection, ClientInfo::of(behind(&data[..len])));
    Ok(Accepted::WebSocket(Box::new(client)))
}

/// Waits for the first message, through signals.
fn is_there(connection: &UnixStream) -> io::Result<bool> {
    let until = Instant::now() + SILENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // A part of a millisecond is one, so that the last wait is not for none of it.
        let left = PollTimeout::try_from(left + Duration::from_micros(999))
            .expect("it is less than the silence");
        let mut wait = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wait, left) {
            Err(Errno::EINTR) => {}
            result => return Ok(result? > 0),
        }
    }
}

/// Looks whether the first message is the gateway's, without taking it: a client's address, and
/// control data, of which the kernel can only say that it was cut, with no room for any. A plain
/// client's own control data may be descriptors, or credentials if the server asks for them.
fn is_hand_over(connection: &UnixStream) -> io::Result<bool> {
    let mut bytes = [0; handover::SHOWN];
    let mut data = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(connection.as_raw_fd(), &mut data, None, flags)?;
    let (len, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_CTRUNC));
    Ok(cut && begins_hand_over(&bytes[..len]))
}

/// What the gateway sends is a `sockaddr_in` or a `sockaddr_in6`, and what it says of the client.
fn begins_hand_over(bytes: &[u8]) -> bool {
    address_len(bytes).is_some()
}

fn address_len(bytes: &[u8]) -> Option<usize> {
    handover::address_len(bytes, libc::AF_INET as u16, libc::AF_INET6 as u16)
}

/// What stands behind the address.
fn behind(bytes: &[u8]) -> &[u8] {
    address_len(bytes).map_or(&[], |len| &bytes[len..])
}

/// Takes the gateway's message. Every descriptor in it is owned at once, so that those of a message
/// with more than one, or with more than there is room for, are closed again.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl has other types for these lengths"
)]
fn receive(connection: &UnixStream, data: &mut [u8]) -> io::Result<(usize, OwnedFd)> {
    let mut control = cmsg_space!([RawFd; SCM_MAX_FD], libc::ucred);
    let mut part = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    let mut descriptors = Vec::new();
    // SAFETY: an all-zero msghdr is an empty one; data and control are as long as it says, and
    // outlive it; the CMSG macros stay within what the kernel has written.
    let len = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = control.capacity() as _;
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        let len = Errno::result(libc::recvmsg(connection.as_raw_fd(), &mut message, flags))?;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(part) = header.as_ref() {
            if (part.cmsg_level, part.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                own(header, &mut descriptors);
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        len as usize
    };
    match (descriptors.pop(), descriptors.is_empty()) {
        (Some(client), true) => Ok((len, client)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the hand-over has not exactly one descriptor",
        )),
    }
}

/// Owns the descriptors of one control message.
///
/// # Safety
/// It is an SCM_RIGHTS message that recvmsg(2) has just written.
#[allow(
    clippy::unnecessary_cast,
    reason = "musl has other types for these lengths"
)]
unsafe fn own(header: *const libc::cmsghdr, descriptors: &mut Vec<OwnedFd>) {
    // SAFETY: the caller's promise: as many descriptors follow the header as its length says, the
    // kernel has just made them for us, and nothing else knows their numbers.
    unsafe {
        let bytes = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
        let first = libc::CMSG_DATA(header).cast::<RawFd>();
        descriptors.extend(
            (0..bytes / size_of::<RawFd>())
                .map(|at| OwnedFd::from_raw_fd(first.add(at).read_unaligned())),
        );
    }
}

/// The client's `sockaddr`, IPv4 or IPv6, if it is one.
fn parse_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = libc::c_int::from(u16::from_ne_bytes([*bytes.first()?, *bytes.get(1)?]));
    let port = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
    match family {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
        }
        libc::AF_INET6 => {
            // What follows the address may be garbage from the C gateway.
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let mut v4 = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        v4.extend([0x12, 0x34, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse_address(&v4), "192.0.2.7:4660".parse().ok());
        assert!(begins_hand_over(&v4) && begins_hand_over(&[&v4[..], b"WS\x01"].concat()));
        assert!(!begins_hand_over(&[&v4[..], b"!"].concat()));
        let mut v6 = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        v6.extend([0, 80, 0, 0, 0, 0]);
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(parse_address(&v6), "[::1]:80".parse().ok());
        assert!(begins_hand_over(&v6) && !begins_hand_over(&v6[..24]));
        assert_eq!(parse_address(&v6[..20]), None);
        assert_eq!(parse_address(b"hello, world"), None);
    }
}
