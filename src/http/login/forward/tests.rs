//! Tests of `forward`: what the program is asked, what it may answer, and what it costs if it is
//! hostile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;
use crate::http::request::tests::parse;

mod kept;

/// Reads a head; empty at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
    head
}

/// A program that gives these answers, each to the next request. Tells each request, with the
/// number of its connection.
fn program(answers: Vec<Vec<u8>>) -> (Forward, Receiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let (told, asked) = channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("a connection");
            let mut reader = BufReader::new(&stream);
            loop {
                let head = read_head(&mut reader);
                if head.is_empty() {
                    break;
                }
                let Some(answer) = answers.next() else { return };
                let _ = told.send((number, head));
                let _ = (&stream).write_all(&answer);
                let text = String::from_utf8_lossy(&answer);
                if !text.contains("Content-Length: ") && !text.contains(" 204 ") {
                    break;
                }
            }
        }
    });
    let target = Target::Tcp("127.0.0.1".into(), port);
    (Forward::new(&target, "/verify?a=b"), asked)
}

fn request(head: &str) -> Request {
    parse(head.as_bytes()).expect("a good head")
}

fn plain() -> Request {
    request("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The verdict on a plain request after this one answer.
fn verdict_of(answer: impl Into<Vec<u8>>) -> Result<Verdict, String> {
    let (forward, _asked) = program(vec![answer.into()]);
    forward.verdict_on(&plain(), None)
}

fn let_in(user: Option<&str>, groups: &[&str]) -> Verdict {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Verdict::In(user.map(str::to_owned), groups)
}

#[test]
fn the_program_is_told_the_request_and_nothing_that_a_client_made_up() {
    let (forward, asked) = program(vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()]);
    let mut sent = request(
        "GET //a%2Db/%20x/?q=%41 HTTP/1.1\r\nHost: gw.lan:81\r\nCookie: s=1\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nAuthorization: Basic eDp5\r\nX-Forwarded-For: 6.6.6.6\r\n\
         x-forwarded-uri: /public\r\nX_Forwarded_Uri: /public\r\nRemote-User: root\r\n\
         If-None-Match: x\r\nRange: bytes=0-1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\
         Sec-WebSocket-Protocol: chat\r\nAccept: text/html\r\n\r\n",
    );
    sent.is_https = true;
    let source = "::ffff:192.0.2.7".parse().ok();
    assert_eq!(forward.verdict_on(&sent, source), Ok(let_in(None, &[])));
    let port = match &forward.target {
        Target::Tcp(_, port) => *port,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        asked.recv().expect("a request").1,
        format!(
            "GET /verify?a=b HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Forwarded-Method: GET\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: gw.lan:81\r\n\
             X-Forwarded-Uri: /a-b/%20x/?q=%41\r\nX-Forwarded-For: 192.0.2.7\r\nCookie: s=1\r\n\
             Authorization: Basic eDp5\r\nSec-WebSocket-Protocol: chat\r\nAccept: text/html\r\n\r\n"
        )
    );
}

#[test]
fn a_2xx_lets_in_and_names_the_user() {
    for (answer, wanted) in [
        ("200 OK\r\n", let_in(None, &[])),
        ("204 No Content\r\n", let_in(None, &[])),
        (
            "200 OK\r\nremote-user:  jos\u{e9} \r\nRemote-Groups: a, b,,c\r\n",
            let_in(Some("jos\u{e9}"), &["a", "b", "c"]),
        ),
        (
            "202 Accepted\r\nX-Auth-Request-User: ann\r\nX-Auth-Request-Groups: a\r\n",
            let_in(Some("ann"), &["a"]),
        ),
        ("200 OK\r\nRemote-User:\r\n", let_in(None, &[])),
    ] {
        let answer = format!("HTTP/1.1 {answer}\r\n");
        assert_eq!(verdict_of(answer.clone()), Ok(wanted), "{answer}");
    }
}

#[test]
fn a_refusal_goes_back_with_its_headers_and_no_other() {
    for (status, lines, wanted) in [
        (
            401,
            "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Negotiate\r\nServer: x\r\n",
            &[
                ("WWW-Authenticate", "Basic realm=\"x\""),
                ("WWW-Authenticate", "Negotiate"),
            ][..],
        ),
        (403, "X-Powered-By: x\r\nConnection: keep-alive\r\n", &[]),
        (429, "Retry-After: 7\r\n", &[("Retry-After", "7")]),
        (
            302,
            "Set-Cookie: a=1\r\nLocation: https://elsewhere.example/?rd=x\r\nSet-Cookie: b=2\r\n",
            &[
                ("Location", "https://elsewhere.example/?rd=x"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
            ],
        ),
    ] {
        let verdict = verdict_of(format!("HTTP/1.1 {status} Word\r\n{lines}\r\n<html>"));
        let headers = wanted.iter().map(|&(name, value)| (name, value.to_owned()));
        let wanted = SentBack {
            status,
            headers: headers.collect(),
        };
        assert_eq!(verdict, Ok(Verdict::Out(wanted)));
    }
}

#[test]
fn what_cannot_be_passed_on_is_no_verdict() {
    let long = "x".repeat(MAX_VALUE + 1);
    for lines in [
        "302 Found\r\n".to_owned(),
        "302 Found\r\nLocation: a\r\nLocation: b\r\n".to_owned(),
        format!("302 Found\r\nLocation: {long}\r\n"),
        "302 Found\r\nLocation: \u{e9}\r\n".to_owned(),
        "302 Found\r\nLocation: a\rSet-Cookie: b\r\n".to_owned(),
        "401 No\r\nWWW-Authenticate: a\r\n b\r\n".to_owned(),
        format!("401 No\r\n{}", "Set-Cookie: a=b\r\n".repeat(9)),
        "200 OK\r\nRemote-User: a\r\nRemote-User: b\r\n".to_owned(),
        format!("200 OK\r\nRemote-User: {}\r\n", &long[..256]),
        "200 OK\r\nRemote-User: a\tb\r\n".to_owned(),
        "304 Not Modified\r\n".to_owned(),
        "404 Not Found\r\n".to_owned(),
        "500 Oops\r\n".to_owned(),
        "101 Switching Protocols\r\nUpgrade: websocket\r\n".to_owned(),
    ] {
        let verdict = verdict_of(format!("HTTP/1.1 {lines}\r\n"));
        assert!(verdict.is_err(), "{lines}: {verdict:?}");
    }
}

#[test]
fn interim_answers_are_skipped() {
    let verdict = verdict_of(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRemote-User: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nRemote-User: ann\r\n\r\n",
    );
    assert_eq!(verdict, Ok(let_in(Some("ann"), &[])));
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    assert!(verdict_of(endless).is_err());
}

#[test]
fn what_is_no_answer_or_too_long_is_no_verdict() {
    let many = "X: y\r\n".repeat(65);
    let megabyte = format!("X: {}\r\n", "y".repeat(1 << 20));
    for answer in [
        String::new(),
        "\r\n\r\n".to_owned(),
        "SSH-2.0-x\r\n\r\n".to_owned(),
        "HTTP/2 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 2000 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 -20 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a".to_owned(),
        format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        format!("HTTP/1.1 200 OK\r\n{megabyte}\r\n"),
        "X: y\r\n".repeat(1 << 18),
    ] {
        let verdict = verdict_of(answer.clone());
        assert!(verdict.is_err(), "{:.40}: {verdict:?}", answer);
    }
}

#[test]
fn an_answer_that_never_ends_is_waited_for_two_seconds() {
    for lines in ["HTTP/1.1 200 OK\r\nX: ", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let forward = Forward::new(&Target::Tcp("127.0.0.1".into(), port), "/");
        let dribble = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(lines.as_bytes()).expect("it reads");
            // Byte by byte, until the gateway leaves.
            let mut end = [0];
            let pause = Some(Duration::from_millis(20));
            stream.set_read_timeout(pause).expect("a timeout");
            while stream.read(&mut end).map_or(true, |count| count > 0) {
                if stream
                    .write_all(if lines.is_empty() { b"" } else { b"y" })
                    .is_err()
                {
                    return;
                }
            }
        });
        let start = Instant::now();
        let verdict = forward.verdict_on(&plain(), None);
        assert_eq!(verdict, Err("no complete answer came in time".into()));
        assert!(start.elapsed() >= WAIT, "{:?}", start.elapsed());
        dribble.join().expect("no panic");
    }
}

#[test]
fn where_nobody_listens_there_is_no_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    for target in [
        Target::Tcp("127.0.0.1".into(), port),
        Target::Unix("/nowhere/check".into()),
    ] {
        assert!(
            Forward::new(&target, "/")
                .verdict_on(&plain(), None)
                .is_err()
        );
    }
}

#[test]
fn a_full_queue_is_waited_for_and_no_longer_than_two_seconds() {
    let scratch = crate::system::beneath::tests::Scratch::new();
    let path = scratch.0.join("check");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("a free name");
    // Nobody accepts: the queue of a UNIX socket fills (unix(7)).
    let mut held = Vec::new();
    let target = Target::Unix(path);
    let soon = Instant::now() + Duration::from_millis(1);
    while let Ok(socket) =
        Socket::connect(&target, soon.max(Instant::now() + Duration::from_millis(1)))
    {
        held.push(socket);
    }
    let verdict = Forward::new(&target, "/").verdict_on(&plain(), None);
    assert_eq!(verdict, Err("no complete answer came in time".into()));
    drop(listener);
}

#[test]
fn the_name_of_an_ipv6_address_has_brackets() {
    let forward = Forward::new(&Target::Tcp("::1".into(), 81), "/");
    assert_eq!(forward.host, "[::1]:81");
}

#[test]
fn many_checks_at_a_time_each_get_their_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || answer_by_user(&stream));
        }
    });
    let forward = Forward::new(&Target::Tcp("127.0.0.1".into(), port), "/");
    thread::scope(|scope| {
        for user in 0..24 {
            let forward = &forward;
            scope.spawn(move || {
                let user = format!("u{user}");
                let head = format!("GET /{user} HTTP/1.1\r\nHost: a\r\n\r\n");
                for _ in 0..20 {
                    let verdict = forward.verdict_on(&request(&head), None);
                    assert_eq!(verdict, Ok(let_in(Some(&user), &[])));
                }
            });
        }
    });
    assert_eq!(forward.kept().len(), MAX_KEPT);
}

/// Answers each request of a connection with the user that its path names.
fn answer_by_user(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let head = read_head(&mut reader);
        let uri = head.split("X-Forwarded-Uri: /").nth(1);
        let Some(user) = uri.and_then(|rest| rest.split("\r\n").next()) else {
            return;
        };
        let answer =
            format!("HTTP/1.1 200 OK\r\nRemote-User: {user}\r\nContent-Length: 2\r\n\r\nok");
        let mut writer = stream;
        let _ = writer.write_all(answer.as_bytes());
    }
}
