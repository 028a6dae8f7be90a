//! Opening: who may tell the gateway where a client comes from, and where it comes from then.
//!
//! A reverse proxy in a `trusted` network tells it in X-Forwarded-For or in a PROXY protocol
//! header, which `proxy` reads. Headers of other peers are not believed.

use std::net::{IpAddr, SocketAddr};

use crate::config::Network;
use crate::http::proxy::Told;

/// Whether a peer may speak for others. A peer of a UNIX socket (no address) is a program of this
/// machine: it is trusted if the configuration trusts anybody.
pub fn is_trusted(trusted: &[Network], peer: Option<SocketAddr>) -> bool {
    match peer {
        Some(peer) => is_within(trusted, peer.ip()),
        None => !trusted.is_empty(),
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

/// Where the client of a trusted peer comes from: the address of the PROXY header or of the peer;
/// if that is trusted too, the right-most of X-Forwarded-For that is not, or the left-most if all
/// are trusted. A PROXY header without an address makes the peer itself the client. Port 0 stands
/// for an unknown one.
pub fn source<'a>(
    trusted: &[Network],
    peer: Option<SocketAddr>,
    told: Told,
    forwarded_for: impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let mut nearest = match told {
        Told::Nobody => return peer,
        Told::Nothing => peer,
        Told::Source(source) => Some(source),
    };
    let forwarded_for: Vec<_> = forwarded_for.collect();
    for element in forwarded_for.into_iter().rev() {
        if nearest.is_some_and(|address| !is_within(trusted, address.ip())) {
            break;
        }
        let ip = element.parse().map(|ip| SocketAddr::new(ip, 0));
        // A proxy that is believed has not written an address here (RFC 7239, section 6.2, has
        // `unknown`): nothing left of it has been checked by anybody.
        let Ok(address) = ip.or_else(|_| element.parse::<SocketAddr>()) else {
            break;
        };
        nearest = Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
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
        let source = source(&trusted, peer, Told::Nothing, elements);
        source.unwrap().to_string()
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
    fn in_a_chain_of_trusted_addresses_the_left_most_is_the_client() {
        assert_eq!(told("10.2.3.4"), "10.2.3.4:0");
        assert_eq!(told("10.2.3.4, fd00::1, 10.5.6.7"), "10.2.3.4:0");
        assert_eq!(told("unknown, 10.2.3.4"), "10.2.3.4:0");
    }

    #[test]
    fn a_header_that_leads_nowhere_leaves_the_peer() {
        for header in [
            "unknown",
            "192.0.2.7, unknown",
            "192.0.2.7, 1.2.3",
            "192.0.2.7, ",
        ] {
            assert_eq!(told(header), "10.0.0.1:5000", "{header}");
        }
    }

    #[test]
    fn after_a_proxy_header_without_an_address_the_client_is_the_peer() {
        let trusted = networks(&[("10.0.0.0", 8)]);
        let peer = "10.0.0.1:5000".parse().ok();
        let own = ["198.51.100.1"].into_iter();
        assert_eq!(source(&trusted, peer, Told::Nobody, own), peer);
    }

    #[test]
    fn what_a_client_writes_before_its_proxy_is_ignored() {
        assert_eq!(told("rubbish, 10.0.0.1, 192.0.2.7"), "192.0.2.7:0");
    }

    #[test]
    fn an_address_told_by_a_proxy_header_is_believed_over_a_header_of_its_own() {
        let trusted = networks(&[("10.0.0.0", 8)]);
        let peer = "10.0.0.1:5000".parse().ok();
        let address = "192.0.2.1:99".parse().unwrap();
        let own = ["198.51.100.1"].into_iter();
        let source = source(&trusted, peer, Told::Source(address), own);
        assert_eq!(source, Some(address));
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
    fn a_unix_peer_is_trusted_if_anybody_is() {
        let some = networks(&[("10.0.0.0", 8)]);
        assert!(is_trusted(&some, None));
        assert!(!is_trusted(&[], None));
        assert!(!is_trusted(&some, "192.0.2.1:1".parse().ok()));
        assert!(is_trusted(&some, "10.0.0.1:1".parse().ok()));
    }
}
