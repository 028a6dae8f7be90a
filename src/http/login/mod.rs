//! Opening: whether somebody may come in (`auth`), and who it is.
//!
//! Each type of login has a file. What it needs is read at the start and at a reload, never for a
//! request.

#[cfg(feature = "auth_forward")]
mod answer;
#[cfg(feature = "bearer")]
mod bearer;
mod certificate;
mod credentials;
mod error;
mod file;
#[cfg(feature = "auth_forward")]
mod forward;
mod guard;
#[cfg(any(feature = "auth_rpc", feature = "bearer"))]
mod json;
#[cfg(feature = "bearer")]
mod jwt;
mod md5_crypt;
mod password;
mod passwords;
mod places;
#[cfg(feature = "auth_rpc")]
mod rpc;
#[cfg(any(feature = "auth_rpc", feature = "auth_forward"))]
mod socket;
#[cfg(feature = "bearer")]
mod tokens;
mod turns;
mod users;

use glob::Pattern;
use log::warn;

use crate::client::Client;
use crate::config::{AuthConfig, AuthKind, matches};
use crate::http::refusal::Refusal;
use crate::http::request::Request;
pub(crate) use error::UsersError;
use passwords::Passwords;
pub(crate) use places::Logins;
use users::Users;

/// What reads the bytes of strangers and of files: for the fuzz targets.
#[cfg(all(feature = "auth_rpc", feature = "auth_forward", feature = "bearer"))]
pub mod readers {
    pub use super::answer::{Answer, Fault};
    pub use super::bearer::{in_cookie, in_header};
    pub use super::credentials::{Credentials, parse as credentials};
    pub use super::json::{Json, quoted};
    pub use super::jwt::{Claims, Key, check_at};
    pub use super::socket::Socket;
    pub use super::tokens::{Tokens, is_token};
    pub use super::users::Users;
}

/// Who may come in, as one `auth` section says.
pub(crate) struct Login {
    protect: Vec<Pattern>,
    unprotect: Vec<Pattern>,
    groups: Vec<String>,
    way: Way,
}

/// How people log in, with what that needs.
enum Way {
    /// There is no login.
    Open,
    /// With user and password, compared with those that were read.
    Basic(Passwords, Users),
    /// With user and password that authrpc checks.
    #[cfg(feature = "auth_rpc")]
    Rpc(Passwords, rpc::Rpc),
    /// Another program is asked over HTTP.
    #[cfg(feature = "auth_forward")]
    Forward(forward::Forward),
    /// With a token.
    #[cfg(feature = "bearer")]
    Bearer(bearer::Bearer),
    /// With a client certificate whose subject matches.
    Certificate(Pattern),
}

/// Somebody who has logged in.
struct Known {
    /// The name; empty where the program that checks tells none.
    user: String,
    groups: Vec<String>,
}

impl Login {
    /// Reads what an `auth` section needs.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn load(config: &AuthConfig) -> Result<Self, UsersError> {
        let way = Way::load(config)?;
        if !way.lets_in_one_of(&config.groups) {
            warn!(
                "auth of the realm '{}': nobody can come in, since no user is in its list, or in \
                 its 'groups'",
                config.realm
            );
        }
        Ok(Self {
            protect: config.protect.clone(),
            unprotect: config.unprotect.clone(),
            groups: config.groups.clone(),
            way,
        })
    }

    /// Checks who sends a request, and notes the user in it where somebody has to log in.
    ///
    /// # Errors
    /// Why the client may not come in.
    pub(crate) fn admit(&self, request: &mut Request, client: &Client) -> Result<(), Refusal> {
        let token = self.way.take_token(request)?;
        request.is_private = token.is_some();
        if self.is_protected(request)
            && let Some(known) = self.way.check(request, token, client)?
        {
            if !is_in_one_of(&known.groups, &self.groups) {
                return Err(Refusal::NotInGroup(known.user));
            }
            request.is_private = true;
            request.user = Some(known.user).filter(|user| !user.is_empty());
        }
        Ok(())
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
        names.iter().any(|name| self.covers(name))
    }

    /// Whether a path is one of those that need a login.
    fn covers(&self, path: &str) -> bool {
        let listed = |globs: &[Pattern], path| globs.iter().any(|glob| matches(glob, path));
        let is_beneath = || ancestors(path).any(|path| listed(&self.protect, path));
        match self.protect.is_empty() {
            true => !listed(&self.unprotect, path),
            false => is_beneath(),
        }
    }

    /// Whether a service of this name is kept from whoever has not logged in.
    #[cfg(feature = "websocket")]
    pub(crate) fn keeps(&self, name: &str) -> bool {
        !matches!(self.way, Way::Open) && self.covers(&format!("/{name}"))
    }
}

impl Way {
    fn load(config: &AuthConfig) -> Result<Self, UsersError> {
        Ok(match &config.kind {
            AuthKind::Open => Self::Open,
            AuthKind::Basic(users) => {
                Self::Basic(Passwords::checked_here(&config.realm), Users::load(users)?)
            }
            #[cfg(feature = "auth_rpc")]
            AuthKind::Rpc(target, tells_address) => Self::Rpc(
                Passwords::checked_elsewhere(&config.realm),
                rpc::Rpc::new(target, *tells_address),
            ),
            #[cfg(feature = "auth_forward")]
            AuthKind::Forward(target, path) => Self::Forward(forward::Forward::new(target, path)),
            #[cfg(feature = "bearer")]
            AuthKind::Bearer(bearer) => Self::Bearer(bearer::Bearer::load(bearer, &config.realm)?),
            #[cfg(not(feature = "auth_rpc"))]
            AuthKind::Rpc(..) => return Err(UsersError::NotBuilt),
            #[cfg(not(feature = "auth_forward"))]
            AuthKind::Forward(..) => return Err(UsersError::NotBuilt),
            #[cfg(not(feature = "bearer"))]
            AuthKind::Bearer(_) => return Err(UsersError::NotBuilt),
            AuthKind::Certificate(subject) => Self::Certificate(subject.clone()),
        })
    }

    /// Whether anybody can come in who has to be in one of these groups, as far as users are known.
    fn lets_in_one_of(&self, groups: &[String]) -> bool {
        match self {
            Self::Basic(_, users) => users.has_one_in(groups),
            #[cfg(feature = "bearer")]
            Self::Bearer(bearer) => bearer.has_one_in(groups),
            // A certificate names no groups.
            Self::Certificate(_) => groups.is_empty(),
            _ => true,
        }
    }

    /// Takes the token out of a query, so that it is neither logged nor sent on.
    fn take_token(&self, request: &mut Request) -> Result<Option<String>, Refusal> {
        #[cfg(not(feature = "bearer"))]
        let _ = request;
        match self {
            #[cfg(feature = "bearer")]
            Self::Bearer(_) => bearer::take(request),
            _ => Ok(None),
        }
    }

    /// Checks who sends a request, given the token that was in its query; `None` where nobody has
    /// to log in.
    fn check(
        &self,
        request: &Request,
        token: Option<String>,
        client: &Client,
    ) -> Result<Option<Known>, Refusal> {
        #[cfg(not(feature = "bearer"))]
        let _ = token;
        match self {
            Self::Open => Ok(None),
            Self::Basic(passwords, users) => passwords
                .check(request, client, |check| Ok(users.check(check.credentials)))
                .map(Some),
            #[cfg(feature = "auth_rpc")]
            Self::Rpc(passwords, rpc) => passwords
                .check(request, client, |check| rpc.check(check))
                .map(Some),
            #[cfg(feature = "auth_forward")]
            Self::Forward(forward) => forward.check(request, client.source()).map(Some),
            #[cfg(feature = "bearer")]
            Self::Bearer(bearer) => bearer.check(request, token).map(Some),
            Self::Certificate(allowed) => certificate::check(client.subject(), allowed).map(Some),
        }
    }
}

/// Whether somebody is in one of these groups; everybody is if there are none.
fn is_in_one_of(own: &[String], groups: &[String]) -> bool {
    groups.is_empty() || own.iter().any(|group| groups.contains(group))
}

/// A path and all that it lies beneath, up to `/`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.rmatch_indices('/').map(|(at, _)| at.max(1));
    std::iter::once(path).chain(ends.map(|end| &path[..end]))
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
