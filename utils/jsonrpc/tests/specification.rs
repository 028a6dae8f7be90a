//! The examples of the JSON-RPC 2.0 specification (section 7) and cases that they leave open, each
//! through a whole session.

mod common;

use std::io;
use std::time::Duration;

use common::{Examples, answers, session};
use jsonrpc::budget::{BUDGET, Budget};
use jsonrpc::connection::Connection;
use jsonrpc::session::serve;

/// A request of the specification and its answer, "" for none. Members stand in our order (id
/// before result); the message of -32700 is the C gateway's.
const EXAMPLES: &[(&str, &str)] = &[
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":19}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":-19}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":19}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}"#,
        r#"{"jsonrpc":"2.0","id":4,"result":19}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}"#,
        "",
    ),
    (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, ""),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
        r#"{"jsonrpc":"2.0","id":"1","error":{"code":-32601,"message":"Method not found"}}"#,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
        PARSE_ERROR,
    ),
    (
        r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
        INVALID_REQUEST,
    ),
    (
        r#"[
          {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
          {"jsonrpc": "2.0", "method"
        ]"#,
        PARSE_ERROR,
    ),
    ("[]", INVALID_REQUEST),
    (
        "[1]",
        r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}]"#,
    ),
    (
        "[1,2,3]",
        concat!(
            r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}},"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}},"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}]"#,
        ),
    ),
    (
        r#"[
            {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
            {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
            {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
            {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
        ]"#,
        concat!(
            r#"[{"jsonrpc":"2.0","id":"1","result":7},"#,
            r#"{"jsonrpc":"2.0","id":"2","result":19},"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}},"#,
            r#"{"jsonrpc":"2.0","id":"5","error":{"code":-32601,"message":"Method not found"}},"#,
            r#"{"jsonrpc":"2.0","id":"9","result":["hello", 5]}]"#,
        ),
    ),
    (
        r#"[
            {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
        ]"#,
        "",
    ),
];

const PARSE_ERROR: &str =
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse Error"}}"#;
const INVALID_REQUEST: &str =
    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}"#;

#[test]
fn the_examples_of_the_specification_get_its_answers() {
    for (request, answer) in EXAMPLES {
        let expected: Vec<&str> = if answer.is_empty() {
            vec![]
        } else {
            vec![answer]
        };
        assert_eq!(answers(&[request.as_bytes()]), expected, "{request}");
    }
}

#[test]
fn an_answer_ends_as_its_request_does() {
    for (request, answer) in EXAMPLES {
        // A line feed within a broken message already ends it.
        let request = request.replace('\n', " ");
        for end in ["\0", "\n", "\r\n"] {
            let written = session(&[format!("{request}{end}").as_bytes()]).concat();
            let kept = if answer.is_empty() {
                ""
            } else {
                end.trim_start_matches('\r')
            };
            assert_eq!(
                String::from_utf8_lossy(&written),
                format!("{answer}{kept}"),
                "{request}"
            );
        }
    }
}

#[test]
fn requests_in_pieces_get_the_same_bytes_as_at_once() {
    for (request, _) in EXAMPLES {
        let request = format!("{}\0", request.replace('\n', " "));
        let bytes: Vec<&[u8]> = request.as_bytes().chunks(1).collect();
        let whole = session(&[request.as_bytes()]).concat();
        assert_eq!(session(&bytes).concat(), whole, "{request}");
    }
}

#[test]
fn several_requests_in_one_read_get_one_write_each() {
    let request = |id: usize| format!(r#"{{"jsonrpc":"2.0","method":"get_data","id":{id}}}"#);
    let read = format!(
        "{}\0{}{}\n{}",
        request(1),
        request(2),
        request(3),
        request(4)
    );
    let answer = |id: usize, end: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":["hello", 5]}}{end}"#).into_bytes()
    };
    let expected = [
        answer(1, "\0"),
        answer(2, ""),
        answer(3, "\n"),
        answer(4, ""),
    ];
    assert_eq!(session(&[read.as_bytes()]), expected);
}

#[test]
fn an_end_that_comes_late_is_answered_with_an_end() {
    let request = br#"{"jsonrpc":"2.0","method":"foobar","id":1}"#;
    let writes = session(&[request, b"\0", b"\0", request, request, b"\n"]);
    let ends: Vec<u8> = writes
        .iter()
        .filter_map(|write| write.last().copied())
        .collect();
    assert_eq!(ends, *b"}\0}}\n");
}

#[test]
fn an_id_is_answered_as_it_was_written() {
    for id in [
        "null",
        "-7",
        "1.50",
        "123456789012345678901234567890",
        r#""\u00e9\"""#,
        "1e400",
    ] {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"none","id":{id}}}"#);
        let answer = answers(&[request.as_bytes()]).concat();
        assert!(
            answer.contains(&format!(r#""id":{id},"error""#)),
            "{answer}"
        );
    }
}

#[test]
fn a_request_that_breaks_the_rules_is_an_invalid_request() {
    for (request, id) in [
        (r#"{"method":"sum","params":[1],"id":1}"#, "1"),
        (r#"{"jsonrpc":"1.0","method":"sum","id":"a"}"#, "\"a\""),
        (r#"{"jsonrpc":2.0,"method":"sum","id":1}"#, "1"),
        (r#"{"jsonrpc":"2.0","method":"sum","params":7,"id":1}"#, "1"),
        (
            r#"{"jsonrpc":"2.0","method":"sum","params":null,"id":1}"#,
            "1",
        ),
        (r#"{"jsonrpc":"2.0","method":["sum"],"id":1}"#, "1"),
        (r#"{"jsonrpc":"2.0","method":"sum","id":[1]}"#, "null"),
        (r#"{"jsonrpc":"2.0","method":"sum","id":true}"#, "null"),
        (r#"{"jsonrpc":"2.0"}"#, "null"),
        ("{}", "null"),
        ("7", "null"),
        ("\"text\"", "null"),
    ] {
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"Invalid Request"}}}}"#
        );
        assert_eq!(answers(&[request.as_bytes()]), [expected], "{request}");
    }
}

#[test]
fn parameters_reach_the_method_as_they_were_written() {
    let params = r#"[1.50, "\u00e9\/", {"z":1,"a":2}, 123456789012345678901234567890]"#;
    let request = format!(r#"{{"jsonrpc":"2.0","method":"echo","params":{params},"id":1}}"#);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{params}}}"#);
    assert_eq!(answers(&[request.as_bytes()]), [answer]);
}

#[test]
fn a_request_of_a_mebibyte_is_served() {
    let head = r#"{"jsonrpc":"2.0","method":"length","id":1,"params":[""#;
    let text = "x".repeat(1024 * 1024 - head.len() - 3);
    let request = format!("{head}{text}\"]}}");
    let reads: Vec<&[u8]> = request.as_bytes().chunks(1500).collect();
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}}}"#, text.len());
    assert_eq!(answers(&reads), [answer]);

    let longer = request.replace("\"]", "x\"]");
    let answer = answers(&[longer.as_bytes()]).concat();
    assert!(
        answer.contains("-32700") && answer.contains("longer than 1 MiB"),
        "{answer}"
    );
}

#[test]
fn a_batch_is_limited_in_requests_and_in_bytes() {
    let batch = format!("[{}1]", "1,".repeat(1000));
    let answer = answers(&[batch.as_bytes()]).concat();
    assert!(answer.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600"#));

    let request = r#"{"jsonrpc":"2.0","method":"mebibyte","id":1}"#;
    let batch = format!("[{}{request}]", format!("{request},").repeat(9));
    let answer = answers(&[batch.as_bytes()]).concat();
    assert!(answer.len() < 8 * 1024 * 1024);
    // Seven results fit, with what stands around them.
    let too_long =
        r#"{"code":-32603,"message":"Internal error","data":"the answer is longer than 8 MiB"}"#;
    assert_eq!(answer.matches(r#""id":1,"result":"x"#).count(), 7);
    assert_eq!(answer.matches(too_long).count(), 3);
}

/// A client that begins a long request and sends no more.
struct Stuck {
    /// What each read was told to wait.
    times: Vec<Option<Duration>>,
    said: Vec<u8>,
}

impl Connection for Stuck {
    fn receive(&mut self, buffer: &mut [u8], time: Option<Duration>) -> io::Result<Option<usize>> {
        self.times.push(time);
        match self.times.len() {
            1 => {
                buffer[..20_000].fill(b'[');
                buffer[1..20_000].fill(b' ');
                Ok(Some(20_000))
            }
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(None),
        }
    }

    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        self.said.extend_from_slice(answer);
        Ok(())
    }
}

#[test]
fn a_long_request_that_is_never_complete_is_dropped() {
    let mut client = Stuck {
        times: Vec::new(),
        said: Vec::new(),
    };
    serve(&mut client, &mut Examples, &Budget::new(BUDGET)).expect("its end");
    let minute = Duration::from_secs(60);
    assert!(client.times[1].is_some_and(|time| time <= minute));
    assert_eq!((client.times[0], client.times[2]), (None, None));
    let said = String::from_utf8(client.said).expect("text");
    assert!(
        said.contains("the request was not complete after 60 s"),
        "{said}"
    );
}
