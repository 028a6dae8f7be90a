//! A host and its port, as `Host` and `Origin` name them (RFC 3986, section 3.2).

use std::net::{IpAddr, Ipv6Addr};

/// Host and port in one spelling (RFC 3986, section 6.2): lower case, no final dot, a port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// A name or an address, IPv6 in brackets.
    pub(crate) host: String,
    /// Its port, or the one that is meant where none is written.
    pub(crate) port: u16,
}

impl Authority {
    /// Reads a host with or without a port; `None` if it is neither a name nor an address.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.rfind(':') {
            // The colons of an IPv6 address stand inside its brackets.
            Some(colon) if !text[colon..].contains(']') => (&text[..colon], &text[colon + 1..]),
            _ => (text, ""),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let good = match within_brackets(host) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => host.bytes().all(plain),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if !good || host.is_empty() {
            return None;
        }
        let port = match port {
            "" => default_port,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether the host is an IP address.
    pub(crate) fn is_address(&self) -> bool {
        let address = within_brackets(&self.host).unwrap_or(&self.host);
        address.parse::<IpAddr>().is_ok()
    }
}

fn within_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}
