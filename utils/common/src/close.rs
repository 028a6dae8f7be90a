//! Close codes (RFC 6455, section 7.4).

/// Whether a Close frame may carry a code (section 7.4.1, and the IANA registry of WebSocket close
/// codes for 1012 to 1014).
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_travel_are_sendable() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(!is_sendable(code), "{code}");
        }
        for code in [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
            assert!(is_sendable(code), "{code}");
        }
    }
}
