//! Reads an `auth` section, of a server or of a part of it.

mod asked;
mod basic;
mod bearer;

use std::path::Path;

use glob::Pattern;

use super::auth::{AuthConfig, AuthKind};
use super::choices::{AUTH_TYPES, AuthType};
use super::keys::auth::{GROUPS, HOME, OF_TYPES, PROTECT, REALM, SUBJECT, TYPE, UNPROTECT};
use super::keys::{AUTH, IGNORE};
use super::reader::Reader;
use super::schema::Key;

/// What the rest of a server says about its logins.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// What is sent to the server can be read on the way.
    pub(crate) is_open: bool,
    /// Clients are asked for a certificate.
    pub(crate) asks_for_certificates: bool,
    /// Where relative paths begin.
    pub(crate) base: &'a Path,
}

/// Reads the `auth` of a server, or of a part of it.
pub(crate) fn read(of: &Reader, around: Surroundings) -> Option<AuthConfig> {
    if !of.sets(&AUTH) {
        return None;
    }
    if (of.words(&IGNORE)).is_some_and(|words| words.iter().any(|word| word == AUTH.name)) {
        let message = "'auth' of the C gateway has no effect here: everybody may come in";
        of.report.warning(of.span(&AUTH), message);
        return None;
    }
    let reader = of.group(&AUTH)?;
    let kind = kind(&reader)?;
    if !reader.built.auth && kind != AuthType::None {
        let message = "this ouistiti was built without logins (feature 'auth')";
        reader.error(&TYPE, message);
    }
    let secrets = match kind {
        AuthType::Basic | AuthType::Rpc => Some("passwords"),
        AuthType::Bearer => Some("tokens"),
        AuthType::None | AuthType::Forward | AuthType::Certificate => None,
    };
    if let (true, Some(secrets)) = (around.is_open, secrets) {
        let message = format!(
            "{secrets} can be read on the way: a login without 'tls', unless a proxy in front \
             speaks it"
        );
        reader.report.warning(reader.here(), message);
    }
    reader.text(&HOME);
    let realm = realm(&reader);
    warn_of_others(&reader, kind);
    let kind = match kind {
        AuthType::None => AuthKind::Open,
        AuthType::Basic => AuthKind::Basic(basic::read(&reader, around.base)?),
        AuthType::Bearer => AuthKind::Bearer(bearer::read(&reader, around.base)?),
        AuthType::Rpc => asked::rpc(&reader)?,
        AuthType::Forward => asked::forward(&reader)?,
        AuthType::Certificate => AuthKind::Certificate(subject(&reader, around)?),
    };
    Some(AuthConfig {
        kind,
        realm,
        protect: globs(&reader, &PROTECT),
        unprotect: globs(&reader, &UNPROTECT),
        groups: groups(&reader),
    })
}

/// Reads which groups may come in. An empty list is an error: it would let in everybody.
fn groups(reader: &Reader) -> Vec<String> {
    let groups = reader.words(&GROUPS);
    if groups.as_ref().is_some_and(Vec::is_empty) {
        reader.error(
            &GROUPS,
            "'groups' is empty: leave it out, and all users may come in",
        );
    }
    groups.unwrap_or_default()
}

/// Reads the type, whose word stands in any case in files of the C gateway.
fn kind(reader: &Reader) -> Option<AuthType> {
    let word = reader.needed(&TYPE)?;
    let mut types = AUTH_TYPES.iter();
    let found = types.find(|kind| kind.word.eq_ignore_ascii_case(&word));
    if found.is_none() {
        let words = AUTH_TYPES.map(|kind| kind.word).join(", ");
        reader.error(
            &TYPE,
            format!("'type' of auth is one of {words}, not '{word}'"),
        );
    }
    found.map(|kind| kind.value)
}

/// Warns of settings that belong to other types.
fn warn_of_others(reader: &Reader, kind: AuthType) {
    for (key, types) in OF_TYPES {
        if reader.sets(key) && !types.contains(&kind) {
            let message = format!("'{}' has no effect with this 'type' of auth", key.name);
            reader.report.warning(reader.span(key), message);
        }
    }
}

fn realm(reader: &Reader) -> String {
    let realm = reader.text(&REALM).unwrap_or_default();
    if realm.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        reader.error(
            &REALM,
            "'realm' has a quote, a backslash or a control character",
        );
    }
    realm
}

/// Reads the glob of subjects. The server must ask for certificates.
fn subject(reader: &Reader, around: Surroundings) -> Option<Pattern> {
    if !around.asks_for_certificates {
        let message = "type \"certificate\" needs 'tls' with 'cachain' and 'clientauth', or no \
                       client has a certificate";
        reader.error(&TYPE, message);
    }
    let glob = reader.text(&SUBJECT)?;
    match Pattern::new(&glob) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            reader.bad_glob(&SUBJECT, &glob, &error);
            None
        }
    }
}

/// Reads globs of paths. As in the C gateway `^` and `$` may stand around one, and semicolons
/// between them.
fn globs(reader: &Reader, key: &'static Key) -> Vec<Pattern> {
    let mut globs = Vec::new();
    let words = reader.words(key).unwrap_or_default();
    let words = words.iter().flat_map(|word| word.split(';').map(str::trim));
    for word in words.filter(|word| !word.is_empty()) {
        let bare = word.strip_prefix('^').unwrap_or(word);
        let bare = bare.strip_suffix('$').unwrap_or(bare).replace("\\*", "*");
        // Paths begin with a slash, and so does what they are compared with.
        let path = match bare.starts_with(['/', '*']) {
            true => bare,
            false => format!("/{bare}"),
        };
        match Pattern::new(&path) {
            Ok(pattern) => globs.push(pattern),
            Err(error) => reader.bad_glob(key, word, &error),
        }
    }
    globs
}
