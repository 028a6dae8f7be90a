//! Ground: the addresses of a network interface (getifaddrs(3)).

use std::io;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Returns the addresses that an interface has now, each with this port; none if it is not there.
/// A link-local IPv6 address has the interface as its scope (ipv6(7)).
///
/// # Errors
/// As getifaddrs(3).
pub(crate) fn addresses(interface: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let entries = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    let addresses = entries.filter_map(|entry| with_port(&entry.address?, port));
    Ok(addresses.collect())
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
