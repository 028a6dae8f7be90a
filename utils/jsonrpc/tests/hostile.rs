//! Ten thousand inputs that no honest client sends: each gets the right code, and none crashes.

mod common;
mod random;

use common::{answers, session};
use random::Random;
use serde_json::Value;

/// Checks that an answer is one of JSON-RPC 2.0 with a code that it may have.
fn check(input: &[u8], answer: &str) {
    let shown = String::from_utf8_lossy(input);
    let answer: Value = serde_json::from_str(answer.trim_end_matches(['\0', '\n']))
        .unwrap_or_else(|error| panic!("{error}: {answer} to {shown}"));
    let answers = match answer {
        Value::Array(answers) => answers,
        answer => vec![answer],
    };
    assert!(!answers.is_empty(), "an empty batch answers {shown}");
    for answer in answers {
        assert_eq!(answer["jsonrpc"], "2.0", "{shown}");
        assert!(answer.get("id").is_some(), "{shown}");
        let code = answer["error"]["code"].as_i64();
        assert!(
            code.is_some() != answer.get("result").is_some(),
            "{answer} to {shown}"
        );
        let known = [-32700, -32600, -32601, -32602, -32603];
        assert!(
            code.is_none_or(|code| known.contains(&code)),
            "{answer} to {shown}"
        );
    }
}

#[test]
fn four_thousand_texts_of_json_tokens_get_valid_answers() {
    const TOKENS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "null",
        "true",
        "1",
        "-",
        "1e999",
        "\"id\":",
        "\"jsonrpc\":\"2.0\"",
        "\"method\":\"sum\"",
        "\"method\":",
        "\"params\":[1,2,3]",
        "\"\\ud800\"",
        "\"params\":{}",
        " ",
        "\n",
        "\0",
        "\r",
        "\u{feff}",
        "\u{e9}",
        "{}",
        "[]",
        "\"id\":7",
        "\\u0000",
    ];
    let mut random = Random(0x5eed_0001);
    for _ in 0..4000 {
        let text: String = (0..random.below(24)).map(|_| random.pick(TOKENS)).collect();
        for write in session(&[text.as_bytes()]) {
            if write != b"\0" && write != b"\n" {
                check(text.as_bytes(), &String::from_utf8(write).expect("UTF-8"));
            }
        }
    }
}

#[test]
fn three_thousand_damaged_requests_get_answers_and_spare_the_next() {
    const REQUEST: &[u8] =
        br#"{"jsonrpc":"2.0","method":"subtract","params":{"minuend":42,"subtrahend":23},"id":"a"}"#;
    const NEXT: &[u8] = br#"{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":"next"}"#;
    let mut random = Random(0x5eed_0002);
    for _ in 0..3000 {
        let damaged = random.damage(REQUEST);
        let input = [&damaged, &b"\0"[..], NEXT, b"\0"].concat();
        let writes = session(&[&input]);
        for write in writes.iter().filter(|write| write.len() > 1) {
            check(&input, std::str::from_utf8(write).expect("UTF-8"));
        }
        let next = b"{\"jsonrpc\":\"2.0\",\"id\":\"next\",\"result\":19}\0";
        let last = writes.last().expect("the answer to the next");
        assert_eq!(last, next, "after {}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn two_thousand_runs_of_random_bytes_get_valid_answers() {
    let mut random = Random(0x5eed_0003);
    for _ in 0..2000 {
        let length = 1 + random.below(200);
        let bytes: Vec<u8> = (0..length)
            .map(|_| u8::try_from(random.below(256)).expect("a byte"))
            .collect();
        for write in session(&[&bytes]) {
            if write.len() > 1 {
                check(&bytes, &String::from_utf8(write).expect("UTF-8"));
            }
        }
    }
}

#[test]
fn a_thousand_known_errors_get_their_codes() {
    let mut random = Random(0x5eed_0004);
    let scalars = ["1", "true", "\"x\"", "null", "-1.5e3"];
    for _ in 0..200 {
        let id = random.below(1_000_000);
        let scalar = random.pick(&scalars);
        let deep = 65 + random.below(5000);
        for (request, code) in [
            (
                format!(r#"{{"jsonrpc":"2.0","method":"m{id}","id":{id}}}"#),
                -32601,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","method":"sum","params":[{scalar}],"id":{id}}}"#),
                -32602,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","method":"sum","params":{scalar},"id":{id}}}"#),
                -32600,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","method":"sum","id":{id},}}"#),
                -32700,
            ),
            (format!("{}{}", "[".repeat(deep), "]".repeat(deep)), -32700),
        ] {
            let answers = answers(&[request.as_bytes()]);
            assert_eq!(answers.len(), 1, "{request}");
            assert!(
                answers[0].contains(&format!("\"code\":{code},")),
                "{request}: {answers:?}"
            );
        }
    }
}
