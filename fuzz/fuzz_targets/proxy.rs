//! PROXY headers (`proxy`, `trust`): read as another parser reads them, the same however they
//! arrive, and ours read back; X-Forwarded-For believed no further than it may be.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use ouistiti::parts::config::Network;
use ouistiti::parts::http::{self, Found, Told};
use ppp::{HeaderResult, v1, v2};

/// Longest header that is read, in bytes.
const MAX_HEADER: usize = 536;

/// Longest header that is sent, in bytes.
const MAX_OWN: usize = common::proxy::FIXED + common::proxy::MAX_REST;

fn canonical(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

/// The length and the source of a header that the other parser takes.
fn they_find(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => {
            let source = match header.addresses {
                v1::Addresses::Unknown => None,
                v1::Addresses::Tcp4(ip) => Some(canonical(ip.source_address, ip.source_port)),
                v1::Addresses::Tcp6(ip) => Some(canonical(ip.source_address, ip.source_port)),
            };
            Some((header.header.len(), source))
        }
        HeaderResult::V2(Ok(header)) => {
            let source = match header.addresses {
                _ if header.command == v2::Command::Local => None,
                v2::Addresses::IPv4(ip) => Some(canonical(ip.source_address, ip.source_port)),
                v2::Addresses::IPv6(ip) => Some(canonical(ip.source_address, ip.source_port)),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
            };
            Some((header.header.len(), source))
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}

/// Each part of a header is the beginning of one; bytes behind it change nothing.
fn check_parts(bytes: &[u8], whole: &Found) {
    for cut in 1..bytes.len().min(MAX_HEADER + 1) {
        let part = http::find(&bytes[..cut]);
        match whole {
            Found::Header(length, _) if cut < *length => {
                assert_eq!(part.ok(), Some(Found::Part), "{cut} of {length} bytes");
            }
            Found::Part => assert_eq!(part.ok(), Some(Found::Part), "{cut} bytes"),
            Found::Header(..) | Found::Nothing => return,
        }
    }
}

/// A header of ours, its addresses and texts made of the input.
fn check_own(bytes: &[u8]) {
    let Some((numbers, text)) = bytes.split_at_checked(12) else {
        return;
    };
    let port = u16::from_be_bytes([numbers[0], numbers[1]]);
    let octets: [u8; 4] = [numbers[2], numbers[3], numbers[4], numbers[5]];
    let mut wide = [0; 16];
    wide[..10].copy_from_slice(&numbers[2..]);
    let address = |kind: u8| match kind % 3 {
        0 => None,
        1 => Some(SocketAddr::new(octets.into(), port)),
        _ => Some(SocketAddr::new(wide.into(), port)),
    };
    let source = address(numbers[0]);
    let text = String::from_utf8_lossy(text);
    let (name, origin) = text.split_once('\n').unwrap_or((&text, ""));
    let header = http::header(
        source,
        address(numbers[1]),
        &[
            (common::proxy::SERVICE, Some(name)),
            (common::proxy::ORIGIN, Some(origin)),
        ],
    );
    assert!(header.len() <= MAX_OWN);
    if header.len() > MAX_HEADER {
        return;
    }
    let wanted = source.map(|source| canonical(source.ip(), source.port()));
    let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
    let found = http::find(&followed).expect("it is good");
    assert_eq!(found, Found::Header(header.len(), wanted));
    assert_eq!(they_find(&followed), Some((header.len(), wanted)));
}

/// Whatever X-Forwarded-For says: the client is an address in it or the peer, and no address right
/// of it is one that is not trusted.
fn check_forwarded_for(bytes: &[u8]) {
    let trusted = [("10.0.0.0", 8), ("fd00::", 8)].map(|(address, prefix)| Network {
        address: address.parse().expect("an address"),
        prefix,
    });
    let peer = "10.0.0.1:5000".parse().ok();
    let text = String::from_utf8_lossy(bytes);
    let elements = text.split(',').map(str::trim);
    let source = http::source(&trusted, peer, Told::Nothing, elements.clone());
    if source == peer {
        return;
    }
    let source = source.expect("there is always the peer");
    let address = |element: &str| {
        let address = (element.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)))
            .or_else(|_| element.parse::<SocketAddr>());
        address
            .ok()
            .map(|address| canonical(address.ip(), address.port()))
    };
    let mut right_of_it = elements
        .rev()
        .map(address)
        .take_while(|found| *found != Some(source));
    let is_proxy = |found: Option<SocketAddr>| http::is_trusted(&trusted, found);
    assert!(right_of_it.all(is_proxy), "{source} of {text}");
    assert!(
        text.split(',')
            .any(|element| address(element.trim()) == Some(source)),
        "{text}"
    );
}

fuzz_target!(|bytes: &[u8]| {
    check_own(bytes);
    check_forwarded_for(bytes);
    if bytes.is_empty() {
        return;
    }
    let Ok(found) = http::find(bytes) else {
        return;
    };
    check_parts(bytes, &found);
    if let Found::Header(length, source) = found {
        assert!(length <= bytes.len().min(MAX_HEADER));
        // They look at what LOCAL and UNKNOWN want to be passed over (sections 2.1, 2.2).
        let theirs = they_find(bytes);
        match source {
            Some(_) => assert_eq!(theirs, Some((length, source))),
            None => assert!(theirs.is_none_or(|(_, source)| source.is_none())),
        }
    }
});
