//! Logins with user and password in a header (RFC 7617): right ones are remembered for a minute,
//! wrong ones slow down the address they come from and nobody else.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Known;
use super::credentials::{self, Credentials};
use super::guard::Guard;
use super::turns::Turns;
use crate::client::Client;
use crate::http::challenge::Challenge;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Longest wait for another program's check.
#[cfg(feature = "auth_rpc")]
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// The same where the address has failed a moment ago: authrpc lets it wait. Also the longest wait
/// for a check of our own.
const LONG_WAIT: Duration = Duration::from_secs(12);
/// Checks at a time of another program.
#[cfg(feature = "auth_rpc")]
const ASKED: usize = 32;

/// Asks for a user and a password.
pub(super) struct Passwords {
    realm: String,
    guard: Guard,
    turns: Turns,
    /// How long an address waits that has not failed.
    wait: Duration,
}

/// What is to be checked.
pub(super) struct Check<'a> {
    pub(super) credentials: &'a Credentials,
    /// Where the client comes from.
    pub(super) source: Option<IpAddr>,
    /// When the answer must be there.
    pub(super) deadline: Instant,
}

impl Passwords {
    /// Asks in the name of this realm, and checks here: one password at a time, since that takes
    /// the processor.
    pub(super) fn checked_here(realm: &str) -> Self {
        Self::new(realm, 1, LONG_WAIT)
    }

    /// Asks in the name of this realm, and has another program check.
    #[cfg(feature = "auth_rpc")]
    pub(super) fn checked_elsewhere(realm: &str) -> Self {
        Self::new(realm, ASKED, WAIT)
    }

    fn new(realm: &str, checks: usize, wait: Duration) -> Self {
        Self {
            realm: realm.to_owned(),
            guard: Guard::default(),
            // Who guesses learns of each guess before the next one.
            turns: Turns::new(checks, 1),
            wait,
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
        verify: impl FnOnce(&Check) -> Result<Option<Vec<String>>, Refusal>,
    ) -> Result<Known, Refusal> {
        let challenge = || Challenge::Basic(self.realm.clone());
        let needed = || Refusal::LoginNeeded(challenge());
        let value = request.once("Authorization")?.ok_or_else(needed)?;
        let credentials = credentials::parse(value).ok_or_else(needed)?;
        let source = client.source().map(|address| address.ip());
        if let Some(known) = self.recall(&credentials, source)? {
            return Ok(known);
        }
        let is_suspect = self.guard.is_suspect(source, Instant::now());
        let wait = if is_suspect { LONG_WAIT } else { self.wait };
        let deadline = Instant::now() + wait;
        let turn = self.turns.take(source, is_suspect, deadline);
        let turn = turn.ok_or_else(|| {
            Refusal::LoginUnavailable("too many logins are being checked".to_owned())
        })?;
        // A browser sends the same over several connections: one check is enough.
        if let Some(known) = self.recall(&credentials, source)? {
            return Ok(known);
        }
        let check = Check {
            credentials: &credentials,
            source,
            deadline,
        };
        let Some(groups) = verify(&check)? else {
            self.guard.note_failure(source, Instant::now());
            turn.fail();
            return Err(Refusal::WrongPassword(challenge(), credentials.user));
        };
        self.guard
            .remember(&credentials, &groups, source, Instant::now());
        let user = credentials.user;
        Ok(Known { user, groups })
    }

    /// Somebody whose password was right less than a minute ago; `None` if it must be checked.
    ///
    /// # Errors
    /// `TooManyFailures` for an address that has to wait first.
    fn recall(
        &self,
        credentials: &Credentials,
        source: Option<IpAddr>,
    ) -> Result<Option<Known>, Refusal> {
        let now = Instant::now();
        if let Some(groups) = self.guard.recall(credentials, now) {
            let user = credentials.user.clone();
            return Ok(Some(Known { user, groups }));
        }
        self.guard
            .admit(source, now)
            .map_err(Refusal::TooManyFailures)?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
