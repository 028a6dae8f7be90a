//! Beyond one docroot: `links`, `proxy`, `wait`, `trusted`, `maxperip`.

use std::io::Write;

use crate::backend::Backend;
use crate::client::Client;
use crate::frames::{self, TEXT};
use crate::gateway::Gateway;
use crate::http::{Response, ask, upgrade};
use crate::process::wait_until;

/// First bytes of a PROXY protocol v2 header.
const PROXY_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

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
    let settings =
        "links = ( { origin = \"pipe\"; type = \"fifo\"; destination = \"DIR/pipe\"; } );";
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
        let line = gateway
            .process
            .find_line(|line| line.contains("4711"))
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
