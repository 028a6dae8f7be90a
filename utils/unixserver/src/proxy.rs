//! Running: who the gateway says its client is (`-P`).
//!
//! With `proxy = "v2"` the gateway begins each connection with a binary header of the PROXY
//! protocol, version 2. It is read only where the administrator said that there is one: a
//! client could otherwise begin with a header of its own and be whom it likes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What each header begins with (PROXY protocol, section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Length of the part before the addresses, in bytes.
pub(crate) const FIXED: usize = 16;

/// Longest rest taken, in bytes; a gateway sends addresses and a few short fields.
const MAX_REST: usize = 8 * 1024;

/// The addresses a header speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4: 12 bytes.
    Inet,
    /// IPv6: 36 bytes.
    Inet6,
    /// None, or of no use to a server.
    Other,
}

/// Reads the fixed part: which addresses follow, and how many bytes in all.
///
/// # Errors
/// `InvalidData` for what is no header of version 2, or too long a one.
pub(crate) fn parse_fixed(fixed: &[u8; FIXED]) -> io::Result<(Family, usize)> {
    let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if !fixed.starts_with(&SIGNATURE) || fixed[12] >> 4 != 2 || rest > MAX_REST {
        return Err(invalid());
    }
    let family = match (fixed[12] & 0x0f, fixed[13] >> 4) {
        (1, 1) => Family::Inet,
        (1, 2) => Family::Inet6,
        // LOCAL connections and UNIX addresses tell nothing about a network.
        _ => Family::Other,
    };
    Ok((family, rest))
}

/// The client's address at the start of `rest`.
///
/// # Errors
/// `InvalidData` if `rest` is too short for its family.
pub(crate) fn parse_source(family: Family, rest: &[u8]) -> io::Result<Option<IpAddr>> {
    match family {
        Family::Inet => match rest.first_chunk::<12>() {
            Some(&[a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(a, b, c, d).into())),
            None => Err(invalid()),
        },
        Family::Inet6 if rest.len() < 36 => Err(invalid()),
        Family::Inet6 => {
            let source = rest.first_chunk::<16>().ok_or_else(invalid)?;
            Ok(Some(Ipv6Addr::from(*source).to_canonical()))
        }
        Family::Other => Ok(None),
    }
}

/// What is said of a connection that begins otherwise.
pub(crate) fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY v2 header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> io::Result<Option<IpAddr>> {
        let mut fixed = [0; FIXED];
        fixed[..12].copy_from_slice(&SIGNATURE);
        fixed[12] = command;
        fixed[13] = family;
        fixed[15] = u8::try_from(rest.len()).expect("test headers are short");
        let (family, length) = parse_fixed(&fixed)?;
        assert_eq!(length, rest.len());
        parse_source(family, rest)
    }

    #[test]
    fn an_ipv4_header_tells_the_source() {
        let rest = [192, 0, 2, 7, 127, 0, 0, 1, 0xc0, 0, 0, 80];
        let address = header(0x21, 0x11, &rest).expect("valid");
        assert_eq!(address, Some("192.0.2.7".parse().expect("an address")));
    }

    #[test]
    fn an_ipv6_header_with_further_fields_tells_the_source() {
        let mut rest = [0; 40];
        rest[..2].copy_from_slice(&[0x20, 0x01]);
        rest[15] = 9;
        let address = header(0x21, 0x21, &rest).expect("valid");
        assert_eq!(address, Some("2001::9".parse().expect("an address")));
    }

    #[test]
    fn a_local_header_tells_no_address() {
        assert_eq!(header(0x20, 0x00, &[]).expect("valid"), None);
    }

    #[test]
    fn short_addresses_and_other_versions_are_refused() {
        assert!(header(0x21, 0x11, &[1, 2, 3]).is_err());
        assert!(header(0x21, 0x21, &[0; 16]).is_err());
        assert!(header(0x11, 0x11, &[0; 12]).is_err());
        assert!(parse_fixed(b"GET / HTTP/1.1\r\n").is_err());
    }
}
