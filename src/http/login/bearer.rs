//! Logins with a token (RFC 6750): in a header, in the query, since a page can set no header for a
//! WebSocket, or in a cookie.

use std::borrow::Cow;

use super::Known;
use super::error::UsersError;
use super::file;
use super::jwt::{self, Key};
use super::tokens::{Tokens, is_token};
use crate::config::{BearerConfig, TokenKey};
use crate::http::challenge::Challenge;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// The parameter of a query that is a token (RFC 6750, section 2.3).
const PARAMETER: &str = "access_token";

/// Asks for a token.
pub(super) struct Bearer {
    realm: String,
    cookie: String,
    audiences: Vec<String>,
    key: Option<Key>,
    tokens: Option<Tokens>,
}

impl Bearer {
    /// Reads the key and the tokens.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(super) fn load(config: &BearerConfig, realm: &str) -> Result<Self, UsersError> {
        let tokens = config.tokens.as_deref();
        Ok(Self {
            realm: realm.to_owned(),
            cookie: config.cookie.clone(),
            audiences: config.audiences.clone(),
            key: config.key.as_ref().map(key).transpose()?,
            tokens: tokens.map(Tokens::load).transpose()?,
        })
    }

    /// Whether anybody can come in who has to be in one of these groups, if there are any.
    pub(super) fn has_one_in(&self, groups: &[String]) -> bool {
        // A key may sign tokens for users that are not known here.
        let tokens = self.tokens.as_ref().filter(|_| self.key.is_none());
        tokens.is_none_or(|tokens| tokens.has_one_in(groups))
    }

    /// Checks the token of a request, given the one that was taken from its query.
    ///
    /// # Errors
    /// `LoginNeeded` without a token, `BadToken` with one that lets nobody in.
    pub(super) fn check(&self, request: &Request, taken: Option<String>) -> Result<Known, Refusal> {
        let challenge = |is_wrong| Challenge::Bearer {
            realm: self.realm.clone(),
            is_wrong,
        };
        let token = self.token(request, taken)?;
        let token = token.ok_or_else(|| Refusal::LoginNeeded(challenge(false)))?;
        self.user(&token)
            .map_err(|why| Refusal::BadToken(challenge(true), why))
    }

    /// The token of a request: that of the header, of the query or of the cookie.
    fn token<'a>(
        &self,
        request: &'a Request,
        taken: Option<String>,
    ) -> Result<Option<Cow<'a, str>>, Refusal> {
        let header = request.once("Authorization")?.and_then(in_header);
        match (header, taken) {
            // RFC 6750, section 2: one method in a request.
            (Some(_), Some(_)) => Err(Refusal::Malformed("a token in a header and in the query")),
            (Some(token), None) => Ok(Some(token.into())),
            (None, Some(token)) => Ok(Some(token.into())),
            (None, None) => Ok(in_cookie(request, &self.cookie).map(Cow::from)),
        }
    }

    fn user(&self, token: &str) -> Result<Known, &'static str> {
        if !is_token(token) {
            return Err("it has characters that a token has not");
        }
        let found = self.tokens.as_ref().and_then(|tokens| tokens.find(token));
        if let Some((user, groups)) = found {
            return Ok(Known { user, groups });
        }
        match &self.key {
            Some(key) if self.tokens.is_none() || jwt::is_one(token) => {
                let claims = jwt::check(key, &self.audiences, token)?;
                let (user, groups) = (claims.user, claims.groups);
                Ok(Known { user, groups })
            }
            _ => Err("it is not known"),
        }
    }
}

/// Takes the token out of the query of a request, so that it is neither logged nor sent on.
///
/// # Errors
/// `Repeated` if there are two, `BadName` if it cannot be decoded.
pub(super) fn take(request: &mut Request) -> Result<Option<String>, Refusal> {
    request.take_parameter(PARAMETER)
}

fn key(config: &TokenKey) -> Result<Key, UsersError> {
    let (path, key) = match config {
        TokenKey::Hs256(path) => (path, Key::of_secret(&file::read_secret(path)?)),
        TokenKey::Es256(path) => (path, Key::of_pem(&file::read(path)?)),
    };
    key.map_err(|why| UsersError::BadKey(path.clone(), why))
}

/// The token of an Authorization header, if it has one (RFC 6750, section 2.1).
pub fn in_header(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_ours = scheme.eq_ignore_ascii_case("Bearer");
    is_ours.then(|| token.trim_matches(' '))
}

/// The first cookie of a name (RFC 6265, section 5.4: that of the longest path).
pub fn in_cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let cookies = request.headers("Cookie").flat_map(|line| line.split(';'));
    let mut pairs = cookies.filter_map(|cookie| cookie.trim_matches([' ', '\t']).split_once('='));
    let (_, value) = pairs.find(|(own, _)| *own == name)?;
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.unwrap_or(value))
}

#[cfg(test)]
mod tests;
