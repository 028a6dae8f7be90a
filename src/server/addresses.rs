//! Opening: counts the clients of each address.

use std::net::IpAddr;

/// Counts clients by address, for `maxperip`. An address is an IPv4 address or an IPv6 network of
/// 64 bits, which is what one subscriber has at the least (RFC 6177).
#[derive(Default)]
pub(super) struct Addresses {
    /// Address and number of clients, sorted by the address.
    counts: Vec<(Key, usize)>,
}

/// Whether it is IPv6, then the bits that are compared.
type Key = (bool, u64);

impl Addresses {
    /// Whether there are `limit` clients of this address.
    pub(super) fn is_full(&self, ip: IpAddr, limit: Option<usize>) -> bool {
        let count = self.find(key(ip)).map_or(0, |at| self.counts[at].1);
        limit.is_some_and(|limit| count >= limit)
    }

    pub(super) fn add(&mut self, ip: IpAddr) {
        match self.find(key(ip)) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (key(ip), 1)),
        }
    }

    /// Takes one client of this address away again.
    pub(super) fn remove(&mut self, ip: IpAddr) {
        if let Ok(at) = self.find(key(ip)) {
            self.counts[at].1 -= 1;
            if self.counts[at].1 == 0 {
                self.counts.remove(at);
            }
        }
    }

    fn find(&self, key: Key) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&key, |&(key, _)| key)
    }
}

fn key(ip: IpAddr) -> Key {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (false, u64::from(ip.to_bits())),
        // The upper half: the subscriber chooses the lower one.
        IpAddr::V6(ip) => (true, (ip.to_bits() >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subscriber_count_as_one() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let mut addresses = Addresses::default();
        addresses.add(ip("2001:db8:1:2::1"));
        addresses.add(ip("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        addresses.add(ip("::ffff:192.0.2.1"));
        assert!(addresses.is_full(ip("2001:db8:1:2::77"), Some(2)));
        assert!(!addresses.is_full(ip("2001:db8:1:3::1"), Some(1)));
        assert!(addresses.is_full(ip("192.0.2.1"), Some(1)));
        assert!(!addresses.is_full(ip("192.0.2.2"), Some(1)));
        assert!(
            !addresses.is_full(ip("192.0.2.1"), None),
            "there is no limit"
        );
        addresses.remove(ip("192.0.2.1"));
        addresses.remove(ip("2001:db8:1:2::1"));
        assert!(!addresses.is_full(ip("192.0.2.1"), Some(1)));
        assert!(!addresses.is_full(ip("2001:db8:1:2::1"), Some(2)));
        assert_eq!(addresses.counts.len(), 1, "what nobody has is forgotten");
    }
}
