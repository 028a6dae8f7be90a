//! Opening: PROXY protocol headers, which tell for whom a connection is made.
//!
//! A header of version 1 or 2 is read before anything else, from peers that `trust` believes. A
//! header of version 2 is sent to a service with `proxy = "v2"` before anything else. Sections are
//! those of HAProxy's document "The PROXY protocol, versions 1 & 2".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

pub(crate) use common::proxy::{AUTHORITY, COOKIES, ID, ORIGIN, QUERY, SERVICE, SUBJECT, USER};
use common::proxy::{FIXED, Family, LOCAL, MAX_REST, PROXY, SIGNATURE, split_tlv};

use crate::client::Client;
use crate::http::peek::{consume, peek};
use crate::http::refusal::Refusal;

/// First bytes of version 1 (section 2.1).
const V1_SIGNATURE: &[u8; 6] = b"PROXY ";
/// Longest line of version 1 with its CRLF, in bytes (section 2.1).
const MAX_V1: usize = 107;
/// Longest header of version 2 taken, in bytes (our limit): what fits the smallest TCP segment
/// every IPv4 host takes (RFC 9293, section 3.7.1).
const MAX_V2: usize = 536;

/// Pause before a look at what follows half a header.
const PAUSE: Duration = Duration::from_millis(5);

/// What the first bytes of a connection are.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// No PROXY header.
    Nothing,
    /// The beginning of one, perhaps.
    Part,
    /// A header of this many bytes, and the address it tells; `None` for UNKNOWN, LOCAL, UNSPEC and
    /// UNIX.
    Header(usize, Option<SocketAddr>),
}

/// What the beginning of a connection tells of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// There was no PROXY header.
    Nothing,
    /// There was one without an address: the client is the peer itself, whatever later headers say.
    Nobody,
    /// The client's address.
    Source(SocketAddr),
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Reads a PROXY header from a trusted peer, and nothing behind it, if the connection begins with
/// one. With TLS it stands before the handshake: `client` is then still plain.
///
/// # Errors
/// `Malformed`; `Timeout` at the deadline, `Gone` when the client leaves.
pub(crate) fn read(client: &Client, deadline: Instant) -> Result<Told, Refusal> {
    let mut buffer = [0; MAX_V2];
    loop {
        let was_last = client.has_left();
        let seen = peek(client, deadline, &mut buffer)?;
        match find(&buffer[..seen])? {
            Found::Nothing => return Ok(Told::Nothing),
            Found::Header(length, source) => {
                consume(client, &mut buffer[..length])?;
                return Ok(source.map_or(Told::Nobody, Told::Source));
            }
            Found::Part if was_last => {
                return Err(Refusal::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
            // A peek returns the same bytes again at once, and they may still become a request.
            Found::Part => crate::system::threads::sleep(PAUSE),
        }
    }
}

/// What a peer that is not trusted gets for a PROXY header.
pub(crate) const NOT_BELIEVED: Refusal =
    Refusal::Malformed("a PROXY protocol header from an address that 'trusted' does not list");

/// Fewest bytes that are taken for the beginning of a PROXY header: four of them, two empty lines,
/// may precede a request.
const MIN_BEGINNING: usize = 5;

/// Whether bytes that are no request begin like a PROXY header.
pub(crate) fn is_beginning(seen: &[u8]) -> bool {
    seen.starts_with(V1_SIGNATURE)
        || seen.len() >= MIN_BEGINNING
            && SIGNATURE.starts_with(&seen[..seen.len().min(SIGNATURE.len())])
}

const MALFORMED: Refusal = Refusal::Malformed("a bad PROXY protocol header");

/// Looks at the first bytes of a connection.
///
/// # Errors
/// `Malformed`.
#[doc(hidden)]
pub fn find(seen: &[u8]) -> Result<Found, Refusal> {
    if seen.starts_with(&SIGNATURE) {
        find_v2(seen)
    } else if seen.starts_with(V1_SIGNATURE) {
        find_v1(seen)
    } else if SIGNATURE.starts_with(seen) || V1_SIGNATURE.starts_with(seen) {
        Ok(Found::Part)
    } else {
        Ok(Found::Nothing)
    }
}

/// Reads version 1 (section 2.1): one line, such as `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`.
fn find_v1(seen: &[u8]) -> Result<Found, Refusal> {
    let seen = &seen[..seen.len().min(MAX_V1)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return match seen.len() {
            MAX_V1 => Err(MALFORMED),
            _ => Ok(Found::Part),
        };
    };
    let line = str::from_utf8(&seen[V1_SIGNATURE.len()..end]).map_err(|_| MALFORMED)?;
    let words: Vec<_> = line.split(' ').collect();
    let ends = match words[..] {
        ["UNKNOWN", ..] => return Ok(Found::Header(end + 2, None)),
        ["TCP4", source, destination, from, to] => {
            endpoint::<Ipv4Addr>(source, from).zip(endpoint::<Ipv4Addr>(destination, to))
        }
        ["TCP6", source, destination, from, to] => {
            endpoint::<Ipv6Addr>(source, from).zip(endpoint::<Ipv6Addr>(destination, to))
        }
        _ => None,
    };
    let (source, _) = ends.ok_or(MALFORMED)?;
    Ok(Found::Header(end + 2, Some(source)))
}

/// Parses an address and a port, which has no sign and no leading zero (section 2.1).
fn endpoint<A: std::str::FromStr + Into<IpAddr>>(ip: &str, port: &str) -> Option<SocketAddr> {
    let is_plain = port == "0" || port.starts_with(|first: char| ('1'..='9').contains(&first));
    let port = port.parse().ok().filter(|_| is_plain)?;
    let address = SocketAddr::new(ip.parse::<A>().ok()?.into(), port);
    Some(canonical(address))
}

/// Reads version 2 (section 2.2): signature, command, family, length; then addresses and TLVs.
fn find_v2(seen: &[u8]) -> Result<Found, Refusal> {
    let &[command, family, high, low] = match seen.get(SIGNATURE.len()..FIXED) {
        Some(fixed) => fixed.first_chunk().expect("four bytes"),
        None => return Ok(Found::Part),
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2 || !matches!(command, LOCAL | PROXY) {
        return Err(MALFORMED);
    }
    let Some(rest) = seen.get(FIXED..length) else {
        return Ok(Found::Part);
    };
    let family = match Family::of(family) {
        _ if command == LOCAL => return Ok(Found::Header(length, None)),
        Some(Family::Unspecified) => return Ok(Found::Header(length, None)),
        Some(family) => family,
        None => return Err(MALFORMED),
    };
    let (addresses, mut tlvs) = rest.split_at_checked(family.length()).ok_or(MALFORMED)?;
    while !tlvs.is_empty() {
        (_, _, tlvs) = split_tlv(tlvs).ok_or(MALFORMED)?;
    }
    Ok(Found::Header(length, family.source(addresses)))
}

/// Makes a version 2 header for a backend: the client's address, ours in the same family, and TLVs,
/// the most important first. A TLV that does not fit what is left of [`MAX_REST`] is left out
/// whole.
pub fn header(
    source: Option<SocketAddr>,
    local: Option<SocketAddr>,
    tlvs: &[(u8, Option<&str>)],
) -> Vec<u8> {
    let mut body = Vec::new();
    let (command, family) = match (source.map(canonical), local.map(canonical)) {
        (None, _) => (LOCAL, Family::Unspecified),
        (Some(SocketAddr::V4(source)), local) => {
            let local = match local {
                Some(SocketAddr::V4(local)) => local,
                _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            };
            body.extend(source.ip().octets());
            body.extend(local.ip().octets());
            body.extend(source.port().to_be_bytes());
            body.extend(local.port().to_be_bytes());
            (PROXY, Family::Tcp4)
        }
        (Some(SocketAddr::V6(source)), local) => {
            let (ip, port) = match local {
                Some(SocketAddr::V6(local)) => (*local.ip(), local.port()),
                Some(SocketAddr::V4(local)) => (local.ip().to_ipv6_mapped(), local.port()),
                None => (Ipv6Addr::UNSPECIFIED, 0),
            };
            body.extend(source.ip().octets());
            body.extend(ip.octets());
            body.extend(source.port().to_be_bytes());
            body.extend(port.to_be_bytes());
            (PROXY, Family::Tcp6)
        }
    };
    for (kind, value) in tlvs {
        let Some(value) = value else { continue };
        // Type and length of a TLV take three bytes.
        let fits = body.len() + 3 + value.len() <= MAX_REST;
        if let (true, Ok(length)) = (fits, u16::try_from(value.len())) {
            body.push(*kind);
            body.extend(length.to_be_bytes());
            body.extend(value.bytes());
        }
    }
    let length = u16::try_from(body.len()).expect("a body has MAX_REST bytes at most");
    let [high, low] = length.to_be_bytes();
    let fixed = [command, family.code(), high, low];
    [&SIGNATURE[..], &fixed, &body].concat()
}

#[cfg(test)]
mod tests;
