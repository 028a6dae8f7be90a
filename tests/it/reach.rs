//! Beyond one docroot: `links`, `proxy`, `wait`, `trusted`, `maxperip`.

use std::io::Write;

use crate::backend::Backend;
use crate::client::Client;
use crate::frames::{self, TEXT};
use crate::gateway::Gateway;
use crate::http::{Response, ask, try_ask, upgrade};
use crate::process::wait_until;

/// First bytes of a PROXY protocol v2 header.
pub(crate) const PROXY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[test]
fn links_reach_unix_and_tcp_servers_outside_docroot() {
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let settings = format!(
        "links = ( {{ origin = \"far\"; type = \"unix\"; destination = \"DIR/far.sock\"; \
         framing = \"line\"; }}, {{ origin = \"net\"; type = \"tcp\"; \
         destination = \"127.0.0.1\"; port = \"{port}\"; }} );"
    );
    let gateway = Gateway::start(&settings);
    let far = Backend::listen(&gateway.path("far.sock"));
    let mut client = gateway.open("far");
    client.text("with its own framing");
    assert_eq!(far.accept().take(21), b"with its own framing\n");

    let server = std::thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        stream.write_all(b"from tcp").unwrap();
    });
    let mut client = gateway.open("net");
    assert_eq!(client.message(), (TEXT, b"from tcp".to_vec()));
    client.expect_close(1000);
    server.join().unwrap();
}

#[test]
fn a_fifo_gets_what_the_client_sends() {
    use std::io::Read as _;
    let settings = "wait = 60; links = ( { origin = \"pipe\"; type = \"fifo\"; destination = \"DIR/pipe\"; } );";
    let gateway = Gateway::start(settings);
    let path = gateway.path("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 5];
        std::fs::File::open(path)
            .unwrap()
            .read_exact(&mut bytes)
            .unwrap();
        bytes
    });
    let mut client = gateway.open("pipe");
    client.text("Hello");
    assert_eq!(&reader.join().unwrap(), b"Hello");
}

#[test]
fn proxy_v2_tells_the_backend_who_the_client_is() {
    let gateway = Gateway::start("proxy = \"v2\";");
    let backend = gateway.backend("curious");
    let mut client = gateway.open("curious");
    let local = client.stream.local_addr().unwrap();
    client.text("data");
    let mut connection = backend.accept();
    let head = connection.take(16);
    assert_eq!(&head[..12], PROXY_SIGNATURE);
    assert_eq!(
        head[12..14],
        [0x21, 0x11],
        "version 2, PROXY, TCP over IPv4"
    );
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let rest = connection.take(length);
    let std::net::IpAddr::V4(ip) = local.ip() else {
        panic!("an IPv4 client")
    };
    assert_eq!(rest[..4], ip.octets());
    assert_eq!(rest[8..10], local.port().to_be_bytes());
    assert_eq!(connection.take(4), b"data");
}

#[test]
fn a_proxy_in_front_is_told_on_to_the_backend() {
    let gateway = Gateway::with("trusted = \"127.0.0.0/8\";", "proxy = \"v2\";");
    for before in [
        &b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x34\x01\xbb",
    ] {
        let backend = gateway.backend("curious");
        let mut stream = gateway.connect();
        // The PROXY header names an address that is not trusted, so its X-Forwarded-For is not
        // believed.
        let request = upgrade(&gateway, "/curious", "X-Forwarded-For: 203.0.113.9\r\n");
        stream
            .write_all(&[before, request.as_bytes()].concat())
            .unwrap();
        assert_eq!(Response::read_head(&mut stream).unwrap().status, 101);
        let head = backend.accept().take(28);
        assert_eq!(head[16..20], [192, 0, 2, 1]);
        assert_eq!(head[24..26], [0x12, 0x34]);
        std::fs::remove_file(gateway.path("run/curious")).unwrap();
    }
}

#[test]
fn a_proxy_header_is_no_request_from_anybody_else_or_when_malformed() {
    for (trusted, line) in [
        ("", "PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n"),
        ("trusted = \"127.0.0.0/8\";", "PROXY TCP4 192.0.2.1\r\n"),
    ] {
        let gateway = Gateway::with(trusted, "");
        let backend = gateway.backend("echo");
        let request = [line, &upgrade(&gateway, "/echo", "")].concat();
        let answer = try_ask(&gateway, request.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(!backend.is_called());
    }
}

#[test]
fn wait_bridges_the_restart_of_a_backend() {
    let gateway = Gateway::start("wait = 60;");
    drop(gateway.backend("restarting"));
    let threads = gateway.process.threads();
    let mut stream = gateway.connect();
    stream
        .write_all(upgrade(&gateway, "/restarting", "").as_bytes())
        .unwrap();
    wait_until("the handshake to begin", || {
        gateway.process.threads() > threads
    });
    std::fs::remove_file(gateway.path("run/restarting")).unwrap();
    let backend = gateway.backend("restarting");
    backend.accept();
    assert_eq!(Response::read_head(&mut stream).unwrap().status, 101);
}

#[test]
fn x_forwarded_for_is_believed_from_trusted_networks_only() {
    for (trusted, believed) in [("trusted = \"127.0.0.0/8\";", true), ("", false)] {
        let gateway = Gateway::with(trusted, "");
        gateway.backend("echo").echo();
        let mut client = Client::open(&gateway, "echo", "X-Forwarded-For: 192.0.2.77\r\n");
        client.send(&frames::close(4711));
        client.expect_close(4711);
        drop(client);
        let line = gateway
            .process
            .find_line(|line| line.contains(": 4711, "))
            .expect("a line");
        assert_eq!(line.contains("192.0.2.77"), believed, "{line}");
    }
}

#[test]
fn maxperip_limits_the_clients_of_one_address() {
    let gateway = Gateway::with("maxperip = 2;", "");
    gateway.backend("echo").echo();
    let _clients = [gateway.open("echo"), gateway.open("echo")];
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/echo", "")).status, 503);
}

#[test]
fn maxperip_counts_those_a_proxy_speaks_for_and_not_the_proxy() {
    let gateway = Gateway::with("maxperip = 1; trusted = \"127.0.0.0/8\";", "");
    gateway.backend("echo").echo();
    let from = |ip: &str| format!("X-Forwarded-For: {ip}\r\n");
    let _one = Client::open(&gateway, "echo", &from("192.0.2.1"));
    let _two = Client::open(&gateway, "echo", &from("192.0.2.2"));
    let third = upgrade(&gateway, "/echo", &from("192.0.2.1"));
    assert_eq!(ask(&gateway, &third).status, 503);
}

#[test]
fn a_relayed_client_has_two_descriptors() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    let open = || {
        let mut client = gateway.open("echo");
        client.text("a");
        client.message();
        client
    };
    let _first = open();
    let base = gateway.process.descriptors();
    let _clients: Vec<_> = (0..10).map(|_| open()).collect();
    assert_eq!(gateway.process.descriptors(), base + 20);
}
