//! The built websocket_jsonrpc with clients that ask for all of its time and memory.

mod plugins;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use plugins::{COUNTER, Client, built, compile, start};
use serde_json::Value;
use servertest::{DEADLINE, Directory, Server, read_text};

/// What a client is told when the memory of all is taken.
const BUSY: &str = r#""error":{"code":-32000,"message":"busy","data":"too little memory is left for this: ask again later"}"#;

/// A statement that would run for ever.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n";

const MIB: usize = 1024 * 1024;

/// A server with a plugin of this workspace, on a file of its own.
fn with_file(name: &str, options: &[&str]) -> Server {
    let directory = Directory::new();
    let plugin = built(&directory, name);
    let file = directory.path().join("file.db").display().to_string();
    start(directory, &plugin, &[&["-C", &file], options].concat())
}

fn exec(query: &str) -> String {
    let query = Value::from(query);
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"exec","params":{{"query":{query}}}}}"#)
}

/// Waits until the one place of a server (`-m 1`) is free again.
fn wait_for_place(server: &Server, method: &str) -> String {
    let end = Instant::now() + DEADLINE;
    std::iter::repeat_with(|| Client::of(server).try_call(method))
        .take_while(|_| Instant::now() < end)
        .flatten()
        .next()
        .expect("the server still works for the client that has left")
}

/// The memory of a server in bytes: the most it ever had (`VmHWM`), or what it has (`VmRSS`).
fn memory(server: &Server, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its state");
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kilobytes = line.and_then(|line| line.trim_matches([':', '\t', ' ']).strip_suffix(" kB"));
    let kilobytes: usize = kilobytes
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kilobytes * 1024
}

/// What `count` clients are answered that send `request` at the same time: none sends its second
/// half before all have sent the first.
fn ask_at_once(server: &Server, count: usize, request: &str) -> Vec<String> {
    let half = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let ask = || {
            let client = server.connect();
            let (first, second) = request.split_at(request.len() / 2);
            (&client).write_all(first.as_bytes()).expect("sent");
            half.wait();
            (&client).write_all(second.as_bytes()).expect("sent");
            (&client).write_all(b"\n").expect("sent");
            let mut client = Client(BufReader::new(client));
            client.read()
        };
        let asking: Vec<_> = (0..count).map(|_| scope.spawn(ask)).collect();
        asking
            .into_iter()
            .map(|client| client.join().expect("an answer"))
            .collect()
    })
}

/// Clients that send `request` take no more than the budget and what the program needs at all;
/// afterwards one of them is answered, and the memory is given back.
fn check_memory(server: &Server, count: usize, request: &str, answer: &str) {
    let fits = |given: &str| {
        // On a slow machine.
        given.contains(answer) || given.contains("the query took longer than 2 s")
    };
    // What the program needs at all is there after a first request.
    let alone = Client::of(server).send(request);
    assert!(fits(&alone), "{alone:.200}");
    let before = memory(server, "VmRSS");
    let answers = ask_at_once(server, count, request);
    let most = memory(server, "VmHWM");
    let refused = answers.iter().filter(|answer| answer.contains(BUSY));
    println!(
        "{count} clients, {} bytes each: {} refused, {} KiB before, {} KiB at most",
        request.len(),
        refused.count(),
        before / 1024,
        most / 1024
    );
    let odd = answers
        .iter()
        .find(|given| !given.contains(BUSY) && !fits(given));
    assert!(odd.is_none(), "{odd:.200?}");
    assert!(most < before + 32 * MIB, "{} KiB at most", most / 1024);
    let alone = Client::of(server).send(request);
    assert!(fits(&alone), "{alone:.200}");
    let end = Instant::now() + DEADLINE;
    while memory(server, "VmRSS") > before + 4 * MIB {
        let now = memory(server, "VmRSS") / 1024;
        assert!(Instant::now() < end, "{now} KiB stay");
    }
}

#[test]
fn a_batch_has_ten_seconds_and_each_of_its_requests_an_answer() {
    let server = with_file("jsonsql", &[]);
    let batch = vec![exec(ENDLESS); 1000].join(",");
    let begin = Instant::now();
    let answer = Client::of(&server).send(&format!("[{batch}]"));
    assert!(begin.elapsed() >= Duration::from_secs(10));
    let answers: Vec<Value> = serde_json::from_str(&answer).expect("an array");
    assert_eq!(answers.len(), 1000);
    let count = |words: &str| {
        let told = answers
            .iter()
            .filter(|answer| answer["error"]["message"] == words);
        told.count()
    };
    let (query, late) = (
        count("the query took longer than 2 s"),
        count("the batch took longer than 10 s"),
    );
    assert!(query <= 5 && query + late == 1000, "{query} and {late}");
}

#[test]
fn a_call_ends_when_its_client_has_left() {
    for request in [
        r#"{"jsonrpc":"2.0","method":"patient","id":1}"#,
        r#"[{"jsonrpc":"2.0","method":"patient"},{"jsonrpc":"2.0","method":"patient"}]"#,
    ] {
        // A server of its own: the one place of the last one may still be taken.
        let directory = Directory::new();
        let plugin = compile(&directory, "tests/plugins/faulty.c", &[]);
        let server = start(directory, &plugin, &["-m", "1"]);
        let client = server.connect();
        (&client).write_all(request.as_bytes()).expect("sent");
        drop(client);
        assert_eq!(wait_for_place(&server, "twice"), r#""result":2"#);
    }
}

#[test]
fn requests_of_a_client_that_has_left_are_not_begun() {
    let server = with_file("jsonsql", &["-m", "1"]);
    let client = server.connect();
    // Minutes, if all of them were worked for.
    let requests = exec(ENDLESS).repeat(200);
    (&client).write_all(requests.as_bytes()).expect("sent");
    drop(client);
    let tables = wait_for_place(&server, "list");
    assert_eq!(tables, r#""result":[]"#);
}

#[test]
fn a_client_that_has_only_ended_its_sending_is_answered() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let server = start(directory, &plugin, &[]);
    let mut client = server.connect();
    let request = br#"{"jsonrpc":"2.0","method":"next","id":1}"#;
    client.write_all(request).expect("sent");
    client.shutdown(std::net::Shutdown::Write).expect("ended");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":1,"result":1}"#);
}

#[test]
fn many_values_of_many_clients_take_no_more_than_the_budget() {
    let values = vec!["1"; 465_000].join(",");
    let server = with_file("jsonsql", &[]);
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"exec","params":{{"query":"SELECT length(?)","values":[[{values}]]}}}}"#
    );
    check_memory(&server, 45, &request, r#""result":[{"length(?)":465000}]"#);
    let server = with_file("authrpc", &[]);
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"auth","params":{{"user":"u","values":[{values}]}}}}"#
    );
    check_memory(&server, 45, &request, "incomplete command");
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn trees_of_a_gateway_plugin_take_no_more_than_the_budget() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/gateway.c", &["-ljansson"]);
    let server = start(directory, &plugin, &[]);
    let values = vec!["1"; 100_000].join(",");
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":[{values}]}}"#);
    check_memory(&server, 45, &request, r#""result":[1,1,1,"#);
}

#[test]
fn queries_with_answers_that_are_too_long_take_no_more_than_the_budget() {
    let server = with_file("jsonsql", &[]);
    let nulls = vec!["NULL"; 100].join(",");
    let query = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT {nulls} FROM n"
    );
    check_memory(&server, 40, &exec(&query), "an answer of more than 4 MiB");
}

#[test]
fn long_answers_that_nobody_reads_leave_room_for_short_ones() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let server = start(directory, &plugin, &[]);
    let text = "x".repeat(1_000_000);
    let long = format!(r#"["{text}"]"#);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{long}}}"#);
    let mut deaf = Vec::new();
    let refused = loop {
        let client = server.connect();
        (&client).write_all(request.as_bytes()).expect("sent");
        // The answer has begun, and will not go on.
        let begin = read_text(&client, 38);
        if begin.contains("error") {
            break begin + &read_text(&client, BUSY.len() + 25 - 38);
        }
        assert!(deaf.len() < 16, "more than the budget waits to be read");
        deaf.push(client);
    };
    assert!(deaf.len() >= 8, "only {} wait", deaf.len());
    assert_eq!(refused, format!(r#"{{"jsonrpc":"2.0","id":1,{BUSY}}}"#));
    let mut client = Client::of(&server);
    let batch = client.send(&format!("[{request}]"));
    assert_eq!(batch, format!(r#"[{{"jsonrpc":"2.0","id":1,{BUSY}}}]"#));
    assert_eq!(client.call("next", ""), r#""result":1"#);
    drop(deaf);
    let answer = format!(r#""result":{long}"#);
    let end = Instant::now() + DEADLINE;
    while client.call("echo", &long) != answer {
        assert!(Instant::now() < end, "there is no room again");
    }
}

#[test]
fn the_memory_of_the_clients_is_an_option() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let server = start(directory, &plugin, &["-M", "1"]);
    let text = format!(r#"["{}"]"#, "x".repeat(300_000));
    assert_eq!(Client::of(&server).call("echo", &text), BUSY);
    for wrong in ["0", "-1", "x", "99999999999999999999"] {
        let options = ["-L", plugin.to_str().expect("UTF-8"), "-M", wrong];
        let output = servertest::run(plugins::PROGRAM, &options);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
