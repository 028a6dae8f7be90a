//! Who may come in: `auth` with user and password, for pages and WebSockets alike.

use std::io::Write;
#[cfg(feature = "argon2id")]
use std::net::TcpStream;

use data_encoding::BASE64;
use nix::sys::signal::Signal;

use crate::client::Client;
use crate::gateway::{Gateway, daemon, free_address};
use crate::http::{Response, ask, get, upgrade};
use crate::process::wait_until;

/// "admin:test", "guest:guest" and "admin:wrong" in base64.
const ADMIN: &str = "Authorization: Basic YWRtaW46dGVzdA==\r\n";
const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";
const WRONG: &str = "Authorization: Basic YWRtaW46d3Jvbmc=\r\n";

const USERS: &str = "admin:$6$saltsalt$JcVDtuB6d1BHhCd5RPBh8g8xX/1CbY8EU2PN0MTaj2/Mypw4P./C6dN4j0HALhzBDTocyW1Jm.gYaTPjFGCV40:root:/root\n\
    guest:guest:users:/\n";

/// A gateway whose users are admin and guest, with further settings in `auth`.
fn gateway(more: &str) -> Gateway {
    let users = crate::process::TempDir::new();
    let file = users.path().join("users");
    std::fs::write(&file, USERS).unwrap();
    let auth = format!(
        "auth = {{ type = \"Basic\"; realm = \"my router\"; file = \"{}\"; {more} }}; \
         document = {{ docroot = \"DIR/www\"; }};",
        file.display()
    );
    let gateway = Gateway::run(&mut daemon(), free_address(), &auth, "");
    std::fs::write(gateway.path("www/index.html"), "<p>page").unwrap();
    gateway
}

fn status(gateway: &Gateway, more: &str) -> u16 {
    let mut stream = gateway.connect();
    let request = upgrade(gateway, "/echo", more);
    stream.write_all(request.as_bytes()).unwrap();
    Response::read_head(&mut stream).expect("an answer").status
}

#[test]
fn a_page_and_its_websocket_share_one_login() {
    let gateway = gateway("");
    gateway.backend("echo").echo();
    let response = get(&gateway, "/", "");
    assert_eq!(response.status, 401);
    assert_eq!(
        response.header("WWW-Authenticate"),
        Some("Basic realm=\"my router\", charset=\"UTF-8\"")
    );
    assert_eq!(status(&gateway, ""), 401);
    for right in [ADMIN, GUEST] {
        assert_eq!(get(&gateway, "/", right).body, b"<p>page");
        let mut client = Client::open(&gateway, "echo", right);
        client.text("hello");
        assert_eq!(client.message().1, b"hello");
    }
    let told = |line: &str| line.contains(" echo (guest): 1006, 5 bytes in, 5 bytes out");
    assert!(gateway.process.find_line(told).is_some());
    assert_eq!(status(&gateway, WRONG), 401);
    // A monitor's request needs no login.
    assert_eq!(get(&gateway, "/.well-known/ouistiti", "").status, 200);
}

#[test]
fn nothing_reaches_a_backend_without_a_login() {
    let gateway = gateway("groups = \"root\";");
    let backend = gateway.backend("echo");
    for (more, wanted) in [("", 401), (WRONG, 401), (GUEST, 403)] {
        assert_eq!(status(&gateway, more), wanted, "{more}");
    }
    assert!(!backend.is_called());
    assert_eq!(status(&gateway, ADMIN), 101);
}

#[test]
fn unprotect_opens_some_paths() {
    let gateway = gateway("unprotect = \"/public/*,/index.html\";");
    std::fs::create_dir(gateway.path("www/public")).unwrap();
    std::fs::write(gateway.path("www/public/a"), "open").unwrap();
    assert_eq!(get(&gateway, "/public/a", "").body, b"open");
    assert_eq!(get(&gateway, "/index.html", "").body, b"<p>page");
    assert_eq!(get(&gateway, "/", "").status, 401);
}

#[test]
fn a_part_of_a_server_may_have_a_login_of_its_own() {
    let auth = |user: &str| {
        format!("auth = {{ type = \"Basic\"; user = \"{user}\"; passwd = \"{user}\"; }};")
    };
    let settings = format!(
        "{} document = {{ docroot = \"DIR/www\"; auth = {{ type = \"None\"; }}; }};",
        auth("admin")
    );
    let links = format!(
        "links = ( {{ origin = \"own\"; destination = \"DIR/run/echo\"; {} }}, \
         {{ origin = \"open\"; destination = \"DIR/run/echo\"; auth = {{ type = \"None\"; }}; }}, \
         {{ origin = \"as-all\"; destination = \"DIR/run/echo\"; }} );",
        auth("guest")
    );
    let gateway = Gateway::run(&mut daemon(), free_address(), &settings, &links);
    std::fs::write(gateway.path("www/index.html"), "<p>page").unwrap();
    gateway.backend("echo").echo();
    // "admin:admin"
    let admin = "Authorization: Basic YWRtaW46YWRtaW4=\r\n";
    assert_eq!(get(&gateway, "/", "").body, b"<p>page");
    for (path, without, of_admin, of_guest) in [
        ("/echo", 401, 101, 401),
        ("/as-all", 401, 101, 401),
        ("/own", 401, 401, 101),
        ("//own/", 401, 401, 101),
        ("/%6Fwn", 401, 401, 101),
        ("/open", 101, 101, 101),
    ] {
        for (more, wanted) in [("", without), (GUEST, of_guest), (admin, of_admin)] {
            let answer = ask(&gateway, &upgrade(&gateway, path, more));
            assert_eq!(answer.status, wanted, "{path} {more}");
        }
    }
}

#[test]
fn a_reload_keeps_who_is_in_and_refuses_the_removed_the_next_time() {
    let users = crate::process::TempDir::new();
    let file = users.path().join("users");
    std::fs::write(&file, USERS).unwrap();
    let auth = format!(
        "auth = {{ type = \"Basic\"; file = \"{}\"; }};",
        file.display()
    );
    let gateway = Gateway::run(&mut daemon(), free_address(), &auth, "");
    gateway.backend("echo").echo();
    let mut client = Client::open(&gateway, "echo", ADMIN);
    std::fs::write(&file, "guest:guest\n").unwrap();
    gateway.process.signal(Signal::SIGHUP);
    wait_until("the new users", || status(&gateway, ADMIN) != 101);
    client.text("still here");
    assert_eq!(client.message().1, b"still here");
    assert_eq!(status(&gateway, GUEST), 101);
    // A file that cannot be read leaves everything as it was.
    std::fs::write(&file, "guest\n").unwrap();
    gateway.process.signal(Signal::SIGHUP);
    let line = gateway
        .process
        .find_line(|line| line.contains("users:1: no password"));
    assert!(line.is_some());
    assert_eq!(status(&gateway, GUEST), 101);
}

#[test]
fn a_head_with_a_damaged_login_lets_nobody_in() {
    let gateway = gateway("");
    let backend = gateway.backend("echo");
    let encoded = |text: &[u8]| format!("Authorization: Basic {}\r\n", BASE64.encode(text));
    let user = "u".repeat(8 << 10);
    for (lines, wanted) in [
        (format!("{ADMIN}{ADMIN}"), 400),
        (format!("{ADMIN}{WRONG}"), 400),
        (format!("{ADMIN}Authorization: Bearer x\r\n"), 400),
        (ADMIN.replace("==", "\0=="), 400),
        (ADMIN.replace("==", "="), 401),
        (ADMIN.replace("Basic", "Basic*"), 401),
        (ADMIN.replace("YW", "Y W"), 401),
        (ADMIN.replace("YW", "*W"), 401),
        (encoded(b"admin\0:test"), 401),
        (encoded(b"admin:test\0"), 401),
        (encoded(b"admin"), 401),
        (encoded(b"\xff\xfe:test"), 401),
        (encoded(user.as_bytes()), 401),
        (encoded(format!("{user}:test").as_bytes()), 401),
        (encoded(format!("admin:{user}").as_bytes()), 401),
        (encoded(user.repeat(2).as_bytes()), 431),
    ] {
        assert_eq!(status(&gateway, &lines), wanted, "{lines:.80}");
    }
    // None of them was a guess, and the login is as good as before.
    assert_eq!(get(&gateway, "/", ADMIN).body, b"<p>page");
    assert!(!backend.is_called());
}

#[test]
fn a_guessing_address_has_to_wait() {
    let gateway = gateway("");
    let answers: Vec<_> = (0..6).map(|_| get(&gateway, "/", WRONG)).collect();
    assert_eq!(answers[0].status, 401);
    let last = answers.last().unwrap();
    assert_eq!(last.status, 429, "{last:?}");
    assert!(last.header("Retry-After").is_some());
}

#[test]
fn no_answer_and_no_log_line_has_the_password() {
    let mut command = daemon();
    let settings = "auth = { type = \"Basic\"; user = \"admin\"; passwd = \"zebra\"; };";
    let gateway = Gateway::run(command.arg("-vv"), free_address(), settings, "");
    for credentials in ["YWRtaW46emVicmE=", "YWRtaW46emVicmEx"] {
        let line = format!("Authorization: Basic {credentials}\r\n");
        let response = ask(&gateway, &upgrade(&gateway, "/none", &line));
        let text = format!("{response:?}{}", String::from_utf8_lossy(&response.body));
        assert!(
            !text.contains("zebra") && !text.contains(credentials),
            "{text}"
        );
    }
    let log = gateway.process.log_until("refused: 401");
    assert!(!log.contains("zebra") && !log.contains("YWRtaW46"), "{log}");
}

#[test]
fn a_backend_is_told_who_has_logged_in() {
    let settings = "auth = { type = \"Basic\"; user = \"admin\"; passwd = \"test\"; };";
    let mut command = daemon();
    let gateway = Gateway::run(&mut command, free_address(), settings, "proxy = \"v2\";");
    let backend = gateway.backend("echo");
    let _client = Client::open(&gateway, "echo", ADMIN);
    let mut connection = backend.accept();
    let fixed = connection.take(16);
    let length = u16::from_be_bytes([fixed[14], fixed[15]]);
    let rest = connection.take(length.into());
    let user = b"\xe3\x00\x05admin";
    assert!(
        rest.windows(user.len()).any(|part| part == user),
        "{rest:?}"
    );
}

#[test]
#[cfg(feature = "argon2id")]
fn many_who_guess_at_argon2id_take_the_memory_of_one_check() {
    // 4 MiB and three passes; of which password does not matter.
    let hash = "$argon2id$v=19$m=4096,t=3,p=1$c2FsdHNhbHRzYWx0$\
                eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg";
    let settings = format!(
        "trusted = \"127.0.0.0/8\"; \
         auth = {{ type = \"Basic\"; user = \"admin\"; passwd = \"{hash}\"; }};"
    );
    let gateway = Gateway::with(&settings, "");
    let request = |source: &str| {
        let lines = format!("{WRONG}X-Forwarded-For: {source}\r\n");
        upgrade(&gateway, "/echo", &lines)
    };
    let guess = |mut stream: TcpStream, request: &str| {
        stream.write_all(request.as_bytes()).unwrap();
        let answer = Response::read_head(&mut stream);
        assert_eq!(answer.expect("an answer").status, 401);
    };
    guess(gateway.connect(), &request("192.0.2.1"));
    let before = gateway.process.peak();
    std::thread::scope(|scope| {
        for host in 0..20 {
            let request = request(&format!("198.51.100.{host}"));
            let streams = [(); 3].map(|()| gateway.connect());
            scope.spawn(move || streams.map(|stream| guess(stream, &request)));
        }
    });
    let grown = gateway.process.peak() - before;
    assert!(grown < 4 << 10, "{grown} KiB more than for one check");
}
