//! Listening: TCP sockets, also for an address that this machine does not have yet.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::os::fd::AsRawFd;

use log::warn;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, listen, setsockopt, socket,
    sockopt,
};

/// Binds an address and listens. One that the machine does not have yet is warned of, and its
/// clients are served as soon as it has it. "All addresses" is one socket for IPv6 and IPv4, or
/// IPv4 alone on a kernel without IPv6.
///
/// # Errors
/// As bind(2) and listen(2).
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = match TcpListener::bind(address) {
        Err(error)
            if error.raw_os_error() == Some(libc::EAFNOSUPPORT)
                && address.ip().is_unspecified() =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            let listener = bind_ahead(address)?;
            warn!("{address} is no address of this machine yet; clients are served when it is");
            Ok(listener)
        }
        result => result,
    };
    let listener = bound?;
    // std has listened with a queue of 128; this asks for the longest that the kernel allows
    // (net.core.somaxconn). A full queue drops a client's first packet, which costs it a second.
    listen(&listener, Backlog::MAXALLOWABLE)?;
    Ok(listener)
}

/// Binds an IPv6 address on the interface of this name or index.
///
/// # Errors
/// As [`bind`]; ENODEV if there is no such interface.
pub(super) fn bind_scoped(
    address: Ipv6Addr,
    interface: &str,
    port: u16,
) -> io::Result<TcpListener> {
    let scope = match interface.parse() {
        Ok(index) => index,
        Err(_) => if_nametoindex(interface)?,
    };
    bind(SocketAddrV6::new(address, port, 0, scope).into())
}

/// Binds an address that is not there (IP_FREEBIND, ip(7); Linux has it for IPv6 sockets too). Done
/// at the start, it needs no privilege later.
fn bind_ahead(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::IpFreebind, &true)?;
    nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&fd, Backlog::MAXALLOWABLE)?;
    Ok(fd.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_there_is_bound_ahead() {
        // Documentation addresses (RFC 5737, RFC 3849).
        for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
            let address: SocketAddr = address.parse().expect("an address");
            let local = bind(address)
                .and_then(|listener| listener.local_addr())
                .expect("bound");
            assert_eq!(local.ip(), address.ip());
        }
    }
}
