//! The users who may come in, from a file or from the configuration itself.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use log::warn;

use super::credentials::Credentials;
use super::password::Stored;
use crate::config::AuthUsers;
use crate::system::reason::reason;

/// Longest file of users, in bytes: some 10 000 of them.
const MAX_FILE: u64 = 1 << 20;

/// Users by name, each with a password and groups.
#[derive(Debug)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// What the password of somebody is checked against who is no user: it costs as much.
    decoy: Option<Stored>,
}

#[derive(Debug)]
struct User {
    password: Stored,
    groups: Vec<String>,
}

/// Why users cannot be had.
#[derive(Debug)]
pub(crate) enum UsersError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than 1 MiB.
    TooLong(PathBuf),
    /// A line of the file is wrong.
    BadLine(PathBuf, usize, &'static str),
    /// The password in the configuration is wrong.
    BadPassword(&'static str),
    /// The type of login needs a feature that this program does not have.
    #[cfg(not(all(feature = "auth_rpc", feature = "auth_forward")))]
    NotBuilt,
}

impl Display for UsersError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                let (path, why) = (path.display(), reason(error));
                write!(f, "cannot read {path}, the 'file' of auth: {why}")
            }
            Self::TooLong(path) => write!(f, "{}: longer than 1 MiB", path.display()),
            Self::BadLine(path, line, why) => write!(
                f,
                "{}:{line}: {why}; a line is user:password:groups:home",
                path.display()
            ),
            #[cfg(not(all(feature = "auth_rpc", feature = "auth_forward")))]
            Self::NotBuilt => f.write_str("'type' of auth: this ouistiti was built without it"),
            Self::BadPassword(why) => write!(f, "'passwd' of auth: {why}"),
        }
    }
}

impl std::error::Error for UsersError {}

impl Users {
    /// Reads the users.
    ///
    /// # Errors
    /// Which file or line cannot be used, and why.
    pub(super) fn load(from: &AuthUsers) -> Result<Self, UsersError> {
        let by_name = match from {
            AuthUsers::File(path) => {
                warn_about_permissions(path);
                parse(path, &read(path)?)?
            }
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

/// The groups of a list between commas.
pub(super) fn groups(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn read(path: &Path) -> Result<String, UsersError> {
    let unreadable = |error| UsersError::Unreadable(path.to_owned(), error);
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    (file.take(MAX_FILE + 1).read_to_string(&mut text)).map_err(unreadable)?;
    match text.len() as u64 {
        length if length > MAX_FILE => Err(UsersError::TooLong(path.to_owned())),
        _ => Ok(text),
    }
}

/// Reads lines `user:password:groups:home`, the last two of which may be missing; empty lines and
/// those that begin with `#` mean nothing.
fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, User>, UsersError> {
    let mut users = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why| UsersError::BadLine(path.to_owned(), number + 1, why);
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

fn warn_about_permissions(path: &Path) {
    let metadata = path.metadata();
    if metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0) {
        warn!(
            "{}: every user of this machine can read the passwords; 'chmod o=' closes it",
            path.display()
        );
    }
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
