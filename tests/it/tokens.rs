//! Who may come in with a token: `auth` of type Bearer, and that no token is told to others.

use data_encoding::BASE64URL_NOPAD;
use nix::sys::signal::Signal;
use ring::hmac;

use crate::client::Client;
use crate::gateway::{Gateway, daemon, free_address};
use crate::http::{ask, get, upgrade};
use crate::process::{TempDir, wait_until};

/// The secret of the two tokens below; both are of carl, in the group staff.
const SECRET: &str = "0123456789abcdef0123456789abcdef\n";
/// It ends in the year 2100.
const GOOD: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYXJsIiwiZXhwIjo0MTAyNDQ0ODAwLCJncm91cHMiOlsic3RhZmYiXX0.z7MoGjWxgxO1mkKSeEDE9lxy7YY1K3xB6naJLYxCcnE";
/// It ended in 2023.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYXJsIiwiZXhwIjoxNzAwMDAwMDAwfQ.UN6Ieqy_sGDK8qbXWnQAyObk32ESlHt6BsIQkuqGWGo";
const OPAQUE: &str = "an-opaque-token-of-anna";

/// A gateway that takes both kinds of tokens, and where its tokens stand.
fn gateway(more: &str, websocket: &str) -> (Gateway, TempDir) {
    gateway_with("", more, websocket)
}

/// The same, with these settings of the server.
fn gateway_with(server: &str, more: &str, websocket: &str) -> (Gateway, TempDir) {
    let files = TempDir::new();
    std::fs::write(files.path().join("secret"), SECRET).unwrap();
    std::fs::write(files.path().join("tokens"), format!("{OPAQUE}:anna\n")).unwrap();
    let directory = files.path().display();
    let auth = format!(
        "{server} auth = {{ type = \"Bearer\"; algorithm = \"HS256\"; keyfile = \"{directory}/secret\"; \
         tokens = \"{directory}/tokens\"; realm = \"api\"; {more} }}; \
         document = {{ docroot = \"DIR/www\"; }};"
    );
    let gateway = Gateway::run(daemon().arg("-vv"), free_address(), &auth, websocket);
    std::fs::write(gateway.path("www/index.html"), "<p>page").unwrap();
    (gateway, files)
}

fn status(gateway: &Gateway, target: &str, more: &str) -> u16 {
    ask(gateway, &upgrade(gateway, target, more)).status
}

#[test]
fn a_token_opens_a_page_and_a_websocket() {
    let (gateway, _files) = gateway("", "");
    gateway.backend("echo").echo();
    let response = get(&gateway, "/", "");
    assert_eq!(response.status, 401);
    let challenge = response.header("WWW-Authenticate");
    assert_eq!(challenge, Some("Bearer realm=\"api\""));
    for token in [GOOD, OPAQUE] {
        let header = format!("Authorization: Bearer {token}\r\n");
        let cookie = format!("Cookie: access_token={token}\r\n");
        let query = format!("?access_token={token}");
        for (query, more) in [("", &*header), ("", &*cookie), (&*query, "")] {
            assert_eq!(get(&gateway, &format!("/{query}"), more).body, b"<p>page");
            let mut client = Client::open(&gateway, &format!("echo{query}"), more);
            client.text("hello");
            assert_eq!(client.message().1, b"hello");
        }
    }
    let expired = get(&gateway, &format!("/?access_token={EXPIRED}"), "");
    assert_eq!(expired.status, 401);
    let challenge = expired.header("WWW-Authenticate");
    assert_eq!(
        challenge,
        Some("Bearer realm=\"api\", error=\"invalid_token\"")
    );
    let line = gateway
        .process
        .find_line(|line| line.contains("it has expired"));
    assert!(line.is_some());
}

/// A token of carl's whose length is `length` or a few bytes more.
fn long_token(length: usize) -> String {
    let base64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let header = base64(br#"{"alg":"HS256"}"#);
    let filling = "x".repeat(length * 3 / 4 - header.len() - 60);
    let claims = format!(r#"{{"sub":"carl","exp":4102444800,"more":"{filling}"}}"#);
    let text = format!("{header}.{}", base64(claims.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.trim_end().as_bytes());
    let signature = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", base64(signature.as_ref()))
}

#[test]
fn a_token_may_be_as_long_as_the_head_in_which_it_stands() {
    let token = long_token(16 << 10);
    assert!((16 << 10..17 << 10).contains(&token.len()));
    let open = |gateway: &Gateway, token: &str| {
        gateway.backend("echo").echo();
        let header = status(
            gateway,
            "/echo",
            &format!("Authorization: Bearer {token}\r\n"),
        );
        (
            header,
            status(gateway, &format!("/echo?access_token={token}"), ""),
        )
    };
    let (usual, _files) = gateway("", "");
    assert_eq!(open(&usual, &token), (431, 414));
    let (roomy, _files) = gateway_with("headsize = 32768;", "", "");
    assert_eq!(open(&roomy, &token), (101, 101));
    // The same for nobody's token.
    let last = if token.ends_with('A') { 'E' } else { 'A' };
    let wrong = format!("{}{last}", &token[..token.len() - 1]);
    assert_eq!(
        status(&roomy, &format!("/echo?access_token={wrong}"), ""),
        401
    );
    assert!(
        roomy
            .process
            .log_until("its signature is wrong")
            .contains(": 401, ")
    );
}

#[test]
fn groups_of_a_token_count() {
    let (gateway, _files) = gateway("groups = \"staff\";", "");
    gateway.backend("echo").echo();
    let open = |token: &str| status(&gateway, &format!("/echo?access_token={token}"), "");
    assert_eq!((open(GOOD), open(OPAQUE)), (101, 403));
}

#[test]
fn a_reload_reads_the_tokens_again() {
    let (gateway, files) = gateway("", "");
    gateway.backend("echo").echo();
    let target = format!("/echo?access_token={OPAQUE}");
    assert_eq!(status(&gateway, &target, ""), 101);
    std::fs::write(files.path().join("tokens"), "another-token-of-anna:anna\n").unwrap();
    gateway.process.signal(Signal::SIGHUP);
    wait_until("the new tokens", || status(&gateway, &target, "") == 401);
    let target = "/echo?access_token=another-token-of-anna";
    assert_eq!(status(&gateway, target, ""), 101);
}

#[test]
fn a_token_is_neither_logged_nor_sent_on() {
    let (gateway, _files) = gateway("unprotect = \"/open\";", "proxy = \"v2\";");
    for name in ["echo", "open"] {
        let backend = gateway.backend(name);
        let target = format!("{name}?a=1&access_token={OPAQUE}&b=2");
        let _client = Client::open(&gateway, &target, "");
        let mut connection = backend.accept();
        let fixed = connection.take(16);
        let length = u16::from_be_bytes([fixed[14], fixed[15]]);
        let rest = connection.take(length.into());
        let rest = String::from_utf8_lossy(&rest);
        assert!(
            rest.contains("a=1&b=2") && !rest.contains("opaque"),
            "{rest}"
        );
    }
    for (target, wanted) in [
        (format!("/none?access_token={OPAQUE}"), 404),
        (format!("/echo?access_token={OPAQUE}x"), 401),
        (format!("/echo?access_token=x&access_token={OPAQUE}"), 400),
    ] {
        let response = ask(&gateway, &upgrade(&gateway, &target, ""));
        assert_eq!(response.status, wanted, "{target}");
        let text = format!("{response:?}{}", String::from_utf8_lossy(&response.body));
        assert!(!text.contains("opaque"), "{text}");
    }
    let log = gateway.process.log_until("400, more than one");
    assert!(log.contains(": 404, ") && !log.contains("opaque"), "{log}");
}
