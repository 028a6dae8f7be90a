//! Opening: whom the gateway believes about where a client comes from.
//!
//! A reverse proxy in a `trusted` network tells it in X-Forwarded-For or, read by `proxy`, in a
//! PROXY protocol header. Nobody else is believed.

use std::net::{IpAddr, SocketAddr};

use crate::config::Network;

/// Whether a peer may speak for others. Behind a UNIX socket (no address at either end) are
/// only programs of this machine: trusted wherever somebody is.
pub fn is_trusted(
    trusted: &[Network],
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
) -> bool {
    match (peer, local) {
        (Some(peer), _) => is_within(trusted, peer.ip()),
        (None, None) => !trusted.is_empty(),
        // TCP, and its peer is gone already.
        (None, Some(_)) => false,
    }
}

fn is_within(networks: &[Network], ip: IpAddr) -> bool {
    let (ip, width) = bits(ip);
    networks.iter().any(|network| {
        let (own, own_width) = bits(network.address);
        let free = own_width.saturating_sub(u32::from(network.prefix));
        width == own_width && (own ^ ip).checked_shr(free).unwrap_or(0) == 0
    })
}

/// An address as a number, and its width.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

/// The address nearest to the client that can be believed, when a trusted peer connects for it:
/// that of the PROXY header or the peer itself in `nearest`, and if that is trusted too the
/// right-most of X-Forwarded-For that is not. Port 0 stands for an unknown one.
pub fn source<'a>(
    trusted: &[Network],
    nearest: Option<SocketAddr>,
    forwarded_for: impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    if nearest.is_some_and(|address| !is_within(trusted, address.ip())) {
        return nearest;
    }
    let forwarded_for: Vec<_> = forwarded_for.collect();
    for element in forwarded_for.into_iter().rev() {
        let ip = element.parse().map(|ip| SocketAddr::new(ip, 0));
        match ip.or_else(|_| element.parse()) {
            Ok(address) if is_within(trusted, address.ip()) => {}
            Ok(address) => {
                return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
            }
            // Whoever wrote this, what stands before it is no better.
            Err(_) => break,
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[(&str, u8)]) -> Vec<Network> {
        let network = |&(address, prefix): &(&str, u8)| Network {
            address: address.parse().unwrap(),
            prefix,
        };
        list.iter().map(network).collect()
    }

    /// What `header` tells of a peer at 10.0.0.1, where 10/8 and fd00::/8 are trusted.
    fn told(header: &str) -> String {
        let trusted = networks(&[("10.0.0.0", 8), ("fd00::", 8)]);
        let peer = "10.0.0.1:5000".parse().ok();
        let elements = header.split(',').map(str::trim);
        source(&trusted, peer, elements).unwrap().to_string()
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_client() {
        assert_eq!(told("192.0.2.7"), "192.0.2.7:0");
        assert_eq!(told("198.51.100.9, 192.0.2.7"), "192.0.2.7:0");
        assert_eq!(told("192.0.2.7, 10.9.9.9, fd00::5"), "192.0.2.7:0");
        assert_eq!(told("2001:db8::1, 10.9.9.9"), "[2001:db8::1]:0");
        assert_eq!(told("192.0.2.7:4711"), "192.0.2.7:4711");
        assert_eq!(told("::ffff:192.0.2.7, ::ffff:10.1.1.1"), "192.0.2.7:0");
    }

    #[test]
    fn a_header_that_leads_nowhere_leaves_the_peer() {
        for header in [
            "10.2.3.4",
            "unknown",
            "192.0.2.7, unknown",
            "192.0.2.7, 1.2.3",
            "192.0.2.7, ",
        ] {
            assert_eq!(told(header), "10.0.0.1:5000", "{header}");
        }
    }

    #[test]
    fn what_a_client_writes_before_its_proxy_is_not_looked_at() {
        assert_eq!(told("rubbish, 10.0.0.1, 192.0.2.7"), "192.0.2.7:0");
    }

    #[test]
    fn an_address_told_by_a_proxy_header_is_believed_over_a_header_of_its_own() {
        let trusted = networks(&[("10.0.0.0", 8)]);
        let nearest = "192.0.2.1:99".parse().ok();
        assert_eq!(
            source(&trusted, nearest, ["198.51.100.1"].into_iter()),
            nearest
        );
    }

    #[test]
    fn networks_end_where_their_prefix_says() {
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        for (network, prefix, inside, outside) in [
            ("192.168.4.0", 22, "192.168.7.255", "192.168.8.0"),
            ("192.168.4.9", 22, "::ffff:192.168.4.1", "192.168.3.255"),
            ("10.0.0.1", 32, "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0", 0, "255.255.255.255", "::1"),
            ("2001:db8::", 33, "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::", 0, "ff00::1", "10.0.0.1"),
        ] {
            let networks = networks(&[(network, prefix)]);
            assert!(
                is_within(&networks, peer(inside)),
                "{network}/{prefix} {inside}"
            );
            assert!(
                !is_within(&networks, peer(outside)),
                "{network}/{prefix} {outside}"
            );
        }
    }

    #[test]
    fn a_unix_peer_is_trusted_where_somebody_is_and_a_vanished_tcp_peer_never() {
        let some = networks(&[("10.0.0.0", 8)]);
        let local = "127.0.0.1:80".parse().ok();
        assert!(is_trusted(&some, None, None));
        assert!(!is_trusted(&[], None, None));
        assert!(!is_trusted(&some, None, local));
        assert!(!is_trusted(&[], "10.0.0.1:1".parse().ok(), local));
    }
}
