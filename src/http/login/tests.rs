//! Tests of `login`: paths, groups, and what a wrong password costs.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use data_encoding::BASE64;
use glob::Pattern;

use super::*;
use crate::config::AuthUsers;
use crate::http::challenge::Challenge;
use crate::http::request::tests::{pair, parse};

mod time;

fn users() -> AuthUsers {
    AuthUsers::One {
        user: "admin".into(),
        // "test"
        password: "$5$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0".into(),
        group: "root, staff".into(),
    }
}

fn login(protect: &[&str], unprotect: &[&str], groups: &[&str]) -> Login {
    let globs = |list: &[&str]| {
        list.iter()
            .map(|glob| Pattern::new(glob).unwrap())
            .collect()
    };
    let config = AuthConfig {
        realm: "router".into(),
        kind: AuthKind::Basic(users()),
        protect: globs(protect),
        unprotect: globs(unprotect),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    Login::load(&config).expect("good users")
}

pub(super) fn request(path: &str, credentials: &str, lines: &str) -> Request {
    let authorization = match credentials {
        "" => String::new(),
        text => format!(
            "Authorization: Basic {}\r\n",
            BASE64.encode(text.as_bytes())
        ),
    };
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{authorization}{lines}\r\n");
    parse(head.as_bytes()).expect("a good head")
}

/// A client that comes from an address.
pub(super) fn client(address: &str) -> Client {
    let client = Client::plain(pair().1);
    let ip: IpAddr = address.parse().expect("an address");
    client.set_source((ip, 1).into());
    client
}

/// Lets a request in, or not: the user.
fn check(login: &Login, mut request: Request, from: &str) -> Result<Option<String>, Refusal> {
    login.admit(&mut request, &client(from))?;
    Ok(request.user)
}

fn status(login: &Login, path: &str, credentials: &str, lines: &str) -> u16 {
    // Each try from an address of its own, so that none has to wait.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let source = Ipv4Addr::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_string();
    let checked = check(login, request(path, credentials, lines), &source);
    checked.map_or_else(|refusal| refusal.status(), |_| 200)
}

#[test]
fn the_right_password_comes_in_and_names_its_user() {
    let login = login(&[], &[], &[]);
    for _ in 0..2 {
        let user = check(&login, request("/", "admin:test", ""), "192.0.2.1");
        assert_eq!(user.expect("right"), Some("admin".to_owned()));
    }
    let asked = check(&login, request("/", "", ""), "192.0.2.1");
    let router = Challenge::Basic("router".into());
    assert!(matches!(asked, Err(Refusal::LoginNeeded(challenge)) if challenge == router));
    let wrong = [
        "admin:Test",
        "Admin:test",
        "other:test",
        "admin:test ",
        ":test",
    ];
    for (host, credentials) in wrong.iter().enumerate() {
        let from = format!("192.0.2.{host}");
        let refused = check(&login, request("/", credentials, ""), &from);
        let refused = refused.expect_err(credentials);
        assert!(matches!(&refused, Refusal::WrongPassword(challenge, _) if *challenge == router));
    }
    let twice = "Authorization: Basic eDp5\r\n";
    assert_eq!(status(&login, "/", "admin:test", twice), 400);
}

#[test]
fn a_user_without_a_password_is_asked_again_and_has_not_guessed() {
    let login = login(&[], &[], &[]);
    for _ in 0..20 {
        let asked = check(&login, request("/", "signed-out:", ""), "192.0.2.1");
        assert!(matches!(asked, Err(Refusal::LoginNeeded(_))), "{asked:?}");
    }
    assert!(check(&login, request("/", "admin:test", ""), "192.0.2.1").is_ok());
}

#[test]
fn guesses_of_one_address_at_a_time_count_as_guesses_one_after_another() {
    let login = login(&[], &[], &[]);
    let guess = |number: u32| {
        let refused = check(
            &login,
            request("/", &format!("admin:{number}"), ""),
            "192.0.2.1",
        );
        refused.expect_err("a guess").status()
    };
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..20).map(|n| scope.spawn(move || guess(n))).collect();
        let statuses = guesses.into_iter().map(|guess| guess.join());
        statuses.map(|status| status.expect("no panic")).collect()
    });
    let checked = statuses.iter().filter(|&&status| status == 401).count();
    assert_eq!(checked, 3, "{statuses:?}");
}

#[test]
fn only_members_of_a_group_come_in_where_groups_are_listed() {
    assert_eq!(
        status(&login(&[], &[], &["staff"]), "/", "admin:test", ""),
        200
    );
    assert_eq!(
        status(&login(&[], &[], &["other"]), "/", "admin:test", ""),
        403
    );
    assert_eq!(
        status(&login(&[], &[], &["other"]), "/", "admin:bad", ""),
        401
    );
}

#[test]
fn no_spelling_of_a_path_leads_past_protect() {
    let some = login(&["/admin", "/admin/*", "/secret"], &["/admin/public"], &[]);
    for (path, protocols, wanted) in [
        ("/", "", 200),
        ("/echo", "", 200),
        ("/administrator", "", 200),
        ("/admin", "", 401),
        ("/admin/x", "", 401),
        ("/admin/public", "", 401),
        ("//admin/x", "", 401),
        ("/admin//x", "", 401),
        ("/%61dmin/x", "", 401),
        ("/%2Fadmin", "", 401),
        ("/admin/", "", 401),
        ("/", "chat, admin", 401),
        ("/nothing", "admin", 401),
        ("/secret", "", 401),
        ("/secret/of/mine", "", 401),
        ("/secrets", "", 200),
    ] {
        let lines = match protocols {
            "" => String::new(),
            list => format!("Sec-WebSocket-Protocol: {list}\r\n"),
        };
        assert_eq!(
            status(&some, path, "", &lines),
            wanted,
            "{path} {protocols}"
        );
    }
    let all = login(&[], &["/public/*", "/"], &[]);
    for (path, protocols, wanted) in [
        ("/public/x", "", 200),
        ("/", "", 200),
        ("/public", "", 401),
        ("/x", "", 401),
        ("/", "echo", 401),
    ] {
        let lines = match protocols {
            "" => String::new(),
            list => format!("Sec-WebSocket-Protocol: {list}\r\n"),
        };
        assert_eq!(status(&all, path, "", &lines), wanted, "{path} {protocols}");
    }
}

#[test]
fn a_login_that_lets_in_nobody_is_known_as_far_as_its_users_are() {
    let (none, staff, other) = (
        Vec::new(),
        vec!["staff".to_owned()],
        vec!["other".to_owned()],
    );
    let basic = Way::Basic(
        Passwords::checked_here("router"),
        Users::load(&users()).expect("good users"),
    );
    assert!(basic.lets_in_one_of(&none) && basic.lets_in_one_of(&staff));
    assert!(!basic.lets_in_one_of(&other));
    // Certificates name no groups.
    let certificate = Way::Certificate(Pattern::new("*").expect("a glob"));
    assert!(certificate.lets_in_one_of(&none) && !certificate.lets_in_one_of(&staff));
    assert!(Way::Open.lets_in_one_of(&other));
}

#[test]
fn twenty_addresses_that_guess_do_not_keep_the_right_user_waiting() {
    let login = login(&[], &[], &[]);
    for round in 0..10 {
        for host in 0..20 {
            let guess = request("/", &format!("admin:{round}"), "");
            let _ = check(&login, guess, &format!("192.0.2.{host}"));
        }
    }
    let guess = check(&login, request("/", "admin:test", ""), "192.0.2.1");
    let refused = guess.expect_err("it has to wait, whatever it says");
    assert_eq!(refused.status(), 429);
    let right = check(&login, request("/", "admin:test", ""), "192.0.2.100");
    assert!(right.is_ok());
}
