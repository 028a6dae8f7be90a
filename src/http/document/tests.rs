//! Tests of `document`: whole answers over a real socket.

use super::*;
use crate::http::request::tests::{pair, parse};
use crate::system::beneath::tests::Scratch;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

const PAGE: &str = "<!DOCTYPE html>\n";

/// secret outside; below the docroot a page, files to find and files not to.
fn site() -> (Scratch, Document) {
    let scratch = Scratch::new();
    let docroot = scratch.0.join("root");
    fs::create_dir_all(docroot.join("sub dir")).expect("mkdir");
    fs::create_dir_all(docroot.join(".well-known/acme")).expect("mkdir");
    fs::write(scratch.0.join("secret"), "secret").expect("write");
    for (name, content) in [
        ("index.html", PAGE),
        ("sub dir/index.html", PAGE),
        ("digits", "0123456789"),
        ("empty.txt", ""),
        (".hidden", "secret"),
        (".well-known/.hidden", "secret"),
        (".well-known/acme/token", "token"),
    ] {
        fs::write(docroot.join(name), content).expect("write");
    }
    symlink("digits", docroot.join("inward.bin")).expect("link");
    symlink("../secret", docroot.join("outward")).expect("link");
    mkfifo(&docroot.join("fifo"), Mode::S_IRUSR).expect("mkfifo");
    drop(UnixListener::bind(docroot.join("socket")).expect("bind"));
    let config = DocumentConfig {
        auth: None,
        docroot,
        default_page: "index.html".into(),
    };
    (scratch, Document::new(&config))
}

/// What a request for `target` with these header lines is answered: all of it, or the refusal.
fn ask(document: &Document, method: &str, target: &str, lines: &str) -> Result<String, Refusal> {
    let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let request = parse(head.as_bytes()).expect("a good head");
    let (client, far) = pair();
    let sent = document.serve(&client, &request, After::Close, ())?;
    drop(client);
    let answer = all_of(far);
    assert_eq!(sent, answer.len() as u64);
    Ok(String::from_utf8(answer).expect("text"))
}

fn all_of(mut far: TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).expect("an answer");
    answer
}

fn get(document: &Document, target: &str, lines: &str) -> String {
    ask(document, "GET", target, lines).expect("an answer")
}

fn refused(document: &Document, method: &str, target: &str) -> u16 {
    ask(document, method, target, "")
        .expect_err(target)
        .status()
}

fn value<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = format!("\r\n{name}: ");
    let (_, rest) = answer
        .split_once(&line)
        .unwrap_or_else(|| panic!("no {name}: {answer}"));
    rest.split("\r\n").next().unwrap_or_default()
}

#[test]
fn a_file_is_served_whole() {
    let (_scratch, document) = site();
    let answer = get(&document, "/index.html?query", "");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{PAGE}")), "{answer}");
    for (name, wanted) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", "16"),
        ("Connection", "close"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", "frame-ancestors 'self'"),
        ("Referrer-Policy", "strict-origin-when-cross-origin"),
        ("Vary", "Accept-Encoding"),
    ] {
        assert_eq!(value(&answer, name), wanted);
    }
    assert_eq!(get(&document, "/%69ndex.html", ""), answer);
    assert!(get(&document, "/empty.txt", "").ends_with("\r\n\r\n"));
    assert!(get(&document, "/inward.bin", "").ends_with("0123456789"));
    assert!(get(&document, "/.well-known/acme/token", "").ends_with("token"));
}

#[test]
fn a_head_is_the_get_without_its_content() {
    let (_scratch, document) = site();
    let head = ask(&document, "HEAD", "/digits", "").expect("an answer");
    assert_eq!(head + "0123456789", get(&document, "/digits", ""));
    // A range is of the content (RFC 9110, section 14.2), and a HEAD has none.
    for range in ["bytes=2-5", "bytes=10-"] {
        let range = format!("Range: {range}\r\n");
        let head = ask(&document, "HEAD", "/digits", &range).expect("an answer");
        assert_eq!(head + "0123456789", get(&document, "/digits", ""));
    }
    let head = ask(&document, "HEAD", "/sub%20dir", "").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 301 "), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let body = "301 Moved Permanently: this is a directory\n";
    assert_eq!(head + body, get(&document, "/sub%20dir", ""));
}

#[test]
fn a_gzip_file_is_sent_for_the_one_beside_it_to_who_takes_gzip() {
    let (scratch, document) = site();
    let write = |name: &str, content: &str| {
        fs::write(scratch.0.join("root").join(name), content).expect("write");
    };
    write("x.js", "plain");
    write("x.js.gz", "small");
    write("only.css.gz", "styles");
    for (takes, wanted) in [
        ("gzip", "small"),
        ("deflate, GZIP;q=0.1, br", "small"),
        ("br, deflate", "plain"),
        ("gzip;q=0", "plain"),
        ("gzip; q=0.000, identity", "plain"),
        ("x-gzipped", "plain"),
    ] {
        let answer = get(&document, "/x.js", &format!("Accept-Encoding: {takes}\r\n"));
        assert!(answer.ends_with(&format!("\r\n\r\n{wanted}")), "{answer}");
        let is_gzip = answer.contains("\r\nContent-Encoding: gzip\r\n");
        assert_eq!(is_gzip, wanted == "small", "{answer}");
        assert_eq!(
            value(&answer, "Content-Type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(value(&answer, "Vary"), "Accept-Encoding");
    }
    let gzip = "Accept-Encoding: gzip\r\n";
    let (plain, small) = (get(&document, "/x.js", ""), get(&document, "/x.js", gzip));
    assert_ne!(value(&plain, "ETag"), value(&small, "ETag"));
    let known = format!("{gzip}If-None-Match: {}\r\n", value(&small, "ETag"));
    assert!(get(&document, "/x.js", &known).starts_with("HTTP/1.1 304 "));
    let part = get(&document, "/x.js", &format!("{gzip}Range: bytes=1-2\r\n"));
    assert!(part.ends_with("\r\n\r\nma"), "{part}");
    assert!(get(&document, "/only.css", gzip).ends_with("styles"));
    assert_eq!(refused(&document, "GET", "/only.css"), 404);
    // A file that was changed after it was compressed is sent as it is now.
    let old = fs::File::open(scratch.0.join("root/x.js.gz")).expect("a file");
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    old.set_modified(then).expect("our own file");
    assert!(get(&document, "/x.js", gzip).ends_with("plain"));
}

#[test]
fn an_answer_says_what_becomes_of_the_connection() {
    let (_scratch, document) = site();
    for (after, lines) in [
        (After::Close, "\r\nConnection: close\r\n"),
        (
            After::Next(std::time::Duration::from_secs(10)),
            "\r\nConnection: keep-alive\r\nKeep-Alive: timeout=10\r\n",
        ),
    ] {
        let request = parse(b"GET /digits HTTP/1.1\r\nHost: a\r\n\r\n").expect("good");
        let (client, far) = pair();
        (document.serve(&client, &request, after, ())).expect("an answer");
        drop(client);
        let answer = String::from_utf8(all_of(far)).expect("text");
        assert!(answer.contains(lines), "{answer}");
    }
}

#[test]
fn a_directory_has_a_slash_and_a_default_page() {
    let (_scratch, document) = site();
    assert!(get(&document, "/", "").ends_with(PAGE));
    assert!(get(&document, "/sub%20dir/", "").ends_with(PAGE));
    let answer = get(&document, "/sub%20dir?a=%0d%0ab", "");
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
    assert_eq!(value(&answer, "Location"), "/sub%20dir/");
    assert_eq!(refused(&document, "GET", "/.well-known/"), 404);
}

#[test]
fn what_is_not_to_be_served_is_not_there() {
    let (_scratch, document) = site();
    for target in [
        "/nothing",
        "/../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/%252e%252e/secret",
        "/outward",
        "/.hidden",
        "/%2ehidden",
        "/.well-known/.hidden",
        "/.well-known-x/",
        "//digits",
        "/./digits",
        "/digits/",
        "//",
        "/sub%20dir//index.html",
        "/fifo",
        "/socket",
        "/sub%20dir/.well-known/x",
    ] {
        assert_eq!(refused(&document, "GET", target), 404, "{target}");
    }
    assert_eq!(refused(&document, "POST", "/digits"), 405);
    assert_eq!(refused(&document, "get", "/digits"), 405);
}

#[test]
fn a_known_version_is_not_sent_again() {
    let (_scratch, document) = site();
    let answer = get(&document, "/digits", "");
    let tag = value(&answer, "ETag");
    for list in [tag, "*", &format!("\"other\", W/{tag}")] {
        let answer = get(&document, "/digits", &format!("If-None-Match: {list}\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 304 Not Modified\r\n"),
            "{answer}"
        );
        assert_eq!(value(&answer, "ETag"), tag);
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let answer = get(&document, "/digits", "If-None-Match: \"other\"\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn one_range_is_served_alone() {
    let (_scratch, document) = site();
    for (range, wanted, content) in [
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("Bytes=-4", "bytes 6-9/10", "6789"),
        ("bytes=-99999999999999999999", "bytes 0-9/10", "0123456789"),
        ("bytes=9-99999999999999999999", "bytes 9-9/10", "9"),
    ] {
        let answer = get(&document, "/digits", &format!("Range: {range}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 206 "), "{answer}");
        assert_eq!(value(&answer, "Content-Range"), wanted);
        assert_eq!(value(&answer, "Content-Length"), content.len().to_string());
        assert!(answer.ends_with(&format!("\r\n\r\n{content}")), "{answer}");
    }
}

#[test]
fn a_range_beyond_the_file_is_a_416() {
    let (_scratch, document) = site();
    for range in [
        "bytes=10-",
        "bytes=10-12",
        "bytes=-0",
        "bytes=99999999999999999999-",
    ] {
        let refusal =
            ask(&document, "GET", "/digits", &format!("Range: {range}\r\n")).expect_err(range);
        assert!(matches!(refusal, Refusal::BadRange(10)), "{range}");
    }
    let refusal = ask(&document, "GET", "/empty.txt", "Range: bytes=0-\r\n").expect_err("empty");
    assert_eq!(refusal.status(), 416);
}

#[test]
fn what_is_no_single_range_means_the_whole_file() {
    let (_scratch, document) = site();
    for lines in [
        "Range: bytes=5-2\r\n",
        "Range: bytes=1-2,4-5\r\n",
        "Range: bytes=-\r\n",
        "Range: bytes=+1-2\r\n",
        "Range: lines=1-2\r\n",
        "Range: bytes=1-2\r\nRange: bytes=1-2\r\n",
        "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n",
    ] {
        assert!(
            get(&document, "/digits", lines).starts_with("HTTP/1.1 200 "),
            "{lines}"
        );
    }
}

#[test]
fn a_large_file_goes_in_pieces() {
    let (scratch, document) = site();
    let content: Vec<u8> = (0..1_000_003_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    fs::write(scratch.0.join("root/large"), &content).expect("write");
    let (client, far) = pair();
    let reader = thread::spawn(move || all_of(far));
    let request = parse(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("good");
    let sent = document
        .serve(&client, &request, After::Close, ())
        .expect("served");
    drop(client);
    let answer = reader.join().expect("no panic");
    assert_eq!(sent, answer.len() as u64);
    assert!(answer.ends_with(&content));
}

#[test]
fn a_client_that_leaves_in_the_middle_is_gone() {
    let (scratch, document) = site();
    fs::write(scratch.0.join("root/large"), vec![0; 16 << 20]).expect("write");
    let (client, far) = pair();
    drop(far);
    let request = parse(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("good");
    let refusal = document
        .serve(&client, &request, After::Close, ())
        .expect_err("nobody reads");
    assert!(matches!(refusal, Refusal::Gone(_)), "{refusal}");
}
