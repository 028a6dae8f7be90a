//! The PROXY protocol, version 2 (HAProxy's document "The PROXY protocol, versions 1 & 2").
//!
//! What both ends share: how a header is laid out, and the TLVs of the gateway's own.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// First bytes of each header (section 2.2).
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the part before the addresses, in bytes (section 2.2).
pub const FIXED: usize = 16;
/// Longest rest that the gateway sends and its servers take, in bytes (our limit; the field has 16
/// bits): query and cookies of a request head, and with the fixed part one packet of 32 KiB.
pub const MAX_REST: usize = 31 * 1024;

/// Version 2 with the command LOCAL: the proxy's own connection, addresses have no meaning (section
/// 2.2).
pub const LOCAL: u8 = 0x20;
/// Version 2 with the command PROXY: the connection is made for somebody else.
pub const PROXY: u8 = 0x21;

/// TLV of the server name that a TLS client asked for: PP2_TYPE_AUTHORITY (section 2.2.2).
pub const AUTHORITY: u8 = 0x02;
/// Our TLVs, from the range for applications (section 2.2.8): the service's name,
pub const SERVICE: u8 = 0xe0;
/// the Origin of the page,
pub const ORIGIN: u8 = 0xe1;
/// the subject of the client's certificate (RFC 4514),
pub const SUBJECT: u8 = 0xe2;
/// the user that has logged in,
pub const USER: u8 = 0xe3;
/// the query, without its `?`,
pub const QUERY: u8 = 0xe4;
/// the cookies, as the Cookie field has them,
pub const COOKIES: u8 = 0xe5;
/// and the client's id, as in the log.
pub const ID: u8 = 0xe6;

/// Which addresses a header has (section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// None: UNSPEC.
    Unspecified,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UNIX streams, which tell nothing about a network.
    Unix,
}

impl Family {
    /// The byte that stands for it.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0x00,
            Self::Tcp4 => 0x11,
            Self::Tcp6 => 0x21,
            Self::Unix => 0x31,
        }
    }

    /// The family that a byte stands for; `None` for datagrams and what has no meaning.
    pub fn of(code: u8) -> Option<Self> {
        let all = [Self::Unspecified, Self::Tcp4, Self::Tcp6, Self::Unix];
        all.into_iter().find(|family| family.code() == code)
    }

    /// Length of both addresses with their ports, in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Tcp4 => 12,
            Self::Tcp6 => 36,
            Self::Unix => 216,
        }
    }

    /// The first of two addresses, and its port behind both.
    pub fn source(self, addresses: &[u8]) -> Option<SocketAddr> {
        let (ip, port): (IpAddr, _) = match self {
            Self::Tcp4 => {
                let ip = addresses.first_chunk::<4>()?;
                (IpAddr::from(*ip), addresses.get(8..10)?)
            }
            Self::Tcp6 => {
                let ip = addresses.first_chunk::<16>()?;
                (Ipv6Addr::from(*ip).to_canonical(), addresses.get(32..34)?)
            }
            Self::Unix | Self::Unspecified => return None,
        };
        let port = u16::from_be_bytes(*port.first_chunk()?);
        Some(SocketAddr::new(ip, port))
    }
}

/// The next TLV: its type, its value, and what follows it (section 2.2.7); `None` where the bytes
/// end within one.
pub fn split_tlv(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [kind, high, low, after @ ..] = bytes else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, rest) = after.split_at_checked(length)?;
    Some((*kind, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_port_are_found() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 1, 0xbb];
        let source = Family::Tcp4.source(&v4).expect("one");
        assert_eq!(source, SocketAddr::from(([192, 0, 2, 1], 0x1234)));
        assert_eq!(Family::Tcp6.source(&v4), None, "too short");
        assert_eq!(Family::Unix.source(&[0; 216]), None);
    }

    #[test]
    fn a_tlv_that_is_cut_is_none() {
        let bytes = [SERVICE, 0, 2, b'a', b'b', ORIGIN, 0, 1];
        let (kind, value, rest) = split_tlv(&bytes).expect("whole");
        assert_eq!((kind, value), (SERVICE, &b"ab"[..]));
        assert_eq!(split_tlv(rest), None);
    }
}
