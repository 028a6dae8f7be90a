//! Tests of `access`: origins, names, lists, and the subprotocols of a directory.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::config::from_text;
use crate::http::request::tests::{EXAMPLE, parse};
use crate::system::beneath::tests::Scratch;

mod origins;

/// The `websocket` section with this body.
fn section(body: &str) -> WebsocketConfig {
    let text = format!("servers = ({{ websocket = {{ {body} }}; }});");
    let (config, _) = from_text(Path::new("x.conf"), &text).expect("a good configuration");
    config.servers[0].websocket.clone().expect("it has one")
}

fn upgrade(host: &str, origin: Option<&str>, protocols: &[&str]) -> Upgrade {
    Upgrade {
        accept_key: String::new(),
        protocols: protocols.iter().map(|&protocol| protocol.into()).collect(),
        origin: origin.map(str::to_owned),
        host: host.to_owned(),
    }
}

/// A docroot with these sockets in it, directories made as needed.
fn docroot(sockets: &[&str]) -> Scratch {
    let scratch = Scratch::new();
    for socket in sockets {
        let path = scratch.0.join(socket);
        fs::create_dir_all(path.parent().expect("it has one")).expect("mkdir");
        drop(UnixListener::bind(path).expect("a free name"));
    }
    scratch
}

/// The name and subprotocol served, or the status of the refusal.
fn ask(config: &WebsocketConfig, path: &str, offer: &[&str]) -> Result<(String, String), u16> {
    let head = EXAMPLE.replace("/chat?room=1", path);
    let request = parse(head.as_bytes()).map_err(|refusal| refusal.status())?;
    match resolve(config, &request, &upgrade("h", None, offer), false) {
        Ok(service) => Ok((service.name, service.protocol.unwrap_or_default())),
        Err(refusal) => Err(refusal.status()),
    }
}

fn served(name: &str, protocol: &str) -> Result<(String, String), u16> {
    Ok((name.to_owned(), protocol.to_owned()))
}

fn section_of(scratch: &Scratch, more: &str) -> WebsocketConfig {
    section(&format!("docroot = \"{}\"; {more}", scratch.0.display()))
}

#[test]
fn the_path_names_the_service() {
    let long = "x".repeat(MAX_NAME);
    let scratch = docroot(&["echo", "dir/deep/chat", "a.b~c+d@e-f_g"]);
    fs::write(scratch.0.join("file"), "").expect("a file");
    let config = section_of(&scratch, "");
    for (path, wanted) in [
        ("/echo", served("echo", "")),
        ("/%65cho", served("echo", "")),
        ("/dir/deep/chat", served("dir/deep/chat", "")),
        ("/dir%2Fdeep/chat", served("dir/deep/chat", "")),
        ("/a.b~c+d@e-f_g", served("a.b~c+d@e-f_g", "")),
        ("/", Err(404)),
        ("/nothing", Err(404)),
        ("/ECHO", Err(404)),
        ("/echo/", served("echo", "")),
        ("//echo", served("echo", "")),
        ("//dir///deep/chat//", served("dir/deep/chat", "")),
        ("/%2Fecho%2f", served("echo", "")),
        ("//", Err(404)),
        ("/./echo", Err(404)),
        ("/dir", Err(404)),
        ("/file", Err(404)),
        ("/echo/x", Err(404)),
        ("/%2565cho", Err(404)),
        ("/echo%00", Err(400)),
        ("/ec*o", Err(404)),
        ("/echo%", Err(400)),
        ("/echo%f", Err(400)),
        ("/echo%ff", Err(400)),
    ] {
        assert_eq!(ask(&config, path, &[]), wanted, "{path}");
    }
    assert!(is_name(&long) && !is_name(&format!("{long}x")));
}

#[test]
fn a_thousand_ways_out_lead_nowhere() {
    let scratch = docroot(&["secret", "root/echo", "root/dir/chat"]);
    let root = scratch.0.join("root");
    symlink("../secret", root.join("link")).expect("a link");
    symlink("..", root.join("up")).expect("a link");
    symlink(scratch.0.join("secret"), root.join("absolute")).expect("a link");
    let config = section(&format!("docroot = \"{}\"", root.display()));
    let parts = [
        "..",
        ".",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "..%2f",
        "%2f",
        "",
        "dir",
        "up",
        "link",
        "absolute",
        "..%00",
        "..\\",
        "...",
        "%c0%ae%c0%ae",
        "~",
        "dir%2f..",
    ];
    let secret = scratch.0.join("secret").display().to_string();
    let ends = [
        "secret",
        "root/echo",
        "link",
        "absolute",
        "up/secret",
        &secret,
    ];
    // xorshift32: the same paths in every run.
    let mut state = 0x2545_f491_u32;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % limit
    };
    for _ in 0..1000 {
        let mut path = String::from("/");
        for _ in 0..below(6) {
            path += parts[below(parts.len())];
            path.push('/');
        }
        path += ends[below(ends.len())];
        let offer = [&path[1..], "../secret", ".."];
        let got = ask(&config, &path, &offer);
        assert!(matches!(got, Err(400..=404)), "{path}: {got:?}");
    }
    assert_eq!(ask(&config, "/echo", &[]), served("echo", ""));
}

#[test]
fn a_name_is_served_if_allow_matches_and_deny_does_not() {
    let scratch = docroot(&["ws_echo", "ws_private", "chat"]);
    for (lists, wanted) in [
        ("", [true, true, true]),
        ("allow = \"ws_*\";", [true, true, false]),
        ("allow = \"ws_\\\\*\";", [true, true, false]),
        ("allow = \"^ws_*$\";", [true, true, false]),
        ("allow = \"ws_echo,chat\";", [true, false, true]),
        ("deny = \"*_private\";", [true, false, true]),
        ("deny = \"*\";", [false, false, false]),
        ("allow = \"\";", [false, false, false]),
        ("allow = \"WS_*\";", [false, false, false]),
        (
            "allow = \"ws_*\"; deny = \"*_private\";",
            [true, false, false],
        ),
        (
            "allow = \"ws_*\"; deny = \"*\"; denylast = true;",
            [true, true, false],
        ),
        (
            "allow = \"*\"; deny = \"*\"; denylast = true;",
            [true, true, true],
        ),
    ] {
        let config = section_of(&scratch, lists);
        let got = ["/ws_echo", "/ws_private", "/chat"].map(|path| match ask(&config, path, &[]) {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(status, 403, "{lists} {path}");
                false
            }
        });
        assert_eq!(got, wanted, "{lists}");
    }
}

#[test]
fn a_directory_offers_its_sockets_as_subprotocols() {
    let scratch = docroot(&["dir/chat", "dir/echo", "dir/deeper/x", "alone", "echo"]);
    fs::write(scratch.0.join("file"), "").expect("a file");
    symlink("/dev/null", scratch.0.join("outward")).expect("a link");
    let config = section_of(&scratch, "deny = \"dir/echo\"");
    for (path, offer, wanted) in [
        ("/dir", &["chat"][..], served("dir/chat", "chat")),
        ("/dir", &["x", "chat"], served("dir/chat", "chat")),
        ("/dir", &["echo", "chat"], served("dir/chat", "chat")),
        ("/dir", &["echo"], Err(404)),
        ("/dir", &["deeper"], Err(404)),
        ("/dir", &["..", ".", "../alone"], Err(404)),
        ("/dir", &[], Err(404)),
        ("/dir", &["CHAT"], Err(404)),
        // A name that does not exist: the subprotocol alone names the service.
        ("/nothing", &["chat", "alone"], served("alone", "alone")),
        ("/", &["echo"], served("echo", "echo")),
        ("/nothing", &["dir"], Err(404)),
        // What exists and is no service does not give way to one.
        ("/file", &["alone"], Err(404)),
        ("/outward", &["alone"], Err(404)),
        ("/nothing", &["../alone", "."], Err(404)),
        // A socket is itself; what is offered is chosen by `protocols` then.
        ("/alone", &["echo"], served("alone", "echo")),
    ] {
        assert_eq!(ask(&config, path, offer), wanted, "{path} {offer:?}");
    }
    let config = section_of(&scratch, "allow = \"dir/*\"");
    assert_eq!(
        ask(&config, "/dir", &["chat"]),
        Err(403),
        "its own name too"
    );
}

#[test]
fn the_first_subprotocol_offered_that_is_listed_is_chosen() {
    let scratch = docroot(&["echo"]);
    let config = section_of(&scratch, "protocols = \"b,a\"");
    assert_eq!(ask(&config, "/echo", &["x", "a", "b"]), served("echo", "a"));
    assert_eq!(ask(&config, "/echo", &["x", "A"]), served("echo", ""));
    assert_eq!(ask(&config, "/echo", &[]), served("echo", ""));
    let config = section_of(&scratch, "protocols = \"\"");
    assert_eq!(ask(&config, "/echo", &["a"]), served("echo", ""));
}

#[test]
fn links_stand_before_docroot_and_pass_the_same_lists() {
    let scratch = docroot(&["echo", "uart_secret"]);
    let config = section_of(
        &scratch,
        "deny = \"*_secret\"; links = ({ origin = \"uart_*\"; type = \"tcp\"; \
         destination = \"127.0.0.1\"; port = \"7\"; protocols = \"raw\"; });",
    );
    assert_eq!(ask(&config, "/uart_0", &["raw"]), served("uart_0", "raw"));
    assert_eq!(ask(&config, "/uart_secret", &[]), Err(403));
    assert_eq!(ask(&config, "/uart_/../echo", &[]), Err(404));
    assert_eq!(ask(&config, "/echo", &["any"]), served("echo", "any"));
}

#[test]
fn a_link_with_an_empty_origin_serves_the_path_without_a_name() {
    let scratch = docroot(&["echo"]);
    let link = |origin: &str, lists: &str| {
        let link = format!(
            "{lists} links = ({{ origin = \"{origin}\"; destination = \"/run/x.sock\"; }});"
        );
        section_of(&scratch, &link)
    };
    let config = link("", "");
    for path in ["/", "//"] {
        assert_eq!(ask(&config, path, &[]), served("/", ""), "{path}");
    }
    assert_eq!(ask(&config, "/echo", &[]), served("echo", ""));
    assert_eq!(ask(&link("*", ""), "/", &[]), Err(404));
    assert_eq!(ask(&link("", "allow = \"echo\";"), "/", &[]), Err(403));
}

#[test]
fn the_example_of_a_serial_line_serves_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/serial-port.conf");
    let (config, _) = crate::config::load(&path).expect("a good example");
    let config = config.servers[0].websocket.as_ref().expect("it has one");
    assert_eq!(ask(config, "/modem", &[]), served("modem", ""));
    assert_eq!(ask(config, "/other", &[]), Err(403));
}
