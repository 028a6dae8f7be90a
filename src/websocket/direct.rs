//! Direct mode: hands the client's descriptor to the backend, after the 101 and instead of the
//! pump.
//!
//! The form is that of the C gateway and its library: one sendmsg(2) over the new UNIX connection,
//! with one descriptor (SCM_RIGHTS, unix(7)) and the client's address as data, a `sockaddr_in` (16
//! bytes) or `sockaddr_in6` (28). What the backend should know beside it stands behind the address
//! ([`Told`]). The caller decides whether to hand over, and what to do when it fails.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use common::{MessageType, handover};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, ControlMessage, MsgFlags, sendmsg};

use crate::client::Client;
use crate::config::{FrameType, ServiceConfig};
use crate::http::proxy;
use crate::http::request::Request;
use crate::system::reason::reason;
use crate::websocket::access::Service;

/// Whether a client is handed over: not one with TLS, and not one of a UNIX socket, which has no
/// address to tell.
pub(crate) fn is_for(config: &ServiceConfig, client: &Client) -> bool {
    config.direct && !client.is_tls() && client.peer().is_some()
}

/// Undoes what the gateway set on the client's socket, and sets what the backend relies on: options
/// and timeouts belong to the open file, which the backend shares. It is done before the backend is
/// connected, since the C gateway's library looks for the descriptor only once, as soon as it has
/// accepted: from then on only the 101 stands before the hand-over.
pub(crate) fn prepare(client: &Client) {
    // A socket that refuses them stays with its timeouts, and is served.
    let _ = client.set_read_timeout(None);
    let _ = client.set_write_timeout(None);
}

/// What a backend is told of a client beside its address (docs/behaviour.md, section 5): nothing
/// unless something is added.
#[derive(Debug, Default)]
pub(crate) struct Told(Vec<u8>);

impl Told {
    /// What the settings of a direct service say, the subprotocol that was chosen, and what the
    /// request says of its client.
    pub(crate) fn of(service: &Service<'_>, request: &Request) -> Self {
        let mut told = Self::default();
        if !service.config.direct {
            return told;
        }
        let frames = match service.config.frame_type {
            FrameType::Text => MessageType::fixed(true),
            FrameType::Binary => MessageType::fixed(false),
            FrameType::Auto => MessageType::new(service.protocol.as_deref()),
        };
        if let Some(code) = frames.code() {
            told.add(handover::MESSAGE_TYPE, &[code]);
        }
        // Long values come last: one that does not fit is left out.
        for (kind, value) in [
            (proxy::USER, request.user.as_deref()),
            (proxy::SERVICE, Some(&*service.name)),
            (proxy::ORIGIN, request.header("Origin")),
            (proxy::QUERY, request.query.as_deref()),
            (proxy::COOKIES, request.cookies().as_deref()),
        ] {
            if let Some(value) = value {
                told.add(kind, value.as_bytes());
            }
        }
        told
    }

    /// Adds a TLV. One that does not fit is left out.
    fn add(&mut self, kind: u8, value: &[u8]) {
        let mark: &[u8] = match self.0.is_empty() {
            true => &handover::MARK,
            false => &[],
        };
        let Ok(length) = u16::try_from(value.len()) else {
            return;
        };
        if self.0.len() + mark.len() + 3 + value.len() > handover::MAX {
            return;
        }
        self.0.extend_from_slice(mark);
        self.0.push(kind);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
    }
}

/// Writes everything to a client without TLS, to leave with the hand-over (MSG_MORE, send(2)): the
/// kernel takes the bytes and does no more, which is quick.
///
/// # Errors
/// As send(2).
pub(crate) fn write_ahead(client: &Client, mut bytes: &[u8]) -> io::Result<()> {
    let flags = MsgFlags::from_bits_retain(libc::MSG_MORE) | MsgFlags::MSG_NOSIGNAL;
    while !bytes.is_empty() {
        match socket::send(client.as_fd().as_raw_fd(), bytes, flags) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Gives a prepared client to the backend, and sends off what was written ahead to it; the gateway's
/// own descriptor is closed.
///
/// Since the two descriptors share one open file, nothing but that may be done to the client before
/// it is dropped, a shutdown least of all.
///
/// # Errors
/// The client comes back, so that the relay can serve it, together with what went wrong.
pub(crate) fn hand_over(
    client: TcpStream,
    backend: BorrowedFd<'_>,
    peer: SocketAddr,
    told: &Told,
) -> Result<(), (TcpStream, io::Error)> {
    let sent = send(&client, backend, peer, told);
    // Now the 101 leaves (see `write_ahead`). `TCP_NODELAY`, set again, sends it off (tcp(7)).
    let _ = client.set_nodelay(true);
    match sent {
        Ok(()) => Ok(()),
        Err(error) => Err((client, error)),
    }
}

fn send(
    client: &TcpStream,
    backend: BorrowedFd<'_>,
    peer: SocketAddr,
    told: &Told,
) -> io::Result<()> {
    let (address, len) = address_bytes(peer);
    let address = &address[..len];
    let descriptors = [client.as_raw_fd()];
    // A new connection takes these bytes at once; if this one does not, the relay is better than a
    // wait without a deadline.
    let sent = sendmsg::<()>(
        backend.as_raw_fd(),
        &[IoSlice::new(address), IoSlice::new(&told.0)],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        None,
    )
    .map_err(operation_failed)?;
    // A stream socket may take less in theory; the descriptor has gone then.
    debug_assert_eq!(sent, len + told.0.len(), "a hand-over is one write");
    Ok(())
}

fn operation_failed(errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(
        error.kind(),
        format!("cannot hand the client over: {}", reason(&error)),
    )
}

/// The peer's `sockaddr`, byte for byte, and its length: exactly 16 or 28.
fn address_bytes(peer: SocketAddr) -> ([u8; 28], usize) {
    let mut bytes = [0; 28];
    bytes[2..4].copy_from_slice(&peer.port().to_be_bytes());
    match peer {
        SocketAddr::V4(peer) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as libc::sa_family_t).to_ne_bytes());
            bytes[4..8].copy_from_slice(&peer.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(peer) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as libc::sa_family_t).to_ne_bytes());
            bytes[4..8].copy_from_slice(&peer.flowinfo().to_ne_bytes());
            bytes[8..24].copy_from_slice(&peer.ip().octets());
            bytes[24..28].copy_from_slice(&peer.scope_id().to_ne_bytes());
            (bytes, 28)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{IoSliceMut, Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::Duration;

    use nix::cmsg_space;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::sys::socket::{ControlMessageOwned, recvmsg};

    /// A connected TCP pair: the gateway's end, then the client's.
    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (listener.accept().unwrap().0, far)
    }

    /// What came over: the data bytes and the descriptor's number, which the tests use through
    /// /proc since owning it would take unsafe code.
    fn receive(backend: &UnixStream) -> (Vec<u8>, Vec<i32>) {
        let mut data = [0; 64];
        let mut control = cmsg_space!([i32; 4]);
        let mut iov = [IoSliceMut::new(&mut data)];
        let message = recvmsg::<()>(
            backend.as_raw_fd(),
            &mut iov,
            Some(&mut control),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )
        .unwrap();
        let mut descriptors = Vec::new();
        for part in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(fds) = part {
                descriptors.extend(fds);
            }
        }
        let len = message.bytes;
        (data[..len].to_vec(), descriptors)
    }

    #[test]
    fn an_ipv4_peer_is_sixteen_bytes_and_one_descriptor() {
        let (client, mut far) = tcp_pair();
        let (gateway, backend) = UnixStream::pair().unwrap();
        let peer: SocketAddr = "192.0.2.7:4660".parse().unwrap();
        hand_over(client, gateway.as_fd(), peer, &Told::default()).unwrap();
        let (data, descriptors) = receive(&backend);
        let family = (libc::AF_INET as u16).to_ne_bytes();
        let mut expected = family.to_vec();
        expected.extend([0x12, 0x34, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(data, expected);
        assert_eq!(descriptors.len(), 1);
        // The descriptor is the client: what is written there arrives.
        nix::sys::socket::send(descriptors[0], b"hi", MsgFlags::empty()).unwrap();
        let mut two = [0; 2];
        far.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"hi");
        nix::unistd::close(descriptors[0]).unwrap();
        // And the only one left: with it closed, the connection is over.
        assert_eq!(far.read(&mut two).unwrap(), 0);
    }

    #[test]
    fn an_ipv6_peer_is_twenty_eight_bytes() {
        let (client, _far) = tcp_pair();
        let (gateway, backend) = UnixStream::pair().unwrap();
        hand_over(
            client,
            gateway.as_fd(),
            "[2001:db8::1]:80".parse().unwrap(),
            &Told::default(),
        )
        .unwrap();
        let (data, descriptors) = receive(&backend);
        assert_eq!(data.len(), 28);
        assert_eq!(&data[2..4], &[0, 80]);
        assert_eq!(&data[8..12], &[0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(data[23], 1);
        nix::unistd::close(descriptors[0]).unwrap();
    }

    #[test]
    fn the_backend_gets_a_blocking_socket_without_timeouts() {
        let (client, _far) = tcp_pair();
        client
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        client
            .set_write_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        let twin = client.try_clone().unwrap();
        let client = Client::plain(client);
        prepare(&client);
        let client = client.into_plain().ok().unwrap();
        let (gateway, _backend) = UnixStream::pair().unwrap();
        hand_over(
            client,
            gateway.as_fd(),
            "127.0.0.1:1".parse().unwrap(),
            &Told::default(),
        )
        .unwrap();
        let flags = OFlag::from_bits_retain(fcntl(&twin, FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
        assert_eq!(twin.read_timeout().unwrap(), None);
        assert_eq!(twin.write_timeout().unwrap(), None);
    }

    #[test]
    fn a_backend_that_is_gone_gives_the_client_back() {
        let (client, mut far) = tcp_pair();
        let (gateway, backend) = UnixStream::pair().unwrap();
        drop(backend);
        let peer = "127.0.0.1:1".parse().unwrap();
        let (mut client, error) =
            hand_over(client, gateway.as_fd(), peer, &Told::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(
            error
                .to_string()
                .starts_with("cannot hand the client over: ")
        );
        client.write_all(b"relay").unwrap();
        let mut five = [0; 5];
        far.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"relay");
    }

    #[test]
    fn the_gateway_holds_no_descriptor_afterwards() {
        let (client, _far) = tcp_pair();
        let number = client.as_raw_fd();
        let inode = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        let (gateway, _backend) = UnixStream::pair().unwrap();
        hand_over(
            client,
            gateway.as_fd(),
            "127.0.0.1:1".parse().unwrap(),
            &Told::default(),
        )
        .unwrap();
        for entry in std::fs::read_dir(Path::new("/proc/self/fd")).unwrap() {
            let target = std::fs::read_link(entry.unwrap().path());
            assert!(target.map_or(true, |target| target != inode));
        }
    }
}
