//! The files of etc/: each starts, and serves what it says.

use std::path::Path;

use crate::gateway::Gateway;
use crate::http::{ask, upgrade};

/// Starts the daemon with a file of etc/, as this user, on an address of this test, and without the
/// settings that begin with these words.
fn start(name: &str, without: &[&str]) -> Gateway {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc").join(name);
    let text = std::fs::read_to_string(path).expect("an example");
    let kept = text.lines().filter(|line| {
        let line = line.trim_start();
        !["user = ", "addr", "port = 9001"]
            .iter()
            .chain(without)
            .any(|word| line.starts_with(word))
    });
    let text: Vec<_> = kept.collect();
    let text = text
        .join("\n")
        .replace("servers = ({", "servers = ({ addr = \"ADDRESS\";");
    let text = text.replace("/var/run/ouistiti", "DIR/run");
    let text = text.replace("/usr/share/novnc", "DIR/www");
    let text = text.replace("/sbin/logread", "/bin/sh");
    Gateway::of_file(&text.replace("/srv/www/htdocs", "DIR/www"))
}

/// The status of a handshake for a service, as a page of this host asks for it.
fn status(gateway: &Gateway, name: &str, more: &str) -> u16 {
    let request = upgrade(gateway, &format!("/{name}"), more);
    ask(gateway, &request).status
}

#[test]
fn each_example_of_a_link_serves_its_name_and_no_other() {
    for (file, name) in [
        ("vnc.conf", "vnc"),
        ("mqtt.conf", "mqtt"),
        ("postgresql.conf", "db"),
        ("serial-port.conf", "modem"),
    ] {
        let gateway = start(file, &[]);
        // The backend may or may not run on this machine.
        let found = status(&gateway, name, "");
        assert!([101, 503].contains(&found), "{file}: {found}");
        assert_eq!(status(&gateway, "other", ""), 403, "{file}");
    }
}

#[test]
fn each_example_of_a_docroot_serves_its_sockets() {
    let nginx = ["mode", "hostname"];
    for (file, without) in [
        ("ouistiti.conf", &["port"][..]),
        ("lan-only.conf", &["port = 80"]),
        ("dev-server.conf", &[]),
        ("behind-nginx.conf", &nginx),
        ("behind-haproxy.conf", &[]),
        ("behind-caddy.conf", &[]),
    ] {
        let gateway = start(file, without);
        gateway.backend("chat").echo();
        assert_eq!(status(&gateway, "chat", ""), 101, "{file}");
        assert_eq!(
            status(&gateway, "missing", ""),
            if file == "lan-only.conf" { 403 } else { 404 }
        );
    }
}

#[cfg(feature = "exec")]
#[test]
fn the_example_of_a_program_runs_it_for_each_client() {
    if crate::gateway::is_emulated("a program begins as the daemon's own file") {
        return;
    }
    let gateway = start("exec.conf", &[]);
    assert_eq!(status(&gateway, "other", ""), 403);
    // In the place of logread: a shell, which does what it reads.
    let mut client = gateway.open("log");
    client.text("echo $0 $-");
    let (_, answer) = client.message();
    assert!(
        answer.starts_with(b"/bin/sh ") && answer.contains(&b'f'),
        "{answer:?}"
    );
}

#[test]
fn the_page_of_a_development_server_may_connect() {
    let gateway = start("dev-server.conf", &[]);
    gateway.backend("chat").echo();
    for (origin, wanted) in [
        ("http://localhost:3000", 101),
        ("http://127.0.0.1:5173", 101),
        ("http://example.org", 403),
    ] {
        let origin = format!("Origin: {origin}\r\n");
        assert_eq!(status(&gateway, "chat", &origin), wanted, "{origin}");
    }
}

#[cfg(all(feature = "share", feature = "auth", feature = "tls"))]
#[test]
fn the_example_of_a_serial_console_is_shared_by_all_who_log_in() {
    use std::io::{Read, Write};

    use crate::certificates::Files;
    use crate::frames::{TEXT, message};

    let files = Files::new();
    let (mut master, path) = crate::process::terminal();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/serial-console.conf");
    let text = std::fs::read_to_string(example).expect("an example");
    let kept = text.lines().filter(|line| !line.starts_with("user = "));
    let text = kept.collect::<Vec<_>>().join("\n");
    let file = |name: &str| files.path(name).display().to_string();
    let text = text
        .replace("servers = ({", "servers = ({ addr = \"ADDRESS\";")
        .replace("/etc/ouistiti/server.crt", &file("crt"))
        .replace("/etc/ouistiti/server.key", &file("key"))
        .replace("/etc/ouistiti/users", &file("users"))
        .replace("/dev/ttyUSB0", &path);
    std::fs::write(files.path("users"), "anna:secret\n").expect("a file of users");
    let gateway = Gateway::of_file(&text);
    let is_connected = |line: &str| line.contains("console: connected, and kept");
    gateway
        .process
        .find_line(is_connected)
        .expect("a line that is kept");
    // Nobody has come yet: what is said is kept for whoever comes.
    master.write_all(b"login: ").expect("a terminal");
    let open = |login: &str| {
        let mut client = files.connect(&gateway);
        let request = upgrade(&gateway, "/console", login);
        client
            .write_all(request.as_bytes())
            .expect("the gateway reads");
        (crate::tls::read_head(&mut client), client)
    };
    assert!(open("").0.starts_with("HTTP/1.1 401 "), "a login is needed");
    let login = "Authorization: Basic YW5uYTpzZWNyZXQ=\r\n";
    let mut clients = [open(login), open(login)].map(|(head, client)| {
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    });
    clients[0]
        .write_all(&message(TEXT, b"root\r"))
        .expect("the gateway reads");
    let mut typed = [0; 5];
    master.read_exact(&mut typed).expect("what was typed");
    assert_eq!(&typed, b"root\r");
    master.write_all(b"# ").expect("a terminal");
    for client in &mut clients {
        let mut seen = Vec::new();
        while seen != b"login: # " {
            let mut head = [0; 2];
            client.read_exact(&mut head).expect("a frame");
            assert_eq!(head[0], 0x81);
            let mut payload = vec![0; usize::from(head[1])];
            client.read_exact(&mut payload).expect("its payload");
            seen.extend(payload);
            assert!(b"login: # ".starts_with(&seen), "{seen:?}");
        }
    }
}
