//! What the gateway says of a client that it hands over, beside the address.

use common::handover::fields;
use common::proxy::{COOKIES, ORIGIN, QUERY, SERVICE, USER};

/// What the gateway knows of a client. A field is `None` where the request has none, or one so
/// long that it did not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The name under which the service was asked for.
    pub service: Option<String>,
    /// The Origin of the page; other clients than browsers have none (RFC 6454).
    pub origin: Option<String>,
    /// The user that has logged in at the gateway.
    pub user: Option<String>,
    /// The query of the request, without its `?`.
    pub query: Option<String>,
    /// The cookies of the request, as its Cookie field has them (RFC 6265, section 4.2).
    pub cookies: Option<String>,
}

impl ClientInfo {
    /// Reads what stands behind the address. Values that are not UTF-8 are skipped.
    pub(crate) fn of(behind: &[u8]) -> Self {
        let mut info = Self::default();
        for (kind, value) in fields(behind) {
            let field = match kind {
                SERVICE => &mut info.service,
                ORIGIN => &mut info.origin,
                USER => &mut info.user,
                QUERY => &mut info.query,
                COOKIES => &mut info.cookies,
                _ => continue,
            };
            *field = str::from_utf8(value).ok().map(str::to_owned);
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_others_skipped() {
        let info = ClientInfo::of(b"WS\x01\xe7\0\x01\x02\xe3\0\x03eva\xe4\0\0\xe0\0\x01\xff");
        let expected = ClientInfo {
            user: Some("eva".into()),
            query: Some(String::new()),
            ..ClientInfo::default()
        };
        assert_eq!(info, expected);
        assert_eq!(ClientInfo::of(b""), ClientInfo::default());
    }
}
