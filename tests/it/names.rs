//! Which names reach which backend, and that none leads out of docroot.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::Client;
use crate::frames::Random;
use crate::gateway::{Gateway, is_emulated};
use crate::http::{Response, ask, upgrade};
use crate::process::figure;

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
fn a_docroot_that_the_gateway_may_not_enter_gives_503_and_a_warning_with_the_cure() {
    let gateway = Gateway::start("");
    let _backend = gateway.backend("echo");
    let docroot = gateway.path("run");
    let mode = |mode| std::fs::set_permissions(&docroot, Permissions::from_mode(mode)).unwrap();
    // The daemon has no capability, as root neither: a directory of another user's is closed to it.
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&docroot, Some(65_534), None).unwrap();
    }
    mode(0o000);
    let answer = ask(&gateway, &upgrade(&gateway, "/echo", ""));
    let warning = "the gateway's user must be allowed to enter";
    let warned = gateway.process.find_line(|line| line.contains(warning));
    mode(0o755);
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    assert!(warned.is_some());
    gateway.open("echo");
}

#[test]
fn doubled_and_trailing_slashes_are_forgiven() {
    let gateway = Gateway::start("");
    gateway.backend("echo").echo();
    for target in ["echo/", "/echo", "//echo//?x"] {
        let mut client = gateway.open(target);
        client.text("Hello");
        assert_eq!(client.message().1, b"Hello", "{target}");
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

/// Listeners outside docroot that no client may reach.
struct Outside(Vec<UnixListener>);

impl Outside {
    fn listen(gateway: &Gateway, names: &[&str]) -> Outside {
        let listen = |name: &&str| {
            let listener = UnixListener::bind(gateway.path(name)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        Outside(names.iter().map(listen).collect())
    }

    /// Clients that have come out of docroot.
    fn count(&self) -> usize {
        let called = |listener: &&UnixListener| listener.accept().is_ok();
        self.0.iter().filter(called).count()
    }
}

/// Ways to write a path that leads above or beside docroot.
const WAYS: [&str; 24] = [
    "..",
    ".",
    "",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%25252e",
    "..%2f",
    "%2f",
    "%5c",
    "..%5c",
    "..%00",
    "%00",
    "%c0%ae%c0%ae",
    "%e0%80%ae",
    "%uff0e",
    "dir",
    "link",
    "dirlink",
    "...",
    "~",
    "*",
    "..;",
];

#[test]
fn a_thousand_traversals_in_path_query_host_and_subprotocol_reach_nobody_outside() {
    let gateway = Gateway::start("");
    std::fs::create_dir(gateway.path("run/dir")).unwrap();
    std::fs::create_dir(gateway.path("elsewhere")).unwrap();
    let outside = Outside::listen(&gateway, &["outside", "elsewhere/s", "elsewhere/outside"]);
    let _inside = gateway.backend("dir/s");
    symlink("../outside", gateway.path("run/link")).unwrap();
    symlink(gateway.path("elsewhere"), gateway.path("run/dirlink")).unwrap();
    symlink("/etc/passwd", gateway.path("run/file")).unwrap();
    let absolute = gateway.path("outside").display().to_string();
    let ends = [
        "outside",
        "s",
        "link",
        "dirlink/s",
        "elsewhere/s",
        "file",
        &absolute,
        "",
    ];
    let mut random = Random::new(5);
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..1000 {
        let mut way = String::new();
        for _ in 0..1 + random.below(6) {
            way += WAYS[random.below(WAYS.len())];
            way.push('/');
        }
        way += ends[random.below(ends.len())];
        if number % 50 == 0 {
            way = format!("{}{way}", "x/".repeat(60));
        }
        let host = format!("Host: {}\r\n", gateway.address());
        let request = match number % 4 {
            0 => upgrade(&gateway, &format!("/{way}"), ""),
            1 => upgrade(&gateway, &format!("/absent?/{way}"), ""),
            2 => upgrade(&gateway, "/absent", "").replace(&host, &format!("Host: {way}\r\n")),
            _ => {
                let target = ["/", "/dir", "/absent"][random.below(3)];
                upgrade(
                    &gateway,
                    target,
                    &format!("Sec-WebSocket-Protocol: {way}\r\n"),
                )
            }
        };
        let status = ask(&gateway, &request).status;
        // Doubled slashes are forgiven: some of these paths name the one service inside.
        let decoded = way.replace("%2f", "/");
        let segments = decoded.split('/').filter(|segment| !segment.is_empty());
        let right: &[u16] = match number % 4 == 0 && segments.eq(["dir", "s"]) {
            true => &[101],
            false => &[400, 403, 404],
        };
        assert!(right.contains(&status), "{way:?} got {status}:\n{request}");
        *statuses.entry(status).or_insert(0) += 1;
    }
    assert_eq!(outside.count(), 0, "connections came out of docroot");
    figure(format!(
        "1000 traversals: {statuses:?}; 0 connections outside docroot"
    ));
}

/// Swaps what stands under two names as fast as it can, while clients ask for them: a socket inside
/// docroot, and links that lead out of it.
fn swapped_while_asked_for(gateway: &Gateway, swaps: usize) {
    let outside = Outside::listen(gateway, &["outside", "chat"]);
    std::fs::create_dir(gateway.path("run/real")).unwrap();
    gateway.backend("real/chat").echo();
    let run = gateway.path("run");
    let swap = |number: usize| {
        let (name, new) = (run.join("name"), run.join("new"));
        match number % 4 {
            // Another name of the same socket,
            0 => std::fs::hard_link(run.join("real/chat"), &new).unwrap(),
            1 => symlink("../outside", &new).unwrap(),
            // and a directory that is one or leads to another.
            2 => symlink("real", run.join("newdir")).unwrap(),
            _ => symlink("..", run.join("newdir")).unwrap(),
        }
        match number % 4 {
            0 | 1 => std::fs::rename(new, name).unwrap(),
            _ => std::fs::rename(run.join("newdir"), run.join("dir")).unwrap(),
        }
    };
    (0..4).for_each(swap);
    let done = AtomicBool::new(false);
    let mut statuses = std::collections::BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..swaps).for_each(swap);
            done.store(true, Ordering::Release);
        });
        let requests = ["/name", "/dir/chat"].map(|target| upgrade(gateway, target, ""));
        let mut number = 0;
        while !done.load(Ordering::Acquire) {
            let mut stream = gateway.connect();
            stream.write_all(requests[number % 2].as_bytes()).unwrap();
            let status = Response::read_head(&mut stream).expect("an answer").status;
            *statuses.entry(status).or_insert(0) += 1;
            number += 1;
        }
    });
    // 503: on a slow machine the ends of those before are not over, or the server is behind.
    let other = statuses
        .keys()
        .find(|status| ![101, 404, 503].contains(*status));
    assert_eq!(other, None, "{statuses:?}");
    assert_eq!(outside.count(), 0, "connections came out of docroot");
    figure(format!(
        "{swaps} swaps, answers {statuses:?}; 0 connections outside docroot"
    ));
    let both = [101, 404].map(|status| statuses.contains_key(&status));
    assert_eq!(both, [true; 2], "{statuses:?}");
}

#[test]
fn a_link_swapped_100_000_times_never_leads_out() {
    swapped_while_asked_for(&Gateway::start(""), 100_000);
}

#[test]
fn a_link_swapped_100_000_times_never_leads_out_without_openat2() {
    if is_emulated(crate::faults::NO_FAULTS) {
        return;
    }
    let mut command = crate::faults::daemon_with("FAULT_OPENAT2", "1");
    let gateway = Gateway::run(&mut command, crate::gateway::free_address(), "", "");
    // Without openat2 no link is followed, not even one that stays inside.
    gateway.backend("socket").echo();
    symlink("socket", gateway.path("run/inward")).unwrap();
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/inward", "")).status, 404);
    swapped_while_asked_for(&gateway, 100_000);
}
