//! Ground: the addresses of a network interface (getifaddrs(3)), and word of their changes.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind,
    recv, socket,
};

/// Returns the addresses that an interface has now, each with this port; none if it is not there. A
/// link-local IPv6 address has the interface as its scope (ipv6(7)).
///
/// # Errors
/// As getifaddrs(3).
pub(crate) fn addresses(interface: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    let addresses = entries.filter_map(|entry| with_port(&entry.address?, port));
    Ok(addresses.collect())
}

/// Whether there is an interface of this name or index.
pub(crate) fn is_there(interface: &str) -> bool {
    interface.parse::<u32>().is_ok() || if_nametoindex(interface).is_ok()
}

/// A socket that becomes readable when an interface gets or loses an address (rtnetlink(7)).
pub(crate) struct Changes(OwnedFd);

impl Changes {
    /// Begins to listen for changes.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkRoute;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        let groups = libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups.cast_unsigned()))?;
        Ok(Self(fd))
    }

    /// Forgets the changes so far: what they were is looked up. Without room for all of them the
    /// kernel reports ENOBUFS once, which is a change too.
    pub(crate) fn forget(&self) {
        let mut message = [0; 4096];
        let flags = MsgFlags::MSG_DONTWAIT;
        while !matches!(recv(self.0.as_raw_fd(), &mut message, flags), Err(error) if error != nix::errno::Errno::ENOBUFS)
        {
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn with_port(address: &SockaddrStorage, port: u16) -> Option<SocketAddr> {
    if let Some(address) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::new(address.ip(), port).into());
    }
    let address = address.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(address.ip(), port, 0, address.scope_id()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address_and_a_missing_one_none() {
        let found = addresses("lo", 80).expect("interfaces");
        assert!(found.contains(&([127, 0, 0, 1], 80).into()), "{found:?}");
        assert!(addresses("nowhere0", 80).expect("interfaces").is_empty());
    }
}
