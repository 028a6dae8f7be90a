//! `auth` with user and password: where the users stand.

use std::path::Path;

use super::super::auth::AuthUsers;
use super::super::keys::auth::{FILE, GROUP, PASSWD, USER};
use super::super::reader::Reader;

/// Reads where the users stand. Relative paths begin at `base`.
pub(super) fn read(reader: &Reader, base: &Path) -> Option<AuthUsers> {
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
