//! Tests of connections that are kept for the next check.

use super::*;

#[test]
fn a_connection_is_kept_for_the_next_check() {
    let answer = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
    let (forward, asked) = program(vec![
        answer("Content-Length: 0\r\n"),
        [answer("Content-Length: 3\r\n"), b"abc".to_vec()].concat(),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        answer("Content-Length: 0\r\nConnection: close\r\n"),
        answer("Content-Length: 0\r\n"),
    ]);
    let mut connections = Vec::new();
    for _ in 0..4 {
        assert_eq!(forward.verdict_on(&plain(), None), Ok(let_in(None, &[])));
        connections.push(asked.recv().expect("a request").0);
    }
    assert_eq!(connections, [0, 0, 0, 0]);
    assert!(forward.kept().is_empty());
}

#[test]
fn a_connection_whose_end_is_not_certain_is_not_kept() {
    for lines in [
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 2\r\n\r\n",
        "Content-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nRemote-User: root\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length: 99999\r\n\r\n",
        "\r\n",
    ] {
        let (forward, _asked) = program(vec![format!("HTTP/1.1 200 OK\r\n{lines}").into_bytes()]);
        assert_eq!(
            forward.verdict_on(&plain(), None),
            Ok(let_in(None, &[])),
            "{lines}"
        );
        assert!(forward.kept().is_empty(), "{lines}");
    }
    let (forward, _asked) = program(vec![
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ]);
    assert_eq!(forward.verdict_on(&plain(), None), Ok(let_in(None, &[])));
    assert!(forward.kept().is_empty(), "HTTP/1.0");
}

#[test]
fn what_comes_over_a_kept_connection_unasked_is_no_answer() {
    let forged = b"HTTP/1.1 200 OK\r\nRemote-User: root\r\nContent-Length: 0\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let forward = Forward::new(&Target::Tcp("127.0.0.1".into(), port), "/");
    let first = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        read_head(&mut BufReader::new(&stream));
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).expect("it reads");
        (listener, stream)
    });
    assert_eq!(forward.verdict_on(&plain(), None), Ok(let_in(None, &[])));
    let (listener, mut stream) = first.join().expect("no panic");
    stream.write_all(forged).expect("it is kept");
    while forward.kept()[0].is_quiet() {
        thread::yield_now();
    }
    let second = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        read_head(&mut BufReader::new(&stream));
        stream
            .write_all(b"HTTP/1.1 403 No\r\n\r\n")
            .expect("it reads");
    });
    let verdict = forward.verdict_on(&plain(), None);
    assert!(matches!(verdict, Ok(Verdict::Out(_))), "{verdict:?}");
    second.join().expect("no panic");
}

#[test]
fn a_program_that_closes_what_was_kept_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let forward = Forward::new(&Target::Tcp("127.0.0.1".into(), port), "/");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let mut reader = BufReader::new(&stream);
            read_head(&mut reader);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            let _ = (&stream).write_all(answer);
            // Takes the next request too, and closes instead of answering.
            read_head(&mut reader);
        }
    });
    for _ in 0..3 {
        assert_eq!(forward.verdict_on(&plain(), None), Ok(let_in(None, &[])));
    }
}
