//! Logins with user and password in a header (RFC 7617): right ones are remembered for a minute,
//! wrong ones slow down the address they come from and nobody else.

use super::Known;
use super::credentials::{self, Credentials};
use super::guard::Guard;
use crate::client::Client;
use crate::http::challenge::Challenge;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Asks for a user and a password.
pub(super) struct Passwords {
    realm: String,
    guard: Guard,
}

impl Passwords {
    /// Asks in the name of this realm.
    pub(super) fn new(realm: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            guard: Guard::default(),
        }
    }

    /// Checks the user and password of a request. `verify` tells the groups of a user whose
    /// password is right, and `None` for any other.
    ///
    /// # Errors
    /// `LoginNeeded`, `WrongPassword`, `TooManyFailures` for an address that has to wait, and what
    /// `verify` says.
    pub(super) fn check(
        &self,
        request: &Request,
        client: &Client,
        verify: impl FnOnce(&Credentials) -> Result<Option<Vec<String>>, Refusal>,
    ) -> Result<Known, Refusal> {
        let challenge = || Challenge::Basic(self.realm.clone());
        let needed = || Refusal::LoginNeeded(challenge());
        let value = request.once("Authorization")?.ok_or_else(needed)?;
        let credentials = credentials::parse(value).ok_or_else(needed)?;
        if let Some(groups) = self.guard.recall(&credentials) {
            let user = credentials.user;
            return Ok(Known { user, groups });
        }
        let source = client.source().map(|address| address.ip());
        self.guard.admit(source).map_err(Refusal::TooManyFailures)?;
        let Some(groups) = verify(&credentials)? else {
            self.guard.note_failure(source);
            return Err(Refusal::WrongPassword(challenge(), credentials.user));
        };
        self.guard.remember(&credentials, &groups, source);
        let user = credentials.user;
        Ok(Known { user, groups })
    }
}
