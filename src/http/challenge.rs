//! Before the 101: what a client that has not logged in is asked for (RFC 9110, section 11.6.1).

use std::fmt::{self, Display, Formatter};

/// The value of `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password for this realm (RFC 7617, section 2.1).
    Basic(String),
}

impl Challenge {
    /// What is needed, for the person who reads the answer.
    pub(crate) fn body(&self) -> &'static str {
        match self {
            Self::Basic(_) => "a user and a password are needed",
        }
    }
}

impl Display for Challenge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(realm) => write!(f, "Basic realm=\"{realm}\", charset=\"UTF-8\""),
        }
    }
}
