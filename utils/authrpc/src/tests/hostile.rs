//! Attacks on the passwords: nobody gets in, or learns why not.

use nix::time::ClockId;

use super::*;

#[test]
fn five_hundred_injections_change_nothing_and_let_nobody_in() {
    let users = Users::new();
    users.administer();
    let before = users.dump();
    let quotes = [
        "'", "\"", "`", "''", "\\'", "\u{0}'", "')", "\u{2bc}", "%27", "]",
    ];
    let tails = [
        " OR 1=1 --",
        " OR ''='",
        "; DROP TABLE users; --",
        "; DELETE FROM users; --",
        " UNION SELECT 0,'admin','root','/','x' --",
        "; UPDATE users SET groupid=0; --",
        "; INSERT INTO users VALUES(9,'x',0,'x','x'); --",
        "/**/OR/**/1",
        " AND sleep(5) --",
        "; ATTACH 'x' AS y; --",
        "||(SELECT passwd FROM users)||",
        "; PRAGMA writable_schema=1; --",
        " LIKE '%' --",
    ];
    let mut count = 0;
    for quote in quotes {
        for tail in tails {
            let text = format!("admin{quote}{tail}");
            // A new connection for each: one has ten tries.
            let mut client = users.connect();
            for (method, params) in [
                (
                    AuthRpc::auth as Method,
                    json!({"user": text, "passwd": "a"}),
                ),
                (AuthRpc::auth, json!({"user": "admin", "passwd": text})),
                (
                    AuthRpc::passwd,
                    json!({"user": text, "old": text, "new": "n", "confirm": "n"}),
                ),
                (AuthRpc::rmuser, json!({"user": text, "passwd": text})),
                (
                    AuthRpc::adduser,
                    json!({"user": text, "passwd": text, "group": text}),
                ),
            ] {
                let answer = call(&mut client, method, params);
                let refused = [
                    "user or password not found",
                    "permission denied",
                    "Invalid params",
                ];
                let error = answer.expect_err("an injection");
                assert!(refused.contains(&&*error), "{text:?}: {error}");
                count += 1;
            }
        }
    }
    assert!(count >= 500, "{count}");
    assert_eq!(users.dump(), before);
}

#[test]
fn an_unknown_user_costs_as_much_as_a_wrong_password() {
    let users = Users::with(&format!(
        "CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
        CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,
            groupid INTEGER, passwd TEXT, home TEXT);
        INSERT INTO users (name, passwd) VALUES ('old', '{TEST}');"
    ));
    let hasher = Hasher::new(Form::Argon2id).expect("valid costs");
    let stored = hasher.store("p").expect("hashed");
    let insert = "INSERT INTO users (name, passwd) VALUES ('new', ?1)";
    users.sqlite().execute(insert, [stored]).expect("inserted");
    let config = format!("{};delay=0", users.file.display());
    let mut client = AuthRpc::open(&config).expect("it opens");
    let mut cost = |user: &str| {
        let before = thread_time();
        let wrong = json!({"user": user, "passwd": "wrong"});
        call(&mut client, AuthRpc::auth, wrong).expect_err("wrong");
        thread_time() - before
    };
    let (new, old, nobody) = (cost("new"), cost("old"), cost("nobody"));
    for time in [old, nobody] {
        assert!(
            time * 3 > new && new * 3 > time,
            "{new:?}, {old:?}, {nobody:?}"
        );
    }
}

/// What this thread has used of a processor: the load of the machine is not in it.
fn thread_time() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock.now().expect("Linux has this clock").into()
}
