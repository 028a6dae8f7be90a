//! The SQLite file: groups, users and stored passwords.
//!
//! Reads and writes both layouts of the C gateway: passwords in the table of users, or (newer) in a
//! table `passwds` of their own. Values are always bound, never written into the SQL.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rpcplugin::Error;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

/// Longest wait for another program that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The group whose members administer the others.
pub(crate) const ROOT: &str = "root";

/// The tables of a new file.
const TABLES: &str = "
    CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
    INSERT INTO groups (id, name) VALUES (0, 'root'), (1, 'anonymous'), (2, 'users');
    CREATE TABLE users (
        id INTEGER PRIMARY KEY,
        name TEXT UNIQUE NOT NULL,
        groupid INTEGER REFERENCES groups (id),
        passwd TEXT,
        home TEXT
    );";

/// A user as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    pub(crate) home: Option<String>,
    /// The stored form of the password.
    pub(crate) passwd: Option<String>,
}

impl User {
    pub(crate) fn is_root(&self) -> bool {
        self.group.as_deref() == Some(ROOT)
    }
}

/// A user who may be changed, by the user's own will or by that of `root`, as both were when they
/// were read. A change reads them again within its transaction.
pub(crate) struct Owned {
    pub(crate) user: User,
    pub(crate) root: Option<User>,
}

impl Owned {
    fn is_still(&self, sqlite: &Connection, layout: Layout) -> rusqlite::Result<bool> {
        let by = match &self.root {
            Some(root) => is_still(sqlite, layout, root)?,
            None => true,
        };
        Ok(by && is_still(sqlite, layout, &self.user)?)
    }
}

/// By whose will a user is added.
pub(crate) enum By<'a> {
    /// This root user's.
    Root(&'a User),
    /// The operator's, who makes the first user of a file.
    Operator,
}

/// A user to be added.
pub(crate) struct NewUser<'a> {
    pub(crate) name: &'a str,
    /// The stored form of the password.
    pub(crate) passwd: &'a str,
    pub(crate) group: &'a str,
    pub(crate) home: Option<&'a str>,
}

/// The open file.
pub(crate) struct Store {
    sqlite: Connection,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `users.passwd`.
    Users,
    /// `passwds.passwd`; with states of approval if there is a table `status`.
    Passwds { status: bool },
}

impl Store {
    /// Opens the file; makes it and its tables if they are missing.
    pub(crate) fn open(file: &Path) -> Result<Store, Error> {
        // Only the owner may read the passwords.
        match File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
        {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_open(file, &error)),
        }
        // An absolute path, since SQLite gives some names a meaning (":memory:").
        let path = std::path::absolute(file).map_err(|error| cannot_open(file, &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Connection::open_with_flags(path, flags);
        let mut sqlite = sqlite.map_err(|error| cannot_open(file, &error))?;
        let layout = prepare(&mut sqlite).map_err(|error| cannot_open(file, &error))?;
        Ok(Store { sqlite, layout })
    }

    /// The user of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<User>, Error> {
        find(&self.sqlite, self.layout, name).map_err(|error| internal(&error))
    }

    /// Whether there is no user yet.
    pub(crate) fn is_empty(&self) -> Result<bool, Error> {
        is_empty(&self.sqlite).map_err(|error| internal(&error))
    }

    /// Adds a user; the first of all belongs to the group root whatever was asked.
    pub(crate) fn add(&mut self, user: &NewUser<'_>, by: &By<'_>) -> Result<(), Error> {
        let layout = self.layout;
        self.change(|sqlite| {
            let first = is_empty(sqlite)?;
            let allowed = match by {
                By::Root(root) => is_still(sqlite, layout, root)?,
                By::Operator => first,
            };
            if !allowed {
                return Ok(Err(Error::failure("permission denied")));
            }
            let group = if first { ROOT } else { user.group };
            let group = sqlite.query_row("SELECT id FROM groups WHERE name = ?1", [group], |row| {
                row.get::<_, i64>(0)
            });
            let Some(group) = group.optional()? else {
                return Ok(Err(Error::invalid_params("no such group")));
            };
            insert(sqlite, layout, user, group)?;
            Ok(Ok(()))
        })
    }

    /// Changes a user's stored password.
    pub(crate) fn set_passwd(&mut self, owned: &Owned, passwd: &str) -> Result<(), Error> {
        let layout = self.layout;
        let id = owned.user.id;
        self.change(|sqlite| {
            if !owned.is_still(sqlite, layout)? {
                return Ok(Err(not_found()));
            }
            let changed = match layout {
                Layout::Users => sqlite.execute(
                    "UPDATE users SET passwd = ?2 WHERE id = ?1",
                    params![id, passwd],
                )?,
                Layout::Passwds { .. } => sqlite.execute(
                    "UPDATE passwds SET passwd = ?2 WHERE userid = ?1",
                    params![id, passwd],
                )?,
            };
            Ok(if changed > 0 {
                Ok(())
            } else {
                Err(not_found())
            })
        })
    }

    /// Removes a user, unless the others would be without any root.
    pub(crate) fn remove(&mut self, owned: &Owned) -> Result<(), Error> {
        let layout = self.layout;
        let id = owned.user.id;
        self.change(|sqlite| {
            if !owned.is_still(sqlite, layout)? {
                return Ok(Err(not_found()));
            }
            let others = "SELECT count(*), count(groups.id) FROM users
                LEFT JOIN groups ON groups.id = users.groupid AND groups.name = 'root'
                WHERE users.id <> ?1";
            let (others, roots): (i64, i64) =
                sqlite.query_row(others, [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            if others > 0 && roots == 0 {
                return Ok(Err(Error::failure("the last root user stays")));
            }
            if layout != Layout::Users {
                sqlite.execute("DELETE FROM passwds WHERE userid = ?1", [id])?;
            }
            let removed = sqlite.execute("DELETE FROM users WHERE id = ?1", [id])?;
            Ok(if removed > 0 {
                Ok(())
            } else {
                Err(not_found())
            })
        })
    }

    /// Runs a change in a transaction of its own: all of it happens, or nothing.
    fn change(
        &mut self,
        act: impl FnOnce(&Connection) -> rusqlite::Result<Result<(), Error>>,
    ) -> Result<(), Error> {
        let run = || {
            let transaction = self
                .sqlite
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let outcome = act(&transaction)?;
            if outcome.is_ok() {
                transaction.commit()?;
            }
            Ok(outcome)
        };
        run().unwrap_or_else(|error| Err(internal(&error)))
    }
}

/// The answer to a wrong password and to an unknown user alike.
pub(crate) fn not_found() -> Error {
    Error::failure("user or password not found")
}

/// Makes the tables of a new file, or finds the layout of an old one.
fn prepare(sqlite: &mut Connection) -> rusqlite::Result<Layout> {
    sqlite.busy_timeout(BUSY_TIMEOUT)?;
    if !has_table(sqlite, "users")? {
        let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another connection may have been faster.
        if !has_table(&transaction, "users")? {
            transaction.execute_batch(TABLES)?;
        }
        transaction.commit()?;
    }
    if has_table(sqlite, "passwds")? {
        return Ok(Layout::Passwds {
            status: has_table(sqlite, "status")?,
        });
    }
    Ok(Layout::Users)
}

fn has_table(sqlite: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
    sqlite.query_row(query, [name], |row| Ok(row.get::<_, i64>(0)? > 0))
}

fn is_empty(sqlite: &Connection) -> rusqlite::Result<bool> {
    sqlite.query_row("SELECT NOT EXISTS (SELECT 1 FROM users)", [], |row| {
        row.get(0)
    })
}

/// Whether the user is still there, unchanged: the id alone could be another user's by now.
fn is_still(sqlite: &Connection, layout: Layout, user: &User) -> rusqlite::Result<bool> {
    Ok(find(sqlite, layout, &user.name)?.as_ref() == Some(user))
}

fn find(sqlite: &Connection, layout: Layout, name: &str) -> rusqlite::Result<Option<User>> {
    let query = match layout {
        Layout::Users => {
            "SELECT users.id, users.name, groups.name, users.home, users.passwd
            FROM users LEFT JOIN groups ON groups.id = users.groupid
            WHERE users.name = ?1"
        }
        Layout::Passwds { status: false } => {
            "SELECT users.id, users.name, groups.name, users.home, passwds.passwd
            FROM users LEFT JOIN groups ON groups.id = users.groupid
            LEFT JOIN passwds ON passwds.userid = users.id
            WHERE users.name = ?1 LIMIT 1"
        }
        // A user who is not approved, or no longer, has no password.
        Layout::Passwds { status: true } => {
            "SELECT users.id, users.name, groups.name, users.home,
                CASE WHEN status.name IN ('approving', 'repudiated') THEN NULL
                ELSE passwds.passwd END
            FROM users LEFT JOIN groups ON groups.id = users.groupid
            LEFT JOIN passwds ON passwds.userid = users.id
            LEFT JOIN status ON status.id = passwds.statusid
            WHERE users.name = ?1 LIMIT 1"
        }
    };
    let user = sqlite.query_row(query, [name], |row| {
        Ok(User {
            id: row.get(0)?,
            name: row.get(1)?,
            group: row.get(2)?,
            home: row.get(3)?,
            passwd: row.get(4)?,
        })
    });
    user.optional()
}

fn insert(
    sqlite: &Connection,
    layout: Layout,
    user: &NewUser<'_>,
    group: i64,
) -> rusqlite::Result<()> {
    let Layout::Passwds { status } = layout else {
        let insert = "INSERT INTO users (name, groupid, passwd, home) VALUES (?1, ?2, ?3, ?4)";
        sqlite.execute(insert, params![user.name, group, user.passwd, user.home])?;
        return Ok(());
    };
    let insert = "INSERT INTO users (name, groupid, home) VALUES (?1, ?2, ?3)";
    sqlite.execute(insert, params![user.name, group, user.home])?;
    let id = sqlite.last_insert_rowid();
    let insert = if status {
        "INSERT INTO passwds (userid, passwd, statusid)
        VALUES (?1, ?2, (SELECT id FROM status WHERE name = 'activated'))"
    } else {
        "INSERT INTO passwds (userid, passwd) VALUES (?1, ?2)"
    };
    sqlite.execute(insert, params![id, user.passwd])?;
    Ok(())
}

fn internal(error: &rusqlite::Error) -> Error {
    Error::failure("internal error").with(&error.to_string())
}

fn cannot_open(file: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::cannot(&format!("cannot open {}", file.display()), error)
}
