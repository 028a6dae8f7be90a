//! Opening: everybody may come in, in a build without the feature `auth`.

use std::fmt::{self, Display, Formatter};

use crate::client::Client;
use crate::config::ServerConfig;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Who may come in. A configuration that limits it is refused before this is made.
pub(crate) struct Logins;

/// What somebody needs to come in: there is none.
pub(crate) enum Login {}

/// Why users cannot be had: there is no reason.
#[derive(Debug)]
pub(crate) enum UsersError {}

impl Display for UsersError {
    fn fmt(&self, _: &mut Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

#[expect(clippy::unnecessary_wraps, clippy::unused_self)]
impl Logins {
    pub(crate) fn load(_: &ServerConfig) -> Result<Self, UsersError> {
        Ok(Self)
    }

    pub(crate) fn of_files(&self) -> Option<&Login> {
        None
    }

    pub(crate) fn of_service(&self, _: Option<usize>) -> Option<&Login> {
        None
    }
}

impl Login {
    #[cfg(feature = "websocket")]
    pub(crate) fn keeps(&self, _: &str) -> bool {
        match *self {}
    }

    pub(crate) fn admit(&self, _: &mut Request, _: &Client) -> Result<(), Refusal> {
        match *self {}
    }
}
