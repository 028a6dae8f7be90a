//! Which names reach which backend, and that none leads out of docroot.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use crate::client::Client;
use crate::gateway::{Gateway, is_emulated};
use crate::http::{ask, upgrade};

#[test]
fn a_name_is_decoded_once_and_its_query_is_not_part_of_it() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("a.b~c");
    for target in ["a.b~c", "a%2eb~c", "a.b%7Ec?x=1", "a.b~c?/../y"] {
        gateway.open(target);
        backend.accept();
    }
    for target in [
        "a%252eb~c",
        "a%2",
        "a%zz",
        "%00a",
        "a%00",
        "a%0ab",
        "a b",
        "a;b",
        "a%2fb\\",
    ] {
        let response = crate::http::try_ask(
            &gateway,
            upgrade(&gateway, &format!("/{target}"), "").as_bytes(),
        );
        let status = response.expect("an answer").status;
        assert!([400, 403, 404].contains(&status), "{target:?} got {status}");
    }
    assert!(!backend.is_called());
}

#[test]
fn no_name_leads_out_of_docroot() {
    let gateway = Gateway::start("");
    let outside = UnixListener::bind(gateway.path("outside")).unwrap();
    outside.set_nonblocking(true).unwrap();
    std::fs::create_dir(gateway.path("run/dir")).unwrap();
    std::fs::create_dir(gateway.path("elsewhere")).unwrap();
    let elsewhere = UnixListener::bind(gateway.path("elsewhere/s")).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    symlink(gateway.path("outside"), gateway.path("run/link")).unwrap();
    symlink("../outside", gateway.path("run/relative")).unwrap();
    symlink(gateway.path("elsewhere"), gateway.path("run/dirlink")).unwrap();
    let absolute = gateway.path("outside");
    let absolute = absolute.to_str().unwrap();
    let mut targets: Vec<String> = [
        "/../outside",
        "/%2e%2e/outside",
        "/%252e%252e/outside",
        "/dir/../../outside",
        "/dir/%2e%2e/%2e%2e/outside",
        "/./../outside",
        "//../outside",
        "/..%2foutside",
        "/%2e%2e%2foutside",
        "/link",
        "/relative",
        "/dirlink/s",
        "/..",
        "/.",
        "/",
        "//outside",
        "/dir/..%5coutside",
        "/dir//../../outside",
    ]
    .map(String::from)
    .to_vec();
    targets.push(absolute.to_owned());
    targets.push(format!("/{absolute}"));
    targets.push(format!("/{}", "a".repeat(108)));
    targets.push(format!("/{}outside", "../".repeat(40)));
    for target in targets {
        let status = ask(&gateway, &upgrade(&gateway, &target, "")).status;
        assert!(
            [400, 403, 404, 414].contains(&status),
            "{target:?} got {status}"
        );
    }
    for protocol in [
        "../outside",
        absolute,
        "link",
        "relative",
        "..",
        "dirlink/s",
    ] {
        for target in ["/", "/dir", "/absent"] {
            let offer = format!("Sec-WebSocket-Protocol: {protocol}\r\n");
            let status = ask(&gateway, &upgrade(&gateway, target, &offer)).status;
            assert!(
                [400, 403, 404].contains(&status),
                "{target} {protocol:?} got {status}"
            );
        }
    }
    assert!(
        outside.accept().is_err(),
        "a connection came out of docroot"
    );
    assert!(
        elsewhere.accept().is_err(),
        "a connection came out of docroot"
    );
}

#[test]
fn links_inside_docroot_are_followed() {
    if is_emulated("qemu does not know openat2, and without it links are not followed") {
        return;
    }
    let gateway = Gateway::start("");
    let backend = gateway.backend("real");
    symlink("real", gateway.path("run/alias")).unwrap();
    gateway.open("alias");
    backend.accept();
}

#[test]
fn files_and_directories_are_no_services() {
    let gateway = Gateway::start("");
    std::fs::write(gateway.path("run/file"), "text").unwrap();
    std::fs::create_dir(gateway.path("run/dir")).unwrap();
    for target in ["/file", "/dir", "/absent"] {
        assert_eq!(
            ask(&gateway, &upgrade(&gateway, target, "")).status,
            404,
            "{target}"
        );
    }
}

#[test]
fn names_may_have_directories() {
    let gateway = Gateway::start("deny = \"internal/*\";");
    for directory in ["sub", "internal"] {
        std::fs::create_dir(gateway.path("run").join(directory)).unwrap();
    }
    let backend = gateway.backend("sub/echo");
    let internal = gateway.backend("internal/echo");
    gateway.open("sub/echo");
    backend.accept();
    assert_eq!(
        ask(&gateway, &upgrade(&gateway, "/internal/echo", "")).status,
        403
    );
    assert!(!internal.is_called());
}

#[test]
fn a_subprotocol_names_the_service_where_the_path_does_not() {
    let gateway = Gateway::start("");
    std::fs::create_dir(gateway.path("run/dir")).unwrap();
    let below = gateway.backend("dir/chat");
    let beside = gateway.backend("news");
    let offer = "Sec-WebSocket-Protocol: absent, chat, news\r\n";
    let client = Client::open(&gateway, "dir", offer);
    assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), Some("chat"));
    below.accept();
    let client = Client::open(&gateway, "nowhere", offer);
    assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), Some("news"));
    beside.accept();
}
