//! The methods on real files, in both layouts.

mod hostile;
mod interleaving;
mod roots;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rpcplugin::{Error, Json, Params, Plugin};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::AuthRpc;
use crate::password::{Form, Hasher};
use crate::settings::Settings;

/// The newer layout, as far as it concerns us.
const NEWER: &str = "
    CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
    INSERT INTO groups VALUES (0, 'root'), (1, 'anonymous'), (2, 'users');
    CREATE TABLE status (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
    INSERT INTO status VALUES (1, 'approving'), (2, 'activated'), (3, 'repudiated');
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,
        groupid INTEGER DEFAULT 1, home TEXT);
    CREATE TABLE passwds (userid INTEGER NOT NULL, passwd TEXT, issuer TEXT,
        statusid INTEGER DEFAULT 1);";

/// `$a5$` of "test".
const TEST: &str = "$a5$n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";

/// A file of its own, gone with the value.
struct Users {
    file: PathBuf,
}

impl Users {
    fn new() -> Users {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("authrpc-{}-{number}.db", std::process::id());
        let file = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&file);
        Users { file }
    }

    fn with(sql: &str) -> Users {
        let users = Users::new();
        users.sqlite().execute_batch(sql).expect("valid SQL");
        users
    }

    fn sqlite(&self) -> Connection {
        Connection::open(&self.file).expect("the file opens")
    }

    /// A connection of this machine.
    fn connect(&self) -> AuthRpc {
        self.connect_from(Some("127.0.0.1"))
    }

    /// A connection whose passwords are cheap and whose failures do not wait.
    fn connect_from(&self, address: Option<&str>) -> AuthRpc {
        let form = Form::Argon2id;
        let settings = Settings {
            file: self.file.clone(),
            form,
            delay: Duration::ZERO,
            root: None,
        };
        let hasher = Hasher::with_costs(form, 8, 1).expect("valid costs");
        let address = address.map(|address| address.parse().expect("an address"));
        AuthRpc::with(&settings, hasher, address).expect("it opens")
    }

    /// A connection of the root user `admin`, whom it adds.
    fn administer(&self) -> AuthRpc {
        let mut client = self.connect();
        call(
            &mut client,
            AuthRpc::adduser,
            json!({"user": "admin", "passwd": "a"}),
        )
        .expect("the first user");
        call(
            &mut client,
            AuthRpc::auth,
            json!({"user": "admin", "passwd": "a"}),
        )
        .expect("its password");
        client
    }

    fn dump(&self) -> String {
        let sqlite = self.sqlite();
        let mut rows = sqlite
            .prepare("SELECT id, name, groupid, passwd, home FROM users ORDER BY id")
            .expect("the table");
        let rows = rows.query_map([], |row| {
            let column = |index: usize| row.get::<_, rusqlite::types::Value>(index);
            Ok(format!(
                "{:?} {:?} {:?} {:?} {:?}\n",
                column(0)?,
                column(1)?,
                column(2)?,
                column(3)?,
                column(4)?
            ))
        });
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

type Method = fn(&mut AuthRpc, Params<'_>) -> Result<Json, Error>;

fn call(client: &mut AuthRpc, method: Method, params: Value) -> Result<Value, String> {
    let answer = method(client, Params::new(Some(&params.to_string())));
    let parse = |json: Json| serde_json::from_str(json.as_str()).expect("JSON");
    answer
        .map(parse)
        .map_err(|error| error.message.into_owned())
}

fn message(text: &str) -> Result<Value, String> {
    Ok(json!({ "message": text }))
}

#[test]
fn a_home_that_is_not_set_is_left_out() {
    let users = Users::new();
    let mut root = users.administer();
    let auth = json!({"user": "admin", "passwd": "a"});
    let answer = call(&mut root, AuthRpc::auth, auth).expect("the password");
    let expected = json!({"user": "admin", "group": "root", "algorithm": "argon2id"});
    assert_eq!(answer, expected);
}

#[test]
fn a_user_changes_and_removes_only_itself() {
    let users = Users::new();
    let mut root = users.administer();
    call(
        &mut root,
        AuthRpc::adduser,
        json!({"user": "u", "passwd": "p"}),
    )
    .expect("added");
    let mut client = users.connect();
    let passwd = |user: &str, old: &str, new: &str| json!({"user": user, "old": old, "new": new, "confirm": new});
    let not_found = Err("user or password not found".to_string());
    for params in [
        passwd("u", "q", "n"),
        passwd("u", "", "n"),
        passwd("admin", "", "n"),
        passwd("x", "p", "n"),
    ] {
        assert_eq!(call(&mut client, AuthRpc::passwd, params), not_found);
    }
    let changed = call(&mut client, AuthRpc::passwd, passwd("u", "p", "n"));
    assert_eq!(changed, message("password changed"));
    assert_eq!(
        call(
            &mut client,
            AuthRpc::auth,
            json!({"user": "u", "passwd": "p"})
        ),
        not_found
    );
    call(
        &mut client,
        AuthRpc::auth,
        json!({"user": "u", "passwd": "n"}),
    )
    .expect("the new one");

    assert_eq!(
        call(&mut client, AuthRpc::rmuser, json!({"user": "admin"})),
        not_found
    );
    let removed = call(
        &mut client,
        AuthRpc::rmuser,
        json!({"user": "u", "passwd": "n"}),
    );
    assert_eq!(removed, message("user removed"));
}

#[test]
fn root_changes_and_removes_others_without_their_password() {
    let users = Users::new();
    let mut root = users.administer();
    let add = json!({"user": "u", "passwd": "p", "group": "root"});
    call(&mut root, AuthRpc::adduser, add).expect("another root");
    let change = json!({"user": "u", "new": "n", "confirm": "n"});
    assert_eq!(
        call(&mut root, AuthRpc::passwd, change),
        message("password changed")
    );
    // A page may still have root's own password in its field.
    let change = json!({"user": "u", "old": "a", "new": "n", "confirm": "n"});
    call(&mut root, AuthRpc::passwd, change).expect("not its own");
    let own = json!({"user": "admin", "old": "wrong", "new": "n", "confirm": "n"});
    assert!(call(&mut root, AuthRpc::passwd, own).is_err());
    let mut client = users.connect();
    call(
        &mut client,
        AuthRpc::auth,
        json!({"user": "u", "passwd": "n"}),
    )
    .expect("root's choice");
    assert_eq!(
        call(&mut root, AuthRpc::rmuser, json!({"user": "u"})),
        message("user removed")
    );
    // A root connection whose user is gone is root's no longer.
    let denied = Err("permission denied".to_string());
    assert_eq!(
        call(
            &mut client,
            AuthRpc::adduser,
            json!({"user": "v", "passwd": "p"})
        ),
        denied
    );
}

#[test]
fn a_changed_password_ends_what_others_may_do_with_the_old() {
    let users = Users::new();
    let mut root = users.administer();
    let mut thief = users.connect();
    call(
        &mut thief,
        AuthRpc::auth,
        json!({"user": "admin", "passwd": "a"}),
    )
    .expect("the old one");
    let change = json!({"user": "admin", "old": "a", "new": "b", "confirm": "b"});
    call(&mut root, AuthRpc::passwd, change).expect("changed");
    let add = json!({"user": "v", "passwd": "p"});
    assert!(call(&mut thief, AuthRpc::adduser, add.clone()).is_err());
    assert_eq!(
        call(&mut root, AuthRpc::adduser, add),
        message("user added")
    );
}

#[test]
fn a_wrong_password_does_not_sign_out() {
    let users = Users::new();
    let mut root = users.administer();
    let wrong = json!({"user": "admin", "passwd": "b"});
    call(&mut root, AuthRpc::auth, wrong).expect_err("wrong");
    let add = json!({"user": "u", "passwd": "p"});
    assert_eq!(
        call(&mut root, AuthRpc::adduser, add),
        message("user added")
    );
}

#[test]
fn an_incomplete_command_says_so() {
    let users = Users::new();
    let mut root = users.administer();
    let incomplete = Err("incomplete command".to_string());
    for params in [
        json!({}),
        json!({"user": "u"}),
        json!({"user": 1, "passwd": "p"}),
        json!({"user": "u", "passwd": ""}),
    ] {
        assert_eq!(
            call(&mut root, AuthRpc::auth, params.clone()),
            incomplete,
            "{params}"
        );
        assert_eq!(
            call(&mut root, AuthRpc::adduser, params.clone()),
            incomplete,
            "{params}"
        );
        assert_eq!(
            call(&mut root, AuthRpc::passwd, params.clone()),
            incomplete,
            "{params}"
        );
    }
    assert_eq!(call(&mut root, AuthRpc::rmuser, json!({})), incomplete);
    let unconfirmed = json!({"user": "admin", "old": "a", "new": "b", "confirm": "c"});
    let confirm = Err("confirm new password".to_string());
    assert_eq!(call(&mut root, AuthRpc::passwd, unconfirmed), confirm);
    let twice = call(
        &mut root,
        AuthRpc::adduser,
        json!({"user": "admin", "passwd": "p"}),
    );
    assert_eq!(twice, Err("internal error".to_string()));
}

#[test]
fn the_newer_layout_is_read_and_written() {
    let users = Users::with(&format!(
        "{NEWER}
        INSERT INTO users VALUES (1, 'admin', 0, '/root'), (2, 'new', 2, NULL), (3, 'old', 2, NULL);
        INSERT INTO passwds VALUES (1, '{TEST}', NULL, 2), (2, '{TEST}', NULL, 1),
            (3, '{TEST}', NULL, 3);"
    ));
    let mut client = users.connect();
    let auth = |name: &str, passwd: &str| json!({"user": name, "passwd": passwd});
    for name in ["new", "old"] {
        assert!(
            call(&mut client, AuthRpc::auth, auth(name, "test")).is_err(),
            "{name}"
        );
    }
    let answer = call(&mut client, AuthRpc::auth, auth("admin", "test")).expect("activated");
    let expected =
        json!({"user": "admin", "group": "root", "home": "/root", "algorithm": "SHA-256"});
    assert_eq!(answer, expected);
    call(&mut client, AuthRpc::adduser, auth("added", "p")).expect("root adds");
    let mut other = users.connect();
    call(&mut other, AuthRpc::auth, auth("added", "p")).expect("activated at once");
    let change = json!({"user": "added", "old": "p", "new": "n", "confirm": "n"});
    call(&mut other, AuthRpc::passwd, change).expect("changed");
    call(&mut other, AuthRpc::rmuser, auth("added", "n")).expect("removed");
    let left = users
        .sqlite()
        .query_row("SELECT count(*) FROM passwds", [], |row| row.get(0));
    assert_eq!(left, Ok(3));
}
