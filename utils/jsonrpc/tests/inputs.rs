//! What the built websocket_jsonrpc passes to plugins of both interfaces: any value there is, and
//! nothing of a damaged request that harms them.

mod plugins;
mod random;

use std::fs;
use std::io::{BufRead, Write};

use nix::sys::signal::Signal;
use plugins::{COUNTER, Client, PROGRAM, allow, compile, start};
use random::Random;
use serde_json::{Map, Value, json};
use servertest::{Directory, Server};

/// A plugin of the C gateway.
const GATEWAY: &str = "tests/plugins/gateway.c";

/// A server with each kind of plugin; both have a method `echo`.
fn servers() -> [Server; 2] {
    [(COUNTER, [].as_slice()), (GATEWAY, &["-ljansson"])].map(|(source, options)| {
        let directory = Directory::new();
        let plugin = compile(&directory, source, options);
        start(directory, &plugin, &[])
    })
}

/// A value with everything that JSON has, at most `depth` deep.
fn value(random: &mut Random, depth: usize) -> Value {
    let text = |random: &mut Random| {
        let character = |random: &mut Random| match random.below(4) {
            0 => random
                .pick(&["\"", "\\", "/", "\u{1}", "\n", "\u{7f}", "\u{2028}"])
                .to_string(),
            1 => char::from_u32(u32::try_from(1 + random.below(0x10_ffff)).expect("a code point"))
                .unwrap_or('\u{fffd}')
                .to_string(),
            _ => random
                .pick(&["a", "z", " ", "{", "]", "'", "%s"])
                .to_string(),
        };
        (0..random.below(12))
            .map(|_| character(random))
            .collect::<String>()
    };
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(i64::from_ne_bytes(random.0.to_ne_bytes())),
        3 => json!(f64::from(i32::try_from(random.below(1 << 30)).expect("in range")) / -1024.0),
        4 => Value::String(text(random)),
        5 => (0..random.below(5))
            .map(|_| value(random, depth - 1))
            .collect(),
        _ => {
            let member = |random: &mut Random| (text(random), value(random, depth - 1));
            let members: Map<_, _> = (0..random.below(5)).map(|_| member(random)).collect();
            Value::Object(members)
        }
    }
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn a_thousand_random_values_come_back_from_both_kinds_of_plugin() {
    for (server, exactly) in servers().iter().zip([true, false]) {
        let mut client = Client::of(server);
        let mut random = Random(0x5eed_0005);
        for _ in 0..1000 {
            let params = json!([value(&mut random, 5)]).to_string();
            let answer = client.call("echo", &params);
            let result = answer
                .strip_prefix("\"result\":")
                .unwrap_or_else(|| panic!("{answer} to {params}"));
            if exactly {
                assert_eq!(result, params);
            }
            let [sent, back] =
                [&*params, result].map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
            assert_eq!(back, sent);
        }
    }
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn two_thousand_damaged_requests_do_no_plugin_harm() {
    const REQUEST: &[u8] =
        br#"{"jsonrpc":"2.0","id":1,"method":"echo","params":["\u00e9",{"a":[1.5e3,null]},-7]}"#;
    for server in servers() {
        let mut client = Client::of(&server);
        let mut random = Random(0x5eed_0006);
        for number in 0..1000 {
            let next =
                format!(r#"{{"jsonrpc":"2.0","id":"next{number}","method":"echo","params":[]}}"#);
            let answer = format!(r#"{{"jsonrpc":"2.0","id":"next{number}","result":[]}}"#);
            let damaged = random.damage(REQUEST);
            let input = [&damaged, &b"\0"[..], next.as_bytes(), b"\n"].concat();
            client.0.get_ref().write_all(&input).expect("sent");
            // Before it come the answers to what was damaged, if it deserves any.
            let mut said = String::new();
            while !said.trim_end().ends_with(&answer) {
                let length = client.0.read_line(&mut said).expect("an answer");
                assert!(length > 0, "{said} to {}", String::from_utf8_lossy(&input));
            }
        }
    }
}

#[test]
#[ignore = "needs libjansson-dev and valgrind: make check"]
fn valgrind_finds_no_value_used_after_its_end_or_left_behind() {
    let directory = Directory::new();
    let script = directory.path().join("server");
    let command = format!(
        "#!/bin/sh\nexec valgrind --quiet --error-exitcode=9 --leak-check=full \
         --errors-for-leak-kinds=definite {PROGRAM} \"$@\"\n"
    );
    fs::write(&script, command).expect("written");
    allow(&script, 0o755);
    let plugin = compile(&directory, GATEWAY, &["-ljansson"]);
    let plugin = plugin.to_str().expect("a UTF-8 path");
    let mut server = Server::start_in(directory, script.to_str().expect("UTF-8"), &["-L", plugin]);
    let mut random = Random(0x5eed_0007);
    for _ in 0..3 {
        let mut client = Client::of(&server);
        for _ in 0..30 {
            let params = json!([value(&mut random, 3)]).to_string();
            assert!(client.call("echo", &params).starts_with("\"result\""));
        }
        for method in ["fail", "predefined", "silent", "done", "config", "add"] {
            client.call(method, "");
        }
    }
    // Until the others have let go of all they had.
    let mut last = Client::of(&server);
    while last.call("count", "") != r#""result":1"# {}
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}
