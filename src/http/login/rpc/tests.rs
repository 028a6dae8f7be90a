//! Tests of `rpc`: what authrpc is asked, and what its answers mean.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use super::*;
use crate::http::login::passwords::WAIT;
use crate::system::beneath::tests::Scratch;

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// A server that does this with its one client.
fn server<T: Send + 'static>(
    tells_address: bool,
    serve: impl FnOnce(UnixStream) -> T + Send + 'static,
) -> (Rpc, JoinHandle<T>, Scratch) {
    let scratch = Scratch::new();
    let path = scratch.0.join("auth");
    let listener = UnixListener::bind(&path).expect("a free name");
    let served = thread::spawn(move || serve(listener.accept().expect("a client").0));
    (
        Rpc::new(&Target::Unix(path), tells_address),
        served,
        scratch,
    )
}

/// What a check of ann:secret finds where the server answers this and leaves.
fn found(answer: impl Into<Vec<u8>>) -> Result<Option<Vec<String>>, String> {
    let answer = answer.into();
    let (rpc, served, _scratch) = server(false, move |stream| {
        let mut call = String::new();
        let _ = BufReader::new(&stream).read_line(&mut call);
        let mut stream = stream;
        let _ = stream.write_all(&answer);
    });
    let found = check(&rpc, "ann", "secret");
    served.join().expect("no panic");
    found
}

fn check(rpc: &Rpc, user: &str, password: &str) -> Result<Option<Vec<String>>, String> {
    rpc.verify(&credentials(user, password), None, Instant::now() + WAIT)
}

#[test]
fn the_call_is_json_whatever_the_password_and_comes_behind_the_address() {
    let (rpc, served, _scratch) = server(true, |mut stream| {
        let mut header = [0; 28];
        stream.read_exact(&mut header).expect("a PROXY header");
        let mut call = String::new();
        BufReader::new(&stream)
            .read_line(&mut call)
            .expect("a call");
        stream.write_all(br#"{"result":{}}"#).expect("it reads");
        (header, call)
    });
    let source = "192.0.2.7".parse().ok();
    let deadline = Instant::now() + WAIT;
    let found = rpc.verify(&credentials("a\"b", "c\\d é"), source, deadline);
    assert_eq!(found, Ok(Some(Vec::new())));
    let (header, call) = served.join().expect("no panic");
    assert_eq!(header[12..20], [0x21, 0x11, 0, 12, 192, 0, 2, 7]);
    assert_eq!(
        call,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"auth\",\
         \"params\":{\"user\":\"a\\\"b\",\"passwd\":\"c\\\\d é\"}}\n"
    );
}

#[test]
fn a_result_is_right_and_tells_the_groups() {
    for (answer, groups) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"user":"ann","group":"root"}}"#,
            &["root"][..],
        ),
        ("{\"result\":{\"group\":\"a, b\"}}\n", &["a", "b"]),
        ("{\"result\":{}}\0", &[]),
        (" {\n  \"result\": {\n    \"group\": null\n  }\n}\n", &[]),
    ] {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        assert_eq!(found(answer), Ok(Some(groups)), "{answer}");
    }
}

#[test]
fn only_the_error_that_says_so_means_a_wrong_password() {
    let error = |code: i32, message: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":{code},\"message\":\"{message}\"}},\"id\":1}}"
        )
    };
    assert_eq!(found(error(-32000, WRONG)), Ok(None));
    for message in [
        "try again later",
        "busy",
        "internal error",
        "parse error\\n",
    ] {
        let why = found(error(-32000, message)).expect_err("nobody knows");
        assert!(!why.contains('\n'), "{why}");
    }
    for answer in [
        "",
        "{",
        "[]",
        "{}",
        "rubbish",
        "{\"result\":true}",
        "{\"result\":null}",
        "{\"error\":\"user or password not found\"}",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        assert!(found(answer).is_err(), "{answer}");
    }
    assert!(
        found(format!(
            "{{\"result\":{{\"a\":\"{}\"}}}}",
            "x".repeat(MAX_ANSWER)
        ))
        .is_err()
    );
    assert!(found(vec![0xff; 100]).is_err());
}

#[test]
fn an_empty_user_or_password_is_wrong_without_a_call() {
    let rpc = Rpc::new(&Target::Unix("/nowhere/auth".into()), true);
    assert_eq!(check(&rpc, "", "x"), Ok(None));
    assert_eq!(check(&rpc, "x", ""), Ok(None));
    assert!(check(&rpc, "x", "y").is_err());
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_until_the_deadline() {
    let (rpc, served, _scratch) = server(false, |mut stream| {
        // Until the gateway leaves.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let start = Instant::now();
    assert_eq!(
        check(&rpc, "ann", "x"),
        Err("no answer came in time".into())
    );
    assert!(start.elapsed() >= WAIT, "{:?}", start.elapsed());
    served.join().expect("no panic");
}
