//! The built websocket_jsonrpc with real plugins: C ones that are compiled here, and authrpc and
//! jsonsql.

mod plugins;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use nix::sys::socket::MsgFlags;
use plugins::{COUNTER, Client, built, compile, start};
use servertest::{Directory, is_ended};

#[test]
fn the_example_in_c_counts_for_each_client() {
    let directory = Directory::new();
    let plugin = compile(&directory, "../rpcplugin/examples/counter.c", &[]);
    let server = start(directory, &plugin, &["-C", "40"]);
    let mut client = Client::of(&server);
    assert_eq!(client.call("next", ""), r#""result":41"#);
    assert_eq!(client.call("next", ""), r#""result":42"#);
    assert_eq!(
        client.call("echo", r#"{"a": 1.0}"#),
        r#""result":{"a": 1.0}"#
    );
    let error = r#""error":{"code":-32602,"message":"Invalid params","data":"next takes none"}"#;
    assert_eq!(client.call("next", "[]"), error);
    assert_eq!(
        client.call("none", ""),
        r#""error":{"code":-32601,"message":"Method not found"}"#
    );
    assert_eq!(Client::of(&server).call("next", ""), r#""result":41"#);
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn a_plugin_of_the_c_gateway_loads_unchanged() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/gateway.c", &["-ljansson"]);
    let server = start(directory, &plugin, &["-C", "the string"]);
    let mut client = Client::of(&server);
    for (method, params, answer) in [
        ("add", "[19,23]", r#""result":42"#),
        ("echo", "", r#""result":null"#),
        (
            "echo",
            r#"["\u00e9\\",1.5,{"z":1,"a":[]}]"#,
            r#""result":["é\\",1.5,{"z":1,"a":[]}]"#,
        ),
        ("object", "{}", r#""result":{}"#),
        ("config", "", r#""result":"the string""#),
        ("config", "[]", r#""result":"the string""#),
        (
            "fail",
            "",
            r#""error":{"code":7,"message":"a failure of its own","data":"data"}"#,
        ),
        (
            "predefined",
            "",
            r#""error":{"code":-32602,"message":"Invalid params"}"#,
        ),
        (
            "silent",
            "",
            r#""error":{"code":-32603,"message":"Internal error"}"#,
        ),
        ("done", "", r#""result":{"message":"user added"}"#),
        (
            "none",
            "",
            r#""error":{"code":-32601,"message":"Method not found"}"#,
        ),
    ] {
        assert_eq!(client.call(method, params), answer, "{method} {params}");
    }
    for (method, params) in [
        ("add", "[1,\"2\"]"),
        ("add", "[1]"),
        ("add", ""),
        ("config", "[1]"),
        ("object", ""),
        ("named", "{\"a\":\"b\"}"),
        ("echo", "[\"\\u0000\"]"),
        ("echo", "[123456789012345678901234567890]"),
    ] {
        let answer = client.call(method, params);
        assert!(
            answer.starts_with(r#""error":{"code":-32602,"#),
            "{method} {params}: {answer}"
        );
    }
    // Each client has a context; a batch or a notification changes nothing.
    let mut other = Client::of(&server);
    assert_eq!(other.call("count", ""), r#""result":2"#);
    let batch = r#"[{"jsonrpc":"2.0","method":"add","params":[1,2],"id":"b"},{"jsonrpc":"2.0","method":"fail"}]"#;
    assert_eq!(
        other.send(batch),
        r#"[{"jsonrpc":"2.0","id":"b","result":3}]"#
    );
    drop(client);
    while other.call("count", "") != r#""result":1"# {}
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn clients_of_a_gateway_plugin_call_it_at_the_same_time() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/gateway.c", &["-ljansson"]);
    let server = start(directory, &plugin, &[]);
    std::thread::scope(|scope| {
        for start in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::of(server);
                for number in 0..200 {
                    let sum = client.call("add", &format!("[{start},{number}]"));
                    assert_eq!(sum, format!(r#""result":{}"#, start + number));
                }
            });
        }
    });
}

#[test]
fn a_faulty_plugin_gets_its_client_internal_errors() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/faulty.c", &[]);
    let server = start(directory, &plugin, &[]);
    let mut client = Client::of(&server);
    for (method, answer) in [
        (
            "nothing",
            r#""error":{"code":-32603,"message":"Internal error","data":"the plugin gave no answer"}"#,
        ),
        (
            "broken",
            r#""error":{"code":-32603,"message":"Internal error","data":"the plugin's result is not JSON"}"#,
        ),
        ("lines", r#""result":[1, 2]"#),
        ("twice", r#""result":2"#),
        (
            "odd",
            r#""error":{"code":-5,"message":"a \"quoted\"\nmessage"}"#,
        ),
    ] {
        assert_eq!(client.call(method, ""), answer, "{method}");
    }
}

#[test]
fn a_plugin_that_does_not_open_is_logged_and_its_client_told() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/faulty.c", &[]);
    let secret = directory.path().join("secret");
    fs::write(&secret, "").expect("written");
    let config = format!("later:{}", secret.display());
    let server = start(directory, &plugin, &["-C", &config]);
    assert_eq!(Client::of(&server).call("twice", ""), r#""result":2"#);
    fs::remove_file(&secret).expect("removed");
    let answer = Client::of(&server).call("twice", "");
    assert_eq!(
        answer,
        r#""error":{"code":-32603,"message":"Internal error"}"#
    );
    let line = server.wait_for_line("the plugin refuses a client");
    assert!(line.contains(&config), "{line}");
}

#[test]
fn a_plugin_that_blocks_holds_up_its_own_client_alone() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/faulty.c", &[]);
    let mut server = start(directory, &plugin, &[]);
    let mut blocked = Client::of(&server);
    let mut other = Client::of(&server);
    assert_eq!(blocked.call("twice", ""), r#""result":2"#);
    blocked.ask("blocks");
    assert_eq!(other.call("twice", ""), r#""result":2"#);
    assert_eq!(Client::of(&server).call("twice", ""), r#""result":2"#);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn a_plugin_that_crashes_ends_the_server_and_the_next_start_succeeds() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/faulty.c", &[]);
    let mut server = start(directory, &plugin, &[]);
    let other = server.connect();
    Client::of(&server).ask("crashes");
    assert!(is_ended(&other));
    let status = server.stop(Signal::SIGTERM);
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    assert!(server.socket().exists(), "nobody was there to remove it");
    let directory = std::mem::replace(&mut server.directory, Directory::new());
    let server = start(directory, &plugin, &[]);
    assert_eq!(Client::of(&server).call("twice", ""), r#""result":2"#);
}

#[test]
fn requests_of_a_mebibyte_pass_in_both_kinds_of_socket() {
    for options in [[].as_slice(), &["-q"]] {
        let directory = Directory::new();
        let plugin = compile(&directory, "../rpcplugin/examples/counter.c", &[]);
        let server = start(directory, &plugin, options);
        let text = format!(r#"["{}"]"#, "x".repeat(1_000_000));
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{text}}}"#);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#);
        let client = if options.is_empty() {
            server.connect()
        } else {
            server.connect_packets()
        };
        let mut back = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for packet in request.as_bytes().chunks(32 * 1024) {
                    (&client).write_all(packet).expect("sent");
                }
            });
            let mut buffer = vec![0; 64 * 1024];
            while back.len() < answer.len() {
                let length = (&client).read(&mut buffer).expect("a part of the answer");
                assert!(length > 0, "the answer breaks off");
                back.extend_from_slice(&buffer[..length]);
            }
        });
        assert!(back == answer.as_bytes());
    }
}

#[test]
fn a_message_that_is_cut_short_is_answered_at_once_on_a_seqpacket_socket() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let server = start(directory, &plugin, &["-q"]);
    let client = server.connect_packets();
    let mut buffer = vec![0; 32 * 1024];
    let mut ask = |packets: &[&[u8]]| {
        for packet in packets {
            (&client).write_all(packet).expect("sent");
        }
        let length = (&client).read(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"echo","params":[2]}"#;
    let refused = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse Error"}}"#;
    for length in [1, 20, request.len() - 1] {
        assert_eq!(ask(&[&request[..length]]), refused);
        assert_eq!(ask(&[request]), r#"{"jsonrpc":"2.0","id":1,"result":[2]}"#);
    }
    // Cut where a packet is as long as it can be: then more is to come, were it nothing.
    let long = [&b" ".repeat(32 * 1024 - 20)[..], &request[..20]].concat();
    assert_eq!(
        ask(&[&long, &request[20..]]),
        r#"{"jsonrpc":"2.0","id":1,"result":[2]}"#
    );
    let empty = nix::sys::socket::send(client.as_raw_fd(), &long, MsgFlags::empty())
        .and_then(|_| nix::sys::socket::send(client.as_raw_fd(), &[], MsgFlags::empty()));
    empty.expect("sent");
    assert_eq!(ask(&[]), refused);
}

#[test]
fn jsonsql_creates_inserts_and_selects() {
    let directory = Directory::new();
    let plugin = built(&directory, "jsonsql");
    let database = directory.path().join("some.db").display().to_string();
    let server = start(directory, &plugin, &["-C", &database]);
    let mut client = Client::of(&server);
    let mut exec = |query: &str| client.call("exec", &format!(r#"{{"query":"{query}"}}"#));
    assert_eq!(
        exec("create table t (z text, a)"),
        r#""result":{"message":"Query OK"}"#
    );
    assert_eq!(
        exec("insert into t values ('<b>', 1)"),
        r#""result":{"message":"Query OK"}"#
    );
    assert_eq!(exec("select * from t"), r#""result":[{"z":"<b>","a":1}]"#);
    assert_eq!(
        exec("selec"),
        r#""error":{"code":-32000,"message":"near \"selec\": syntax error"}"#
    );
}
