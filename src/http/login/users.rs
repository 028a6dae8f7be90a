//! The users who may come in, from a file or from the configuration itself.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::credentials::Credentials;
use super::error::UsersError;
use super::file::{self, groups};
use super::is_in_one_of;
use super::password::Stored;
use crate::config::AuthUsers;

/// What a line of a file is.
const FORM: &str = "user:password:groups:home, or that of shadow(5)";
/// Fields of a line of shadow(5), and which of them is the day on which the account ends.
const SHADOW: usize = 9;
const END: usize = 7;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Names in their order, and who comes in by them; nobody by that of a locked account. (A tree is
/// kilobytes of code.)
type ByName = Vec<(String, Option<Box<User>>)>;

/// Users by name, each with a password and groups.
#[derive(Debug)]
pub struct Users {
    by_name: ByName,
    /// A password of each cost that there is.
    decoys: Vec<Stored>,
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
        match from {
            AuthUsers::File(path) => Self::parse(path, &file::read_text(path)?),
            AuthUsers::One {
                user,
                password,
                group,
            } => {
                let password = Stored::parse(password).map_err(UsersError::BadPassword)?;
                let groups = groups(group);
                let one = Box::new(User { password, groups });
                Ok(Self::new(vec![(user.clone(), Some(one))]))
            }
        }
    }

    /// Reads the text of a file: lines `user:password:groups:home`, the last two of which may be
    /// missing, or lines of shadow(5); empty lines and those that begin with `#` mean nothing.
    ///
    /// # Errors
    /// Which line is wrong, and why.
    pub fn parse(path: &Path, text: &str) -> Result<Self, UsersError> {
        parse(path, text).map(Self::new)
    }

    fn new(by_name: ByName) -> Self {
        let mut decoys: Vec<Stored> = Vec::new();
        for user in by_name.iter().filter_map(|(_, user)| user.as_ref()) {
            let cost = user.password.cost();
            if !decoys.iter().any(|decoy| decoy.cost() == cost) {
                decoys.push(user.password.clone());
            }
        }
        Self { by_name, decoys }
    }

    /// The groups of a user whose password this is, or else `None`. The time tells nobody who is a
    /// user, nor what a password costs.
    pub fn check(&self, credentials: &Credentials) -> Option<Vec<String>> {
        let Credentials { user, password } = credentials;
        let known = self.known(user);
        let mut fits = false;
        for (stored, is_own) in self.to_check(known) {
            fits |= std::hint::black_box(stored.fits(user, password)) && is_own;
        }
        known.filter(|_| fits).map(|known| known.groups.clone())
    }

    /// Whether anybody can come in who has to be in one of these groups, if there are any.
    pub(super) fn has_one_in(&self, groups: &[String]) -> bool {
        let mut users = self.by_name.iter().filter_map(|(_, user)| user.as_deref());
        users.any(|user| is_in_one_of(&user.groups, groups))
    }

    fn known(&self, name: &str) -> Option<&User> {
        let at = position(&self.by_name, name).ok()?;
        self.by_name[at].1.as_deref()
    }

    /// The passwords that a check looks at, one of each cost: that of the user, and decoys.
    fn to_check<'a>(&'a self, known: Option<&'a User>) -> impl Iterator<Item = (&'a Stored, bool)> {
        let own = known.map(|known| &known.password);
        self.decoys.iter().map(move |decoy| {
            let own = own.filter(|own| own.cost() == decoy.cost());
            (own.unwrap_or(decoy), own.is_some())
        })
    }
}

/// Where a name is, or else belongs.
fn position(by_name: &ByName, name: &str) -> Result<usize, usize> {
    by_name.binary_search_by(|(own, _)| own.as_str().cmp(name))
}

fn parse(path: &Path, text: &str) -> Result<ByName, UsersError> {
    let mut users = ByName::new();
    for (number, line) in file::lines(text) {
        let wrong = |why| UsersError::BadLine(path.to_owned(), number, why, FORM);
        let (name, user) = user(line).map_err(wrong)?;
        match position(&users, name) {
            Ok(_) => return Err(wrong("the same user again")),
            Err(at) => users.insert(at, (name.to_owned(), user.map(Box::new))),
        }
    }
    Ok(users)
}

/// Reads a line: a name, and the user if somebody can come in by it.
///
/// # Errors
/// Why it is no line.
fn user(line: &str) -> Result<(&str, Option<User>), &'static str> {
    let fields: Vec<_> = line.split(':').collect();
    let is_shadow = fields.len() == SHADOW;
    let (name, password, of_groups) = match fields[..] {
        [_] => return Err("no password"),
        [name, password] => (name, password, ""),
        [name, password, groups] | [name, password, groups, _] => (name, password, groups),
        [name, password, ..] if is_shadow => (name, password, ""),
        _ => return Err("too many fields"),
    };
    if name.is_empty() {
        return Err("no user");
    }
    if is_shadow && is_locked(&fields) {
        return Ok((name, None));
    }
    if password.is_empty() {
        return Err("an empty password");
    }
    if is_shadow && !password.starts_with('$') {
        return Err("a password in a form that is not known");
    }
    let user = User {
        password: Stored::parse(password)?,
        groups: groups(of_groups),
    };
    Ok((name, Some(user)))
}

/// Whether nobody comes in by a line of shadow(5): no password fits, or the account has ended.
fn is_locked(fields: &[&str]) -> bool {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let today = since.map_or(0, |since| since.as_secs() / DAY);
    let has_ended = fields[END].parse::<u64>().is_ok_and(|end| end <= today);
    fields[1].starts_with(['*', '!']) || has_ended
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

    fn user_of<'a>(users: &'a Users, name: &str) -> &'a User {
        users.known(name).expect("a user whom nobody has locked")
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
        let groups = |user: &str| user_of(&users, user).groups.join(" ");
        assert_eq!(
            [groups("root"), groups("guest"), groups("bare")],
            ["root", "users other", ""]
        );
    }

    #[test]
    fn a_file_of_shadow_is_read_and_locked_accounts_stay_out() {
        let hash = "$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c.";
        let users = users(&format!(
            "root:{hash}:20000:0:99999:7:::\ndaemon:*:0:0:99999:7:::\nold:!:0:0:99999:7:::\n\
             locked:!{hash}:0:0:99999:7:::\nended:{hash}:0:0:99999:7::12000:\n\
             later:{hash}:0:0:99999:7::99999:\n"
        ));
        let users = users.expect("it is good");
        assert!(is_right(&users, "root", "test") && is_right(&users, "later", "test"));
        assert!(user_of(&users, "root").groups.is_empty());
        for (user, password) in [
            ("daemon", "*"),
            ("old", "!"),
            ("locked", "test"),
            ("ended", "test"),
            ("root", hash),
        ] {
            assert!(!is_right(&users, user, password), "{user}");
        }
    }

    #[test]
    fn a_password_of_each_cost_is_checked_whoever_tries() {
        let sha = |form: &str, length: usize| format!("{form}saltsalt${}", ".".repeat(length));
        let users = users(&format!(
            "clear:word\nmd5:$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c.\nother:$1$salt$tTWg0JeO/sYmHvtKmZE8c.\n\
             sha256:{}\nsha512:{}\nrounds:{}\n",
            sha("$5$", 43),
            sha("$6$", 86),
            sha("$6$rounds=9999$", 86),
        ));
        let users = users.expect("it is good");
        let costs = |name: &str| {
            let checked = users.to_check(users.known(name));
            checked.map(|(stored, _)| stored.cost()).collect::<Vec<_>>()
        };
        let all = costs("nobody");
        assert_eq!(all, ["", "$1", "$6$rounds=9999", "$5", "$6"]);
        // One is a decoy for the other.
        assert!(is_right(&users, "clear", "word") && is_right(&users, "md5", "test"));
        assert!(!is_right(&users, "clear", "test") && !is_right(&users, "md5", "word"));
        for name in ["clear", "md5", "other", "sha256", "sha512", "rounds"] {
            let checked = users.to_check(users.known(name));
            let own: Vec<_> = checked.filter(|(_, is_own)| *is_own).collect();
            assert_eq!(own, [(&user_of(&users, name).password, true)], "{name}");
            assert_eq!(costs(name), all, "{name}");
        }
    }

    #[test]
    fn whether_anybody_can_come_in_depends_on_the_groups() {
        let of = |groups: &[&str]| {
            groups
                .iter()
                .map(|&group| group.to_owned())
                .collect::<Vec<_>>()
        };
        let users = users("a:b:staff,root\nc:!x:0:0:99999:7:::\n");
        let users = users.expect("it is good");
        assert!(users.has_one_in(&[]) && users.has_one_in(&of(&["other", "root"])));
        assert!(!users.has_one_in(&of(&["other"])));
        for nobody in ["", "# a:b\n", "c:!x:0:0:99999:7:::\n"] {
            let users = self::users(nobody).expect("it is good");
            assert!(!users.has_one_in(&[]), "{nobody}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, wanted) in [
            ("root:x:0:0:root:/root:/bin/sh\n", ":1: too many fields"),
            ("a:x:0:0:99999:7:::\n", ":1: a password in a form"),
            ("a::0:0:99999:7:::\n", ":1: an empty password"),
            ("a:$y$x:0:0:99999:7:::\n", ":1: a password in a form"),
            ("a:b\nnobody\n", ":2: no password"),
            (":x\n", ":1: no user"),
            ("a::users:/\n", ":1: an empty password"),
            ("a:b\n\na:c\n", ":3: the same user again"),
            ("a:b\na:!b:0:0:99999:7:::\n", ":2: the same user again"),
            ("a:$2y$x\n", ":1: a password in a form that is not known"),
            ("a:$5$SALT$HASH\n", ":1: a damaged $5$ or $6$ password"),
        ] {
            let error = users(text).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
        let missing = Users::load(&AuthUsers::File("/nowhere/users".into()));
        assert!(matches!(missing, Err(UsersError::Unreadable(..))));
    }
}
