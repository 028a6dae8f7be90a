//! Which names in `Host` a browser may use (DNS rebinding), and `redirect`.

use std::net::SocketAddr;

use crate::gateway::{Gateway, daemon, free_address};
use crate::http::{KEY, Response, ask, get};

/// The status that an upgrade with this Host, Origin and further lines gets.
fn status(gateway: &Gateway, host: &str, origin: &str, more: &str) -> u16 {
    let origin = match origin {
        "" => String::new(),
        origin => format!("Origin: {origin}\r\n"),
    };
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{origin}{more}\r\n"
    );
    let mut stream = gateway.connect();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    Response::read_head(&mut stream).expect("an answer").status
}

/// Host, Origin, X-Forwarded-Host, the statuses of a server without settings, with `hostname =
/// "gw.example.org, *.example.net"`, and with `trusted` as well.
const TABLE: [(&str, &str, &str, [u16; 3]); 44] = [
    // A program that is not a browser sends no Origin, and may use any Host.
    ("127.0.0.1", "", "", [101, 101, 101]),
    ("evil.example", "", "", [101, 101, 101]),
    ("gw.example.org", "", "", [101, 101, 101]),
    ("evil.example", "", "evil.example", [101, 101, 101]),
    // Addresses and names that nobody else can have.
    ("127.0.0.1", "http://127.0.0.1", "", [101, 101, 101]),
    (
        "192.168.1.1:8080",
        "http://192.168.1.1:8080",
        "",
        [101, 101, 101],
    ),
    ("[::1]", "http://[::1]", "", [101, 101, 101]),
    (
        "[fe80::1]:8080",
        "http://[fe80::1]:8080",
        "",
        [101, 101, 101],
    ),
    ("localhost", "http://localhost", "", [101, 101, 101]),
    ("LocalHost:81", "http://localhost:81", "", [101, 101, 101]),
    ("app.localhost", "http://app.localhost", "", [101, 101, 101]),
    ("router", "http://router", "", [101, 101, 101]),
    ("router.lan", "http://router.lan", "", [101, 101, 101]),
    ("router.lan.", "http://router.lan.", "", [101, 101, 101]),
    ("router.local", "https://router.local", "", [101, 101, 101]),
    ("nas.home", "http://nas.home", "", [101, 101, 101]),
    ("nas.home.arpa", "http://nas.home.arpa", "", [101, 101, 101]),
    ("db.internal", "http://db.internal", "", [101, 101, 101]),
    ("x.localdomain", "http://x.localdomain", "", [101, 101, 101]),
    // The same hosts from pages of other sites: the origin decides.
    ("127.0.0.1", "http://evil.example", "", [403, 403, 403]),
    ("router.lan", "http://evil.example", "", [403, 403, 403]),
    (
        "router.lan",
        "http://router.lan.evil.example",
        "",
        [403, 403, 403],
    ),
    ("router.lan", "http://192.168.1.1", "", [403, 403, 403]),
    ("router.lan", "null", "", [403, 403, 403]),
    // Names that an attacker has pointed at the gateway.
    ("evil.example", "http://evil.example", "", [421, 421, 421]),
    (
        "EVIL.example:80",
        "http://evil.example",
        "",
        [421, 421, 421],
    ),
    (
        "evil.example:8080",
        "http://evil.example:8080",
        "",
        [421, 421, 421],
    ),
    (
        "a.b.evil.example",
        "http://a.b.evil.example",
        "",
        [421, 421, 421],
    ),
    (
        "lan.evil.example",
        "http://lan.evil.example",
        "",
        [421, 421, 421],
    ),
    (
        "192.168.1.1.evil.example",
        "http://192.168.1.1.evil.example",
        "",
        [421, 421, 421],
    ),
    (
        "localhost.evil.example",
        "http://localhost.evil.example",
        "",
        [421, 421, 421],
    ),
    ("evil.example", "http://router.lan", "", [421, 421, 421]),
    ("evil.example", "null", "", [421, 421, 421]),
    ("evil.example", "file://", "", [421, 421, 421]),
    ("1.2.3", "http://1.2.3", "", [421, 421, 421]),
    ("evil.example.", "http://evil.example.", "", [421, 421, 421]),
    // Names that are listed.
    (
        "gw.example.org",
        "http://gw.example.org",
        "",
        [421, 101, 101],
    ),
    (
        "GW.Example.ORG:81",
        "http://gw.example.org:81",
        "",
        [421, 101, 101],
    ),
    (
        "x.example.net",
        "https://x.example.net",
        "",
        [421, 101, 101],
    ),
    ("gw.example.org", "http://evil.example", "", [421, 403, 403]),
    (
        "gw.example.org.evil.example",
        "http://gw.example.org.evil.example",
        "",
        [421, 421, 421],
    ),
    // The host that a proxy in front was asked for.
    (
        "inner.lan",
        "http://gw.example.org",
        "gw.example.org",
        [403, 403, 101],
    ),
    (
        "inner.lan",
        "http://evil.example",
        "evil.example",
        [403, 403, 421],
    ),
    (
        "evil.example",
        "http://gw.example.org",
        "evil.example, gw.example.org",
        [421, 421, 101],
    ),
];

/// Runs the table against one server.
fn check(column: usize, settings: &str) {
    let gateway = Gateway::with(settings, "");
    gateway.backend("echo").echo();
    for (host, origin, forwarded, wanted) in TABLE {
        let more = match forwarded {
            "" => String::new(),
            host => format!("X-Forwarded-Host: {host}\r\n"),
        };
        let got = status(&gateway, host, origin, &more);
        assert_eq!(
            got, wanted[column],
            "Host {host:?}, Origin {origin:?}, X-Forwarded-Host {forwarded:?}, {settings}"
        );
    }
}

#[test]
fn a_page_whose_name_is_pointed_at_us_gets_421() {
    check(0, "");
}

#[test]
fn names_of_hostname_are_ours() {
    check(1, "hostname = \"gw.example.org, *.example.net\";");
}

#[test]
fn the_host_that_a_trusted_proxy_was_asked_for_counts() {
    check(
        2,
        "hostname = \"gw.example.org, *.example.net\"; trusted = \"127.0.0.0/8\";",
    );
}

#[test]
fn the_log_names_the_host_and_the_setting() {
    let mut command = daemon();
    let gateway = Gateway::run(command.arg("-v"), free_address(), "", "");
    let origin = "http://evil.example";
    assert_eq!(status(&gateway, "evil.example", origin, ""), 421);
    let line = gateway
        .process
        .find_line(|line| line.contains("evil.example"));
    assert!(line.expect("a line").contains("'hostname'"));
    let request = "GET / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n";
    let response = ask(&gateway, request);
    assert_eq!(response.status, 421);
    let body = String::from_utf8_lossy(&response.body).into_owned();
    assert!(
        body.contains("'hostname'") && !body.contains("evil"),
        "{body}"
    );
}

/// The server name of the handshake, Host, Origin, and the status on a server whose certificates are
/// for gateway.test and other.test.
#[cfg(feature = "tls")]
const TLS_TABLE: [(&str, &str, &str, u16); 24] = [
    ("gateway.test", "gateway.test", "https://gateway.test", 101),
    (
        "gateway.test",
        "gateway.test:8443",
        "https://gateway.test:8443",
        101,
    ),
    ("gateway.test", "GATEWAY.test", "https://gateway.test", 101),
    ("gateway.test", "gateway.test.", "https://gateway.test", 101),
    ("gateway.test", "evil.example", "https://evil.example", 421),
    (
        "gateway.test",
        "x.gateway.test",
        "https://x.gateway.test",
        421,
    ),
    (
        "gateway.test",
        "gateway.test.evil.example",
        "https://gateway.test.evil.example",
        421,
    ),
    ("gateway.test", "test", "https://test", 101),
    ("gateway.test", "127.0.0.1", "https://127.0.0.1", 101),
    ("gateway.test", "router.lan", "https://router.lan", 101),
    ("gateway.test", "gateway.test", "https://evil.example", 403),
    ("gateway.test", "gateway.test", "http://gateway.test", 403),
    ("gateway.test", "gateway.test", "", 101),
    ("gateway.test", "evil.example", "", 101),
    ("gateway.test", "gateway", "https://gateway", 101),
    (
        "gateway.test",
        "gateway.example",
        "https://gateway.example",
        421,
    ),
    // All certificates count, whichever was shown; the name that was asked for does not.
    ("other.test", "other.test", "https://other.test", 101),
    ("other.test", "gateway.test", "https://gateway.test", 101),
    ("gateway.test", "other.test", "https://other.test", 101),
    ("other.test", "gateway.test", "https://other.test", 403),
    ("evil.example", "evil.example", "https://evil.example", 421),
    ("evil.example", "gateway.test", "https://evil.example", 403),
    ("", "gateway.test", "https://gateway.test", 101),
    ("", "evil.example", "https://evil.example", 421),
];

#[test]
#[cfg(feature = "tls")]
fn a_name_of_the_certificate_is_ours() {
    use std::io::Write;
    let files = crate::certificates::Files::new();
    files.certificate_for("other.test");
    let (certificate, key) = (files.path("other.test.crt"), files.path("other.test.key"));
    let further = format!(
        "certificates = ( {{ crtfile = \"{}\"; keyfile = \"{}\"; }} ); }};",
        certificate.display(),
        key.display()
    );
    let section = files.section("crt", "key");
    let section = section.strip_suffix("};").expect("a group");
    let gateway = Gateway::with(&format!("{section} {further}"), "");
    gateway.backend("echo").echo();
    for (name, host, origin, wanted) in TLS_TABLE {
        let origin_line = match origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        let own = format!("Host: {}\r\n", gateway.address());
        let request = crate::http::upgrade(&gateway, "/echo", &origin_line);
        let request = request.replace(&own, &format!("Host: {host}\r\n"));
        let mut client = files.connect_to(&gateway, name);
        client.write_all(request.as_bytes()).unwrap();
        let head = crate::tls::read_head(&mut client);
        let status = format!("HTTP/1.1 {wanted} ");
        assert!(
            head.starts_with(&status),
            "{name:?} {host:?} {origin:?}: {head}"
        );
    }
}

#[test]
#[cfg(feature = "tls")]
fn redirect_sends_plain_requests_on_to_the_tls_server() {
    let files = crate::certificates::Files::new();
    let (plain, tls): (SocketAddr, SocketAddr) = (free_address(), free_address());
    // The server with TLS is the second one of the file.
    let more = format!(
        "redirect = \"https\"; trusted = \"127.0.0.0/8\"; websocket = {{ }}; }}, {{ \
         addr = \"{}\"; port = {}; {}",
        tls.ip(),
        tls.port(),
        files.section("crt", "key")
    );
    let gateway = Gateway::run(&mut daemon(), plain, &more, "");
    let request = "GET /a%20b?c=d HTTP/1.1\r\nHost: router.lan:8080\r\n\r\n";
    let response = ask(&gateway, request);
    assert_eq!(response.status, 301, "{response:?}");
    let wanted = format!("https://router.lan:{}/a%20b?c=d", tls.port());
    assert_eq!(response.header("Location"), Some(wanted.as_str()));
    // A request that has come to a proxy by https is not redirected again.
    let response = get(&gateway, "/", "X-Forwarded-Proto: https\r\n");
    assert_eq!(response.status, 426, "{response:?}");
}
