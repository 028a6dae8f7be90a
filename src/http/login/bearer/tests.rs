//! Tests of `bearer`: where a token stands in a request.

use super::*;
use crate::http::request::tests::parse;
use crate::system::beneath::tests::Scratch;

const TOKEN: &str = "a-token+of/16-or~more.=";

fn bearer() -> Bearer {
    let scratch = Scratch::new();
    let path = scratch.0.join("tokens");
    std::fs::write(&path, format!("{TOKEN}:anna:staff\n")).expect("a file");
    let config = BearerConfig {
        key: None,
        tokens: Some(path),
        audiences: Vec::new(),
        cookie: "session".into(),
    };
    Bearer::load(&config, "router").expect("good tokens")
}

/// The user or the status of a request, and its target afterwards.
fn ask(target: &str, lines: &str) -> (Result<String, u16>, String) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut request = parse(head.as_bytes()).expect("a good head");
    let bearer = bearer();
    let known = take(&mut request);
    let known = known.and_then(|taken| bearer.check(&request, taken));
    let user = known.map(|known| known.user).map_err(|why| why.status());
    assert_eq!(
        request.target.split_once('?').map(|(_, query)| query),
        request.query.as_deref()
    );
    (user, request.target)
}

#[test]
fn a_token_stands_in_a_header_a_query_or_a_cookie() {
    let encoded = "a-token%2Bof%2f16-or~more.%3D";
    for (target, lines) in [
        ("/x", format!("Authorization: Bearer {TOKEN}\r\n")),
        ("/x", format!("authorization: bEARER   {TOKEN}\r\n")),
        (&*format!("/x?access_token={TOKEN}"), String::new()),
        (&*format!("/x?access_token={encoded}"), String::new()),
        (&*format!("/x?acces%73_token={encoded}"), String::new()),
        ("/x", format!("Cookie: a=b; session={TOKEN}; c=d\r\n")),
        (
            "/x",
            format!("Cookie: a=b\r\nCookie: session=\"{TOKEN}\"\r\n"),
        ),
        (
            "/x",
            format!("Authorization: Basic eDp5\r\nCookie: session={TOKEN}\r\n"),
        ),
        // A cookie comes with every request: what the request itself says counts.
        (
            "/x",
            format!("Authorization: Bearer {TOKEN}\r\nCookie: session=old\r\n"),
        ),
    ] {
        let anna = (Ok("anna".to_owned()), "/x".to_owned());
        assert_eq!(ask(target, &lines), anna, "{target} {lines}");
    }
}

#[test]
fn anything_else_lets_nobody_in() {
    let twice = format!("Authorization: Bearer {TOKEN}\r\n").repeat(2);
    for (target, lines, status) in [
        ("/", "", 401),
        ("/?access_token", "", 401),
        ("/?access_token=", "", 401),
        ("/?access_token=a%20b", "", 401),
        ("/?access_token=%", "", 400),
        ("/?access_token=%ff", "", 400),
        ("/?access_token=a&access_token=b", "", 400),
        ("/?Access_token=a-token+of/16-or~more.=", "", 401),
        ("/", "Authorization: Bearer\r\n", 401),
        ("/", "Authorization: Bearer \r\n", 401),
        ("/", "Authorization: Bearer a b\r\n", 401),
        ("/", "Authorization: Bearer ====\r\n", 401),
        ("/", "Authorization: Bearer a.b.c\r\n", 401),
        ("/", "Authorization: Basic YS10b2tlbjp4\r\n", 401),
        ("/", "Cookie: Session=a-token+of/16-or~more.=\r\n", 401),
        ("/", "Cookie: session\r\n", 401),
        ("/", &*twice, 400),
        ("/?access_token=x", &twice[..twice.len() / 2], 400),
    ] {
        assert_eq!(ask(target, lines).0, Err(status), "{target} {lines}");
    }
}

#[test]
fn a_token_is_taken_out_of_the_query_whatever_it_is() {
    for (target, left) in [
        ("/p?access_token=x", "/p"),
        ("/p?a=1&access_token=x&b=%20", "/p?a=1&b=%20"),
        ("/p?access_token=x&a", "/p?a"),
        ("/p?a&access_token", "/p?a"),
        ("/p?access_token=x&access_token=y&c", "/p?c"),
        ("/p?%61ccess_token=%zz", "/p"),
        ("/p?my_access_token=x", "/p?my_access_token=x"),
        ("/p?", "/p?"),
    ] {
        assert_eq!(ask(target, "").1, left, "{target}");
    }
}
