//! Opening: whether somebody may come in, by user and password (`auth`; RFC 7617).
//!
//! The users are read at the start and at a reload, never for a request. A right answer is
//! remembered for a minute, wrong ones slow down the address they come from and nobody else.

mod basic;
mod guard;
mod md5_crypt;
mod password;
mod users;

use std::net::IpAddr;

use glob::Pattern;

use crate::config::{AuthConfig, matches};
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use guard::Guard;
use users::Users;
pub(crate) use users::UsersError;

/// Who may come in, where an `auth` section says so.
pub(crate) struct Login {
    config: AuthConfig,
    users: Users,
    guard: Guard,
}

impl Login {
    /// Reads the users of an `auth` section.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn load(config: &AuthConfig) -> Result<Self, UsersError> {
        Ok(Self {
            config: config.clone(),
            users: Users::load(&config.users)?,
            guard: Guard::default(),
        })
    }

    /// Checks who sends a request from an address: the user's name, or `None` where nobody has to
    /// log in.
    ///
    /// # Errors
    /// `LoginNeeded`, `NotInGroup`, or `TooManyFailures` for an address that has to wait.
    pub(crate) fn check(
        &self,
        request: &Request,
        source: Option<IpAddr>,
    ) -> Result<Option<String>, Refusal> {
        if !self.is_protected(request) {
            return Ok(None);
        }
        let needed = || Refusal::LoginNeeded(self.config.realm.clone());
        let Some(value) = request.once("Authorization")? else {
            return Err(needed());
        };
        let credentials = basic::parse(value).ok_or_else(needed)?;
        let user = match self.guard.remembers(&credentials) {
            true => credentials.user,
            false => {
                self.guard.admit(source).map_err(Refusal::TooManyFailures)?;
                if !self.users.check(&credentials) {
                    self.guard.note_failure(source);
                    let realm = self.config.realm.clone();
                    return Err(Refusal::WrongPassword(realm, credentials.user));
                }
                self.guard.remember(&credentials, source);
                credentials.user
            }
        };
        match self.users.is_in_one_of(&user, &self.config.groups) {
            true => Ok(Some(user)),
            false => Err(Refusal::NotInGroup(user)),
        }
    }

    /// Whether one of the names that a request may lead to needs a login.
    fn is_protected(&self, request: &Request) -> bool {
        let path = normal(&request.path);
        let protocols = request.list("Sec-WebSocket-Protocol");
        // A subprotocol can name the service, beneath the path or instead of it.
        let mut names: Vec<_> = protocols
            .flat_map(|name| {
                [
                    format!("{}/{name}", path.trim_end_matches('/')),
                    format!("/{name}"),
                ]
            })
            .collect();
        names.push(path);
        names.iter().any(|name| {
            let listed = |globs: &[Pattern]| globs.iter().any(|glob| matches(glob, name));
            listed(&self.config.protect)
                || self.config.protect.is_empty() && !listed(&self.config.unprotect)
        })
    }
}

/// A path as a service's name is made of it: doubled slashes and one at the end mean nothing, so
/// that no spelling leads past `protect`.
fn normal(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    normal
}

#[cfg(test)]
mod tests;
