//! The file and its first user, and the root users after that.

use super::*;

#[test]
fn a_missing_file_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let users = Users::new();
    users.connect();
    let mode = std::fs::metadata(&users.file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let groups = users.sqlite().query_row(
        "SELECT group_concat(id || name) FROM (SELECT * FROM groups ORDER BY id)",
        [],
        |row| row.get::<_, String>(0),
    );
    assert_eq!(groups.expect("groups"), "0root,1anonymous,2users");
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let error = AuthRpc::open("/nowhere/at/all.db")
        .err()
        .expect("no such directory");
    let reason = "cannot open /nowhere/at/all.db: no such file or directory";
    assert_eq!(error.reason(), reason);
}

#[test]
fn the_first_user_is_root_and_only_root_adds_others() {
    let users = Users::new();
    let mut client = users.connect();
    let add = |name: &str| json!({"user": name, "passwd": "p", "group": "users", "home": "/home"});
    assert_eq!(
        call(&mut client, AuthRpc::adduser, add("first")),
        message("user added")
    );
    let denied = Err("permission denied".to_string());
    assert_eq!(call(&mut client, AuthRpc::adduser, add("second")), denied);

    let auth = |name: &str| json!({"user": name, "passwd": "p"});
    let answer = call(&mut client, AuthRpc::auth, auth("first")).expect("the password");
    assert_eq!(
        answer,
        json!({"user": "first", "group": "root", "home": "/home", "algorithm": "argon2id"})
    );
    assert_eq!(
        call(&mut client, AuthRpc::adduser, add("second")),
        message("user added")
    );

    let mut other = users.connect();
    let answer = call(&mut other, AuthRpc::auth, auth("second")).expect("the password");
    assert_eq!(answer["group"], "users");
    assert_eq!(call(&mut other, AuthRpc::adduser, add("third")), denied);
}

#[test]
fn the_first_user_is_added_from_this_machine_alone() {
    let users = Users::new();
    let user = json!({"user": "first", "passwd": "p"});
    for address in [None, Some("192.0.2.1"), Some("2001:db8::1")] {
        let mut client = users.connect_from(address);
        let error = call(&mut client, AuthRpc::adduser, user.clone()).expect_err("not from here");
        assert!(error.starts_with("there is no user yet: start"), "{error}");
        assert!(error.contains("root=NAME"), "{error}");
    }
    let mut client = users.connect_from(Some("::1"));
    call(&mut client, AuthRpc::adduser, user).expect("from here");
    // From elsewhere only the answer for an empty file is another.
    let user = json!({"user": "second", "passwd": "p"});
    let denied = Err("permission denied".to_string());
    for address in [None, Some("192.0.2.1"), Some("127.0.0.1")] {
        let mut client = users.connect_from(address);
        assert_eq!(call(&mut client, AuthRpc::adduser, user.clone()), denied);
    }
}

#[test]
fn the_last_root_stays_while_there_are_others() {
    let users = Users::new();
    let mut root = users.administer();
    call(
        &mut root,
        AuthRpc::adduser,
        json!({"user": "u", "passwd": "p"}),
    )
    .expect("added");
    let stays = Err("the last root user stays".to_string());
    assert_eq!(
        call(&mut root, AuthRpc::rmuser, json!({"user": "admin"})),
        stays
    );
    call(&mut root, AuthRpc::rmuser, json!({"user": "u"})).expect("removed");
    call(&mut root, AuthRpc::rmuser, json!({"user": "admin"})).expect("nobody is left");
}
