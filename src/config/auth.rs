//! Who may come in, as plain data: an `auth` section, of a server or of a part of it.

use std::path::{Path, PathBuf};

use glob::Pattern;

use super::endpoint::Target;

/// Who may come in, and how they log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// How people log in, and who they may be (`type`).
    pub kind: AuthKind,
    /// What browsers show when they ask (`realm`).
    pub realm: String,
    /// Paths that need a login; empty for all but `unprotect` (`protect`).
    pub protect: Vec<Pattern>,
    /// Paths that need none (`unprotect`).
    pub unprotect: Vec<Pattern>,
    /// Groups that may come in; empty for all (`groups`).
    pub groups: Vec<String>,
}

/// How people log in, and who they may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthKind {
    /// Everybody may come in (`"None"`).
    Open,
    /// With user and password (`"Basic"`).
    Basic(AuthUsers),
    /// With user and password that authrpc checks (`"rpc"`): where it listens (`address`), and
    /// whether it is told the client's address (`proxy`).
    Rpc(Target, bool),
    /// By asking another program over HTTP (`"forward"`): where it listens (`address`), and the
    /// path that is asked for (`path`).
    Forward(Target, String),
    /// With a token (`"Bearer"`).
    Bearer(BearerConfig),
    /// With a client certificate whose subject matches (`"certificate"`).
    Certificate(Pattern),
}

/// Where users stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthUsers {
    /// In a file.
    File(PathBuf),
    /// In the configuration.
    One {
        /// The name.
        user: String,
        /// The stored password.
        password: String,
        /// The groups, between commas.
        group: String,
    },
}

/// Which tokens let in; one of `key` and `tokens` is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerConfig {
    /// What JSON Web Tokens are checked with (`algorithm` and `keyfile`).
    pub key: Option<TokenKey>,
    /// File of tokens, each with a user (`tokens`).
    pub tokens: Option<PathBuf>,
    /// Names that a JSON Web Token may be for (`audience`).
    pub audiences: Vec<String>,
    /// Name of the cookie that is a token (`cookie`).
    pub cookie: String,
}

/// What JSON Web Tokens are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// A file that is a secret.
    Hs256(PathBuf),
    /// A PEM file with a public key of P-256.
    Es256(PathBuf),
}

impl BearerConfig {
    fn files(&self) -> Vec<&Path> {
        let key = self.key.as_ref().map(|key| match key {
            TokenKey::Hs256(path) | TokenKey::Es256(path) => path,
        });
        let files = key.into_iter().chain(&self.tokens);
        files.map(PathBuf::as_path).collect()
    }
}

impl AuthConfig {
    /// The files that are read for it.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match &self.kind {
            AuthKind::Basic(AuthUsers::File(path)) => vec![path],
            AuthKind::Bearer(bearer) => bearer.files(),
            _ => Vec::new(),
        }
    }

    /// The program that is asked for it.
    pub(crate) fn target(&self) -> Option<&Target> {
        match &self.kind {
            AuthKind::Rpc(target, _) | AuthKind::Forward(target, _) => Some(target),
            _ => None,
        }
    }
}
