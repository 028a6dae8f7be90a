//! Tests of `request`: heads written out, over a real socket, in pieces and at once.

use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Our client and the other end of it.
pub(crate) fn pair() -> (Client, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let far = TcpStream::connect(address).expect("it listens");
    far.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    far.set_nodelay(true).expect("TCP");
    (Client::plain(listener.accept().expect("it came").0), far)
}

/// A deadline that no test reaches.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// The request that these bytes are, or why they are none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, Refusal> {
    match inspect(bytes)? {
        Some((_, request)) => Ok(request),
        None => Err(Refusal::Timeout),
    }
}

fn status(bytes: impl AsRef<[u8]>) -> u16 {
    parse(bytes.as_ref()).map_or_else(|refusal| refusal.status(), |_| 200)
}

/// RFC 6455, section 1.2.
pub(crate) const EXAMPLE: &str = "GET /chat?room=1 HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn the_head_is_read_and_not_a_byte_behind_it() {
    let (client, mut far) = pair();
    far.write_all(EXAMPLE.as_bytes()).expect("write");
    far.write_all(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
        .expect("write");
    let request = read(&client, 8192, soon()).expect("a good head");
    assert_eq!((&*request.method, &*request.path), ("GET", "/chat"));
    assert_eq!(request.target, "/chat?room=1");
    assert_eq!(request.query.as_deref(), Some("room=1"));
    assert_eq!(request.host, "server.example.com");
    assert!(request.is_upgrade());
    let mut rest = [0; 11];
    let mut filled = 0;
    while filled < rest.len() {
        filled += client.read(&mut rest[filled..]).expect("the frame");
    }
    assert_eq!(rest, *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

#[test]
fn a_head_cut_anywhere_is_read_whole() {
    let request = EXAMPLE.as_bytes();
    for cut in (1..request.len())
        .step_by(7)
        .chain(request.len() - 4..request.len())
    {
        let (client, mut far) = pair();
        let reader = thread::spawn(move || (read(&client, 8192, soon()), client));
        far.write_all(&request[..cut]).expect("write");
        thread::yield_now();
        far.write_all(&request[cut..]).expect("write");
        far.write_all(b"behind").expect("write");
        let (read, client) = reader.join().expect("no panic");
        assert_eq!(read.expect("a good head").path, "/chat", "cut at {cut}");
        let mut rest = [0; 1];
        assert_eq!(client.read(&mut rest).expect("a byte"), 1);
        assert_eq!(&rest, b"b", "cut at {cut}");
    }
}

#[test]
fn a_head_byte_by_byte_is_the_same_head() {
    let request = EXAMPLE.as_bytes();
    for end in 0..request.len() {
        let seen = inspect(&request[..end]).expect("nothing wrong yet");
        assert!(seen.is_none(), "complete after {end} bytes");
    }
    assert_eq!(status(request), 200);
}

#[test]
fn garbage_is_refused_before_its_end() {
    for bytes in [
        &b"PRI * HTTP/2.0\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\r\n",
        b"GET / HTTP/3.0\r\n",
        b"GET / HTTP/1.1\n",
        b"\n",
        b"\r\n\r\n\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n",
        b"GET / HTTP/1.1\r\nHost: x\0\r\n",
        b"GET / HTTP/1.1\r\nA: x\ry\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"\0",
    ] {
        assert_eq!(status(bytes), 400, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_malformed_head_is_a_400() {
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET chat HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///chat HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://me@a/chat HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/chat HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#here HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /% HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    ] {
        assert_eq!(status(head), 400, "{head:?}");
    }
}

#[test]
fn what_is_unusual_but_right_is_taken() {
    for head in [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nhOST:[::1]:8080\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(status(head), 200, "{head:?}");
    }
}

#[test]
fn an_absolute_target_names_the_host_itself() {
    let request = parse(b"GET http://a.lan:81?x HTTP/1.1\r\nHost: b\r\n\r\n").expect("good");
    assert_eq!((&*request.host, &*request.path), ("a.lan:81", "/"));
    assert_eq!(request.target, "/?x");
    assert_eq!(request.query.as_deref(), Some("x"));
}

#[test]
fn http_1_0_cannot_upgrade() {
    let head = EXAMPLE.replace("HTTP/1.1", "HTTP/1.0");
    assert!(!parse(head.as_bytes()).expect("good").is_upgrade());
}

#[test]
fn a_long_target_is_a_414_and_a_long_head_a_431() {
    for (start, wanted) in [("GET /", 414), ("GET / HTTP/1.1\r\nA: ", 431)] {
        let (client, mut far) = pair();
        let writer = thread::spawn(move || {
            let _ = far.write_all(format!("{start}{}", "a".repeat(10_000)).as_bytes());
            far
        });
        let refusal = read(&client, 8192, soon()).expect_err("too long");
        assert_eq!(refusal.status(), wanted);
        drop(writer.join());
    }
}

#[test]
fn a_head_as_long_as_its_limit_is_taken_and_one_byte_more_is_not() {
    for (limit, length, wanted) in [
        (8192, 8192, 200),
        (8192, 8193, 431),
        (65536, 65536, 200),
        (65536, 65537, 431),
        (1024, 1024, 200),
        (1024, 1025, 431),
    ] {
        let (client, mut far) = pair();
        let start = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
        let filling = "a".repeat(length - start.len() - 4);
        far.write_all(format!("{start}{filling}\r\n\r\n").as_bytes())
            .expect("write");
        let status = read(&client, limit, soon()).map_or_else(|refusal| refusal.status(), |_| 200);
        assert_eq!(status, wanted);
    }
}

#[test]
fn a_hundred_and_twenty_eight_headers_are_taken_and_one_more_is_not() {
    let head = |count| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count)
        )
    };
    assert_eq!(status(head(127)), 200);
    assert_eq!(status(head(128)), 431);
}

#[test]
fn a_slow_head_ends_at_the_deadline() {
    let (client, mut far) = pair();
    far.write_all(b"GET / HT").expect("write");
    let refusal =
        read(&client, 8192, Instant::now() + Duration::from_millis(50)).expect_err("slow");
    assert_eq!(refusal.status(), 408);
}

#[test]
fn a_client_that_leaves_is_gone() {
    let (client, mut far) = pair();
    far.write_all(b"GET / HT").expect("write");
    drop(far);
    assert!(matches!(read(&client, 8192, soon()), Err(Refusal::Gone(_))));
}

#[test]
fn a_refused_head_leaves_the_connection_writable() {
    let (client, mut far) = pair();
    far.write_all(b"\x16\x03\x01\r\n").expect("write");
    assert!(read(&client, 8192, soon()).is_err());
    client.write_all(b"no").expect("write");
    let mut answer = [0; 2];
    far.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"no");
}

#[test]
fn tokens_are_found_in_any_line_and_case_but_whole() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close,\t UPGRADE\r\n\
        connection: x-upgrade\r\nUpgrade: h2c\r\nUpgrade: WebSocket\r\n\r\n";
    let request = parse(head.as_bytes()).expect("good");
    assert!(request.is_upgrade());
    assert!(!request.has_token("Connection", "x"));
    assert_eq!(request.list("Connection").count(), 3);
}

#[test]
fn percent_encoding_is_decoded_once() {
    assert_eq!(
        percent_decode("/a%2Fb%252e").as_deref(),
        Some(&b"/a/b%2e"[..])
    );
    assert_eq!(percent_decode("%00%fF").as_deref(), Some(&b"\0\xff"[..]));
    for wrong in ["%", "%2", "%g0", "%+1", "a%2"] {
        assert_eq!(percent_decode(wrong), None, "{wrong}");
    }
}

/// Changes a head in one to four places; the same for the same number.
fn mutant(number: u32) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"%",
        b"\xff",
        b"\r\n ",
        b"Host: a\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/2.0",
        b"Sec-WebSocket-Key: x\r\n",
    ];
    let mut state = number.wrapping_mul(2_654_435_761) | 1;
    let mut random = move |below: usize| {
        // Marsaglia, "Xorshift RNGs" (2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut head = EXAMPLE.as_bytes().to_vec();
    for _ in 0..=random(4) {
        let at = random(head.len());
        match random(4) {
            0 => head[at] = random(256) as u8,
            1 => drop(head.drain(at..(at + 1 + random(20)).min(head.len()))),
            2 => drop(head.splice(at..at, PIECES[random(PIECES.len())].iter().copied())),
            _ => head
                .splice(at..at, EXAMPLE.bytes().skip(random(200)).take(40))
                .for_each(drop),
        }
    }
    head
}

#[test]
fn ten_thousand_broken_heads_have_a_status() {
    let mut taken = 0;
    for number in 0..10_000 {
        match status(mutant(number)) {
            200 => taken += 1,
            // 408 stands for a head without an end.
            400 | 408 => {}
            other => panic!("{other}: {}", mutant(number).escape_ascii()),
        }
    }
    assert!((100..9_900).contains(&taken), "{taken} taken");
}

#[test]
fn a_broken_head_is_judged_alike_in_pieces_and_at_once() {
    for number in 0..300 {
        let head = mutant(number);
        let piecewise = (1..=head.len()).find_map(|end| match inspect(&head[..end]) {
            Ok(None) => None,
            Ok(Some(_)) => Some(true),
            Err(_) => Some(false),
        });
        assert_eq!(
            piecewise.unwrap_or(false),
            status(&head) == 200,
            "{}",
            head.escape_ascii()
        );
    }
}
