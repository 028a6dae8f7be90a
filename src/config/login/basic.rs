//! `auth` with user and password: where the users stand.

use std::path::Path;

use super::super::auth::AuthUsers;
use super::super::keys::auth::{FILE, GROUP, PASSWD, USER};
use super::super::reader::Reader;

/// Reads where the users stand. Relative paths begin at `base`.
pub(super) fn read(reader: &Reader, base: &Path) -> Option<AuthUsers> {
    let (file, user) = (reader.text(&FILE), reader.text(&USER));
    match (file, user) {
        (Some(file), _) => {
            for (key, cure) in [
                (&USER, ""),
                (&PASSWD, ""),
                (&GROUP, ": 'groups' says who may come in"),
            ] {
                if reader.sets(key) {
                    let message = format!("'{}' has no effect beside 'file'{cure}", key.name);
                    reader.report.warning(reader.span(key), message);
                }
            }
            Some(AuthUsers::File(base.join(file)))
        }
        (None, Some(user)) => {
            // RFC 7617, section 2: a user and a password are sent with a colon between them.
            if user.contains(|c: char| c == ':' || c.is_control()) {
                reader.error(&USER, "'user' has a colon or a control character");
            }
            Some(AuthUsers::One {
                user,
                password: reader.needed(&PASSWD)?,
                group: reader.text(&GROUP).unwrap_or_default(),
            })
        }
        (None, None) => {
            reader.missing(&FILE);
            None
        }
    }
}
