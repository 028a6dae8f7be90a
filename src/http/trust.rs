//! Opening: who may tell the gateway what it cannot see behind a proxy: where a client comes from,
//! and which host and scheme it asked for.
//!
//! A reverse proxy in a `trusted` network tells it in headers (X-Forwarded-For, -Host and -Proto;
//! Forwarded, RFC 7239; X-Real-IP) or in a PROXY protocol header, which `proxy` reads. Other peers
//! are not believed.

use std::net::{IpAddr, SocketAddr};

use crate::config::Network;
use crate::http::authority::Authority;
use crate::http::proxy::Told;
use crate::http::request::Request;

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
/// if that is trusted too, the right-most of the chain that is not, or the left-most if all are
/// trusted. A PROXY header without an address makes the peer itself the client. Port 0 stands for
/// an unknown one.
pub fn source<'a>(
    trusted: &[Network],
    peer: Option<SocketAddr>,
    told: Told,
    chain: impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let mut nearest = match told {
        Told::Nobody => return peer,
        Told::Nothing => peer,
        Told::Source(source) => Some(source),
    };
    let chain: Vec<_> = chain.collect();
    for element in chain.into_iter().rev() {
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

/// The addresses that a request has come through, as the proxies have written them: of the headers
/// for it the first that is there.
pub(crate) fn chain(request: &Request) -> Vec<&str> {
    let own: Vec<_> = request.list("X-Forwarded-For").collect();
    if !own.is_empty() {
        return own;
    }
    let standard: Vec<_> = forwarded(request, "for").collect();
    match standard.is_empty() {
        true => request.header("X-Real-IP").into_iter().collect(),
        false => standard,
    }
}

/// The values of a parameter in the elements of Forwarded (RFC 7239, section 4); an element without
/// it has an empty one.
fn forwarded<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a str> {
    request.list("Forwarded").map(move |element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(own, _)| own.trim().eq_ignore_ascii_case(name));
        let value = value.map_or("", |(_, value)| value.trim().trim_matches('"'));
        // Section 6: IPv6 has brackets, also without a port.
        let bare = value.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        bare.filter(|_| name == "for").unwrap_or(value)
    })
}

/// Takes over which host and scheme a client has asked the proxy in front for: what the nearest
/// proxy has written, which is the last.
pub(crate) fn adopt(request: &mut Request) {
    let host =
        (request.list("X-Forwarded-Host").last()).or_else(|| forwarded(request, "host").last());
    let host = host.filter(|host| Authority::parse(host, 0).is_some());
    let scheme =
        (request.list("X-Forwarded-Proto").last()).or_else(|| forwarded(request, "proto").last());
    let is_https = scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss")
    });
    if let Some(host) = host.map(str::to_owned) {
        request.host = host;
    }
    request.is_https |= is_https;
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

    fn request(lines: &str) -> Request {
        let head = format!("GET / HTTP/1.1\r\nHost: inner.lan\r\n{lines}\r\n\r\n");
        crate::http::request::tests::parse(head.as_bytes()).expect("a good head")
    }

    #[test]
    fn the_chain_is_that_of_the_first_header_there_is() {
        for (lines, wanted) in [
            (
                "X-Forwarded-For: a, b\r\nX-Forwarded-For: c",
                &["a", "b", "c"][..],
            ),
            ("X-Real-IP: 192.0.2.1\r\nX-Forwarded-For: a", &["a"]),
            ("X-Real-IP: 192.0.2.1", &["192.0.2.1"]),
            (
                "Forwarded: for=192.0.2.43;proto=http, For=\"[2001:db8::1]:4711\"",
                &["192.0.2.43", "[2001:db8::1]:4711"],
            ),
            (
                "Forwarded: by=x, for=\"[2001:db8::1]\"; host=h\r\nX-Real-IP: 192.0.2.1",
                &["", "2001:db8::1"],
            ),
            ("X: y", &[]),
        ] {
            assert_eq!(chain(&request(lines)), wanted, "{lines}");
        }
    }

    #[test]
    fn host_and_scheme_are_those_that_the_nearest_proxy_was_asked_for() {
        for (lines, host, is_https) in [
            ("X: y", "inner.lan", false),
            ("X-Forwarded-Host: gw.example.org", "gw.example.org", false),
            (
                "X-Forwarded-Host: evil, gw.example.org:8443",
                "gw.example.org:8443",
                false,
            ),
            ("X-Forwarded-Host: not a host", "inner.lan", false),
            ("X-Forwarded-Proto: HTTPS", "inner.lan", true),
            ("X-Forwarded-Proto: https, http", "inner.lan", false),
            (
                "Forwarded: for=a;host=evil, host=\"gw.lan\";proto=https",
                "gw.lan",
                true,
            ),
        ] {
            let mut request = request(lines);
            adopt(&mut request);
            assert_eq!(
                (&*request.host, request.is_https),
                (host, is_https),
                "{lines}"
            );
        }
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
