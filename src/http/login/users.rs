//! The users who may come in, from a file or from the configuration itself.

use std::collections::BTreeMap;
use std::path::Path;

use super::credentials::Credentials;
use super::error::UsersError;
use super::file::{self, groups};
use super::password::Stored;
use crate::config::AuthUsers;

/// What a line of a file is.
const FORM: &str = "user:password:groups:home";

/// Users by name, each with a password and groups.
#[derive(Debug)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// The password that an unknown user's is compared with, so that both cost the same.
    decoy: Option<Stored>,
}

#[derive(Debug)]
struct User {
    password: Stored,
    groups: Vec<String>,
}

impl Users {
    /// Reads the users.
    ///
    /// # Errors
    /// Which file or line cannot be used, and why.
    pub(super) fn load(from: &AuthUsers) -> Result<Self, UsersError> {
        let by_name = match from {
            AuthUsers::File(path) => parse(path, &file::read_text(path)?)?,
            AuthUsers::One {
                user,
                password,
                group,
            } => {
                let password = Stored::parse(password).map_err(UsersError::BadPassword)?;
                let groups = groups(group);
                BTreeMap::from([(user.clone(), User { password, groups })])
            }
        };
        let mut passwords = by_name.values().map(|user| &user.password);
        // The first one, unless a later one costs more: clear ones cost next to nothing.
        let costly = passwords.clone().find(|password| !password.is_clear());
        let decoy = costly.or_else(|| passwords.next()).cloned();
        Ok(Self { by_name, decoy })
    }

    /// The groups of a user whose password this is, or else `None`. An unknown user costs as much
    /// as a wrong password.
    pub(super) fn check(&self, credentials: &Credentials) -> Option<Vec<String>> {
        let Credentials { user, password } = credentials;
        match self.by_name.get(user) {
            Some(known) => (known.password.fits(user, password)).then(|| known.groups.clone()),
            None => {
                let decoy = self.decoy.as_ref();
                let _ = std::hint::black_box(decoy.map(|decoy| decoy.fits(user, password)));
                None
            }
        }
    }
}

/// Reads lines `user:password:groups:home`, the last two of which may be missing; empty lines and
/// those that begin with `#` mean nothing.
fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, User>, UsersError> {
    let mut users = BTreeMap::new();
    for (number, line) in file::lines(text) {
        let wrong = |why| UsersError::BadLine(path.to_owned(), number, why, FORM);
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        let password = fields.next().ok_or(wrong("no password"))?;
        if name.is_empty() {
            return Err(wrong("no user"));
        }
        if password.is_empty() {
            return Err(wrong("an empty password"));
        }
        let user = User {
            password: Stored::parse(password).map_err(wrong)?,
            groups: groups(fields.next().unwrap_or_default()),
        };
        if users.insert(name.to_owned(), user).is_some() {
            return Err(wrong("the same user again"));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> Result<Users, String> {
        let scratch = crate::system::beneath::tests::Scratch::new();
        let path = scratch.0.join("users");
        std::fs::write(&path, text).expect("a file");
        Users::load(&AuthUsers::File(path)).map_err(|error| error.to_string())
    }

    fn is_right(users: &Users, user: &str, password: &str) -> bool {
        let credentials = Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        users.check(&credentials).is_some()
    }

    #[test]
    fn a_file_of_the_c_gateway_is_read() {
        let users = users(
            "# users\n\nroot:$a5$n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:root:/root\r\n\
             guest:guest:users,other:/home/guest\nbare:word\n",
        );
        let users = users.expect("it is good");
        assert!(is_right(&users, "root", "test") && is_right(&users, "guest", "guest"));
        assert!(is_right(&users, "bare", "word"));
        for (user, password) in [
            ("root", "guest"),
            ("nobody", "test"),
            ("", ""),
            ("guest", ""),
        ] {
            assert!(!is_right(&users, user, password), "{user}");
        }
        let groups = |user: &str| users.by_name[user].groups.join(" ");
        assert_eq!(
            [groups("root"), groups("guest"), groups("bare")],
            ["root", "users other", ""]
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, wanted) in [
            ("a:b\nnobody\n", ":2: no password"),
            (":x\n", ":1: no user"),
            ("a::users:/\n", ":1: an empty password"),
            ("a:b\n\na:c\n", ":3: the same user again"),
            ("a:$2y$x\n", ":1: a password in a form that is not known"),
        ] {
            let error = users(text).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
        let missing = Users::load(&AuthUsers::File("/nowhere/users".into()));
        assert!(matches!(missing, Err(UsersError::Unreadable(..))));
    }
}
