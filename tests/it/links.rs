//! Links that need something on the machine: a serial line, a name server, client certificates.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::sys::termios::{self, BaudRate, LocalFlags, OutputFlags};

use crate::client::Client;
use crate::frames::{self, TEXT};
use crate::gateway::{Gateway, is_emulated};
use crate::http::{ask, upgrade};
use crate::process::{figure, terminal};
#[cfg(feature = "tls")]
use crate::told::values;

#[test]
fn a_serial_line_is_raw_and_has_the_speed_of_its_link() {
    let (mut master, path) = terminal();
    let settings = format!(
        "protocols = \"chat\"; links = ( {{ origin = \"modem\"; type = \"tty\"; \
         destination = \"{path}\"; baud = \"57600\"; framing = \"line\"; protocols = \"at\"; }} );"
    );
    let gateway = Gateway::start(&settings);
    let offer = "Sec-WebSocket-Protocol: chat, at\r\n";
    let mut client = Client::open(&gateway, "modem", offer);
    // The link's own list counts, not that of the section.
    assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), Some("at"));
    let line = termios::tcgetattr(&master).unwrap();
    assert_eq!(termios::cfgetospeed(&line), BaudRate::B57600);
    assert!(
        !line.local_flags.contains(LocalFlags::ECHO)
            && !line.local_flags.contains(LocalFlags::ICANON)
    );
    assert!(!line.output_flags.contains(OutputFlags::OPOST));
    client.text("AT\u{3}\r");
    let mut got = [0; 5];
    master.read_exact(&mut got).unwrap();
    assert_eq!(
        &got, b"AT\x03\r\n",
        "nothing is changed or taken for a signal"
    );
    master.write_all(b"OK\r\n").unwrap();
    assert_eq!(client.message(), (TEXT, b"OK\r".to_vec()));
    client.send(&frames::close(1000));
    client.expect_close(1000);
    client.expect_end();
    // The line is free again for the next one.
    let mut next = gateway.open("modem");
    next.text("ATZ");
    let mut got = [0; 4];
    master.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ATZ\n");
}

#[test]
fn a_line_that_is_not_there_is_a_503() {
    let gateway = Gateway::start(
        "links = ( { origin = \"modem\"; type = \"tty\"; destination = \"DIR/none\"; } );",
    );
    let answer = ask(&gateway, &upgrade(&gateway, "/modem", ""));
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn a_name_server_that_does_not_answer_is_a_503_in_ping_seconds() {
    if is_emulated(crate::faults::NO_FAULTS) {
        return;
    }
    let mut command = crate::faults::daemon_with("FAULT_RESOLVER", "300");
    let gateway = Gateway::run(
        &mut command,
        crate::gateway::free_address(),
        "",
        "ping = 1; links = ( { origin = \"net\"; type = \"tcp\"; destination = \"far.test\"; port = 1; } );",
    );
    gateway.backend("echo").echo();
    let start = Instant::now();
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/net", "")).status, 503);
    let after = start.elapsed();
    figure(format!("503 after {after:.1?}, with ping = 1"));
    assert!(after < Duration::from_secs(60), "{after:?}");
    gateway.open("echo");
}

#[test]
fn a_socket_in_the_abstract_namespace_is_reached_by_its_name() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("ouistiti-it-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let gateway = Gateway::start(&format!(
        "links = ( {{ origin = \"named\"; destination = \"@{name}\"; }} );"
    ));
    let mut client = gateway.open("named");
    let (mut connection, _) = listener.accept().unwrap();
    connection.write_all(b"hello").unwrap();
    assert_eq!(client.message().1, b"hello");
}

#[test]
fn a_tcp_backend_is_found_by_name_and_refused_when_it_is_gone() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let gateway = Gateway::start(&format!(
        "links = ( {{ origin = \"net\"; type = \"tcp\"; destination = \"localhost\"; port = {port}; }} );"
    ));
    gateway.open("net");
    tcp.accept().unwrap();
    drop(tcp);
    let answer = ask(&gateway, &upgrade(&gateway, "/net", ""));
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
}

#[cfg(feature = "tls")]
#[test]
fn proxy_v2_names_the_subject_of_a_clients_certificate() {
    let files = crate::certificates::Files::new();
    files.client_certificate("/O=Example/CN=alice");
    let section = files.section("crt", "key");
    let authority = files.path("client.crt").display().to_string();
    let section = section.replace(
        "};",
        &format!("cachain = \"{authority}\"; clientauth = \"required\"; }};"),
    );
    let gateway = Gateway::with(&section, "proxy = \"v2\"; origins = \"*\";");
    let backend = gateway.backend("curious");
    let mut client = files.connect_as(&gateway, Some(("client.crt", "client.key")));
    let request = upgrade(&gateway, "/curious", "Origin: https://a.test\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut connection = backend.accept();
    let head = connection.take(16);
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    let rest = connection.take(length);
    let wanted = [
        (0xe0, "curious"),
        (0x02, "gateway.test"),
        (0xe2, "CN=alice,O=Example"),
        (0xe1, "https://a.test"),
    ];
    let wanted: Vec<_> = wanted.map(|(kind, value)| (kind, value.to_owned())).into();
    let told = values(&rest[12..]);
    assert_eq!(told[0].0, 0xe6, "the client's id");
    assert_eq!(told[1..], wanted);
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    // A client without a certificate does not get so far.
    let mut nobody = files.connect(&gateway);
    let refused = nobody
        .write_all(request.as_bytes())
        .and_then(|()| nobody.read(&mut [0; 16]));
    assert!(refused.is_err() && !backend.is_called(), "{refused:?}");
}
