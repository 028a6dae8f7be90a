//! Who may come in: the `auth` section of a server.

use std::path::{Path, PathBuf};

use glob::Pattern;

use super::keys::auth::{FILE, GROUP, GROUPS, HOME, PASSWD, PROTECT, REALM, TYPE, UNPROTECT, USER};
use super::keys::{AUTH, IGNORE};
use super::reader::Reader;
use super::schema::Key;

/// A login with user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// What browsers show when they ask (`realm`).
    pub realm: String,
    /// Who may come in (`file`, or `user` and `passwd`).
    pub users: AuthUsers,
    /// Paths that need a login; empty for all but `unprotect` (`protect`).
    pub protect: Vec<Pattern>,
    /// Paths that need none (`unprotect`).
    pub unprotect: Vec<Pattern>,
    /// Groups that may come in; empty for all (`groups`).
    pub groups: Vec<String>,
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

/// Reads the `auth` of a server. `is_open` says that what it hears can be read on the way;
/// relative paths begin at `base`.
pub(crate) fn read(server: &Reader, is_open: bool, base: &Path) -> Option<AuthConfig> {
    if !server.sets(&AUTH) {
        return None;
    }
    if (server.words(&IGNORE)).is_some_and(|words| words.iter().any(|word| word == AUTH.name)) {
        let message = "'auth' of the C gateway has no effect here: everybody may come in";
        server.report.warning(server.span(&AUTH), message);
        return None;
    }
    let reader = server.group(&AUTH)?;
    reader.text(&TYPE);
    if !server.built.auth {
        let message = "this ouistiti was built without logins (feature 'auth')";
        reader.error(&TYPE, message);
    }
    if is_open {
        let message = "passwords can be read on the way: a login without 'tls', unless a proxy \
                       in front speaks it";
        reader.report.warning(reader.here(), message);
    }
    reader.text(&HOME);
    let realm = reader.text(&REALM).unwrap_or_default();
    if realm.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        reader.error(
            &REALM,
            "'realm' has a quote, a backslash or a control character",
        );
    }
    Some(AuthConfig {
        realm,
        users: users(&reader, base)?,
        protect: globs(&reader, &PROTECT),
        unprotect: globs(&reader, &UNPROTECT),
        groups: reader.words(&GROUPS).unwrap_or_default(),
    })
}

fn users(reader: &Reader, base: &Path) -> Option<AuthUsers> {
    let (file, user) = (reader.text(&FILE), reader.text(&USER));
    match (file, user) {
        (Some(file), user) => {
            if user.is_some() {
                let message = "'user' has no effect beside 'file'";
                reader.report.warning(reader.span(&USER), message);
            }
            Some(AuthUsers::File(base.join(file)))
        }
        (None, Some(user)) => Some(AuthUsers::One {
            user,
            password: reader.needed(&PASSWD)?,
            group: reader.text(&GROUP).unwrap_or_default(),
        }),
        (None, None) => {
            reader.missing(&FILE);
            None
        }
    }
}

/// Reads globs of paths. As in the C gateway `^` and `$` may stand around one.
fn globs(reader: &Reader, key: &'static Key) -> Vec<Pattern> {
    let mut globs = Vec::new();
    for word in reader.words(key).unwrap_or_default() {
        let bare = word.strip_prefix('^').unwrap_or(&word);
        let bare = bare.strip_suffix('$').unwrap_or(bare).replace("\\*", "*");
        // Paths begin with a slash, and so does what they are compared with.
        let path = match bare.starts_with(['/', '*']) {
            true => bare,
            false => format!("/{bare}"),
        };
        match Pattern::new(&path) {
            Ok(pattern) => globs.push(pattern),
            Err(error) => reader.bad_glob(key, &word, &error),
        }
    }
    globs
}
