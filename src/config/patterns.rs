//! Globs over names of services and over hosts (`allow`, `deny`, `origins`, `hostname`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use glob::{MatchOptions, Pattern, PatternError};

/// Whether a glob matches a text: `*` crosses `/`, and upper and lower case are different.
pub(crate) fn matches(glob: &Pattern, text: &str) -> bool {
    glob.matches_with(text, MatchOptions::new())
}

/// Pages that may connect, beside those of the host and port that they ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// All pages may (`*`).
    pub any: bool,
    /// Pages of the request's own host may, whatever their scheme and port (`same-host`).
    pub same_host: bool,
    /// Pages with the origin `null` may: sandboxed ones, and files in most browsers (`null`).
    pub null: bool,
    /// Pages with an origin that begins with `file:` may (`file`).
    pub file: bool,
    /// Pages of these hosts may.
    pub hosts: Vec<HostPattern>,
}

/// A glob over a host, or over a host and a port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    glob: Pattern,
    /// It has no letters: it stands for IP addresses, and no name may match it.
    is_numeric: bool,
}

impl HostPattern {
    /// Reads a glob. The brackets of an IPv6 address are no set of characters.
    ///
    /// # Errors
    /// Why it is not a glob.
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        let text = text.to_ascii_lowercase();
        let numeric = |c: char| c.is_ascii_digit() || ".:*?[]!-".contains(c);
        Ok(Self {
            is_numeric: text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(numeric),
            glob: Pattern::new(&literal_ipv6(&text).unwrap_or(text))?,
        })
    }

    /// Whether it matches the host in lower case, alone or with its port. A pattern of digits and
    /// dots matches IP addresses only: `192.168.*` is not for `192.168.example.org`.
    pub(crate) fn matches(&self, host: &str, port: u16) -> bool {
        if self.is_numeric && !is_address(host) {
            return false;
        }
        matches(&self.glob, host) || matches(&self.glob, &format!("{host}:{port}"))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.glob.as_str())
    }
}

/// Whether a host is an IP address, IPv6 in brackets (RFC 3986, section 3.2.2).
fn is_address(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// The glob for a text that begins with an IPv6 address in brackets.
fn literal_ipv6(text: &str) -> Option<String> {
    let (address, rest) = text.strip_prefix('[')?.split_once(']')?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(Pattern::escape(&format!("[{address}]")) + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, host: &str) -> bool {
        let pattern = HostPattern::new(glob).expect("a glob");
        pattern.matches(host, 8080)
    }

    #[test]
    fn a_pattern_of_digits_matches_addresses_and_no_name() {
        assert!(matches("192.168.*", "192.168.1.1"));
        assert!(matches("192.168.*:8080", "192.168.1.1"));
        assert!(matches("10.0.0.[1-9]", "10.0.0.7"));
        assert!(!matches("192.168.*", "192.168.example.org"));
        assert!(!matches("192.168.*:8080", "192.168.example.org"));
        assert!(!matches("10.*", "10.evil"));
        assert!(matches("*", "example.org"));
        assert!(matches("*.Example.org", "www.example.org"));
        assert!(matches("h1.*", "h1.lan"));
    }

    #[test]
    fn an_ipv6_address_is_no_set_of_characters() {
        assert!(matches("[::1]", "[::1]") && !matches("[::1]", "1"));
        assert!(matches("[::1]:80*", "[::1]") && !matches("[::1]:81", "[::1]"));
        assert!(matches("h[ab]", "ha"));
    }
}
