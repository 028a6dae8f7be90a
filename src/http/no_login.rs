//! Opening: everybody may come in, in a build without the feature `auth`.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::config::AuthConfig;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Who may come in. A configuration that limits it is refused before this is made.
pub(crate) struct Login;

/// Why users cannot be had: there is no reason.
#[derive(Debug)]
pub(crate) enum UsersError {}

impl Display for UsersError {
    fn fmt(&self, _: &mut Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[expect(clippy::unnecessary_wraps, clippy::unused_self)]
impl Login {
    pub(crate) fn load(_: &AuthConfig) -> Result<Self, UsersError> {
        Ok(Self)
    }

    pub(crate) fn check(&self, _: &Request, _: Option<IpAddr>) -> Result<Option<String>, Refusal> {
        Ok(None)
    }
}
