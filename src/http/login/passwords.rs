//! Logins with user and password in a header (RFC 7617): right ones are remembered for a minute,
//! wrong ones slow down the address they come from and nobody else.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Known;
use super::credentials::{self, Credentials};
use super::guard::Guard;
use super::turns::{Turn, Turns};
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
            // One check at a time of an address: the answer to a guess comes before the next guess.
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
        let credentials = self.credentials(request)?;
        let source = client.source().map(|address| address.ip());
        if let Some(known) = self.recall(&credentials, source)? {
            return Ok(known);
        }
        let (turn, deadline) = self.take_turn(source)?;
        // A browser sends the same over several connections: one check is enough.
        if let Some(known) = self.recall(&credentials, source)? {
            return Ok(known);
        }
        let check = Check {
            credentials: &credentials,
            source,
            deadline,
        };
        let groups = verify(&check)?;
        let (now, user) = (Instant::now(), &credentials.user);
        match groups {
            Some(groups) => {
                self.guard.remember(&credentials, &groups, source, now);
                Ok(Known {
                    user: user.clone(),
                    groups,
                })
            }
            None => {
                self.guard.note_failure(source, now);
                turn.fail();
                Err(Refusal::WrongPassword(self.challenge(), user.clone()))
            }
        }
    }

    /// The user and password that a request has.
    fn credentials(&self, request: &Request) -> Result<Credentials, Refusal> {
        let value = request.once("Authorization")?;
        let credentials = value.and_then(credentials::parse);
        credentials.ok_or_else(|| Refusal::LoginNeeded(self.challenge()))
    }

    fn challenge(&self) -> Challenge {
        Challenge::Basic(self.realm.clone())
    }

    /// Waits for the turn of an address, and returns the end of what its check may take.
    fn take_turn(&self, source: Option<IpAddr>) -> Result<(Turn<'_>, Instant), Refusal> {
        let now = Instant::now();
        let is_suspect = self.guard.is_suspect(source, now);
        let deadline = now + if is_suspect { LONG_WAIT } else { self.wait };
        match self.turns.take(source, is_suspect, deadline) {
            Some(turn) => Ok((turn, deadline)),
            None => {
                let why = "too many logins are being checked".to_owned();
                Err(Refusal::LoginUnavailable(why))
            }
        }
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
