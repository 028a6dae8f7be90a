//! Before the 101: what a client that has not logged in is asked for (RFC 9110, section 11.6.1).

use std::fmt::{self, Display, Formatter};

/// The value of `WWW-Authenticate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password for this realm (RFC 7617, section 2.1).
    Basic(String),
    /// A token for this realm, or another one than that which was sent (RFC 6750, section 3).
    Bearer {
        /// The realm.
        realm: String,
        /// Whether the token was wrong.
        is_wrong: bool,
    },
}

impl Challenge {
    /// What is needed, for the person who reads the answer.
    pub(crate) fn body(&self) -> &'static str {
        match self {
            Self::Basic(_) => "a user and a password are needed",
            Self::Bearer { .. } => "a token is needed",
        }
    }
}

impl Display for Challenge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(realm) => write!(f, "Basic realm=\"{realm}\", charset=\"UTF-8\""),
            Self::Bearer { realm, is_wrong } => {
                write!(f, "Bearer realm=\"{realm}\"")?;
                match is_wrong {
                    true => f.write_str(", error=\"invalid_token\""),
                    false => Ok(()),
                }
            }
        }
    }
}
