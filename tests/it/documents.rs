//! Static files beside the services: `document`.

use std::os::unix::fs::symlink;

use crate::gateway::Gateway;
use crate::http::{get, plain};

fn site() -> Gateway {
    let gateway = Gateway::with("document = { docroot = \"DIR/www\"; };", "");
    std::fs::write(gateway.path("www/index.html"), "<p>first page").unwrap();
    std::fs::write(gateway.path("www/data.bin"), crate::frames::noise(200_000)).unwrap();
    std::fs::write(gateway.path("www/ten.txt"), "0123456789").unwrap();
    std::fs::write(gateway.path("secret"), "secret").unwrap();
    std::fs::create_dir(gateway.path("www/sub")).unwrap();
    std::fs::write(gateway.path("www/sub/index.html"), "<p>second page").unwrap();
    gateway
}

#[test]
fn get_sends_the_file_with_its_type_and_length() {
    let gateway = site();
    let response = get(&gateway, "/data.bin", "");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("Content-Length"), Some("200000"));
    assert!(response.body == crate::frames::noise(200_000));
    let response = get(&gateway, "/ten.txt?query", "");
    assert_eq!(response.body, b"0123456789");
    assert!(
        response
            .header("Content-Type")
            .unwrap()
            .starts_with("text/plain")
    );
}

#[test]
fn a_directory_is_its_default_page() {
    let gateway = site();
    for (target, body) in [("/", "<p>first page"), ("/sub/", "<p>second page")] {
        let response = get(&gateway, target, "");
        assert_eq!(response.body, body.as_bytes(), "{target}");
        assert!(
            response
                .header("Content-Type")
                .unwrap()
                .starts_with("text/html")
        );
    }
}

#[test]
fn head_sends_the_same_head_and_nothing_more() {
    let gateway = site();
    let response = plain(&gateway, "HEAD", "/ten.txt", "");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.header("Content-Length"), Some("10"));
}

#[test]
fn an_etag_saves_the_second_transfer() {
    let gateway = site();
    let tag = get(&gateway, "/ten.txt", "")
        .header("ETag")
        .expect("an ETag")
        .to_owned();
    let response = get(&gateway, "/ten.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((response.status, response.body.len()), (304, 0));
    let response = get(&gateway, "/ten.txt", "If-None-Match: \"other\"\r\n");
    assert_eq!(response.status, 200);
    std::fs::write(gateway.path("www/ten.txt"), "abcdefghijk").unwrap();
    let response = get(&gateway, "/ten.txt", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (response.status, response.body.as_slice()),
        (200, &b"abcdefghijk"[..])
    );
}

#[test]
fn ranges_are_served_and_bad_ones_refused() {
    let gateway = site();
    let cases = [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ];
    for (range, body, named) in cases {
        let response = get(&gateway, "/ten.txt", &format!("Range: {range}\r\n"));
        assert_eq!(response.status, 206, "{range}");
        assert_eq!(response.body, body.as_bytes(), "{range}");
        assert_eq!(response.header("Content-Range"), Some(named));
    }
    let response = get(&gateway, "/ten.txt", "Range: bytes=10-\r\n");
    assert_eq!(response.status, 416);
    assert_eq!(response.header("Content-Range"), Some("bytes */10"));
    // A Range that is not one of bytes is ignored (RFC 9110, section 14.2).
    for range in ["lines=1-2", "bytes=3-1", "bytes=x", "bytes="] {
        assert_eq!(
            get(&gateway, "/ten.txt", &format!("Range: {range}\r\n")).status,
            200,
            "{range}"
        );
    }
}

#[test]
fn nothing_outside_the_docroot_is_sent() {
    let gateway = site();
    symlink(gateway.path("secret"), gateway.path("www/link")).unwrap();
    symlink("../secret", gateway.path("www/relative")).unwrap();
    symlink("..", gateway.path("www/up")).unwrap();
    let absolute = gateway.path("secret");
    let targets = [
        "/../secret",
        "/%2e%2e/secret",
        "/sub/../../secret",
        "/..%2fsecret",
        "/link",
        "/relative",
        "/up/secret",
        "/%252e%252e/secret",
        "/sub/%2e%2e/%2e%2e/secret",
        "/./../secret",
        absolute.to_str().unwrap(),
    ];
    for target in targets {
        let response = get(&gateway, target, "");
        assert!(
            [400, 403, 404].contains(&response.status),
            "{target} got {}",
            response.status
        );
        assert!(
            !response.body.windows(6).any(|six| six == b"secret"),
            "{target}"
        );
    }
}

#[test]
fn absent_files_get_404_and_other_methods_405() {
    let gateway = site();
    assert_eq!(get(&gateway, "/absent.html", "").status, 404);
    assert_eq!(get(&gateway, "/ten.txt/x", "").status, 404);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(
            plain(&gateway, method, "/ten.txt", "").status,
            405,
            "{method}"
        );
    }
}

#[test]
fn a_page_and_its_service_share_an_origin() {
    let gateway = site();
    gateway.backend("echo").echo();
    assert_eq!(get(&gateway, "/", "").status, 200);
    let origin = format!("Origin: http://{}\r\n", gateway.address());
    let mut client = crate::client::Client::open(&gateway, "echo", &origin);
    client.text("hello");
    assert_eq!(client.message().1, b"hello");
}

#[test]
fn a_fifo_in_the_docroot_holds_nobody_up() {
    let gateway = site();
    let fifo = gateway.path("www/fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let response = get(&gateway, "/fifo", "");
    assert!([403, 404].contains(&response.status));
}
