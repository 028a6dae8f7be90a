//! JSON-RPC (`utils/jsonrpc`): every answer is one of JSON-RPC 2.0 with the right code, and a
//! stream of whole messages is answered the same however it is cut.
#![no_main]

use std::io;
use std::time::{Duration, Instant};

use jsonrpc::budget::{BUDGET, Budget};
use jsonrpc::connection::Connection;
use jsonrpc::dispatch::Dispatcher;
use jsonrpc::session::serve;
use jsonrpc::watch::Watch;
use jsonrpc::{Call, Methods};
use libfuzzer_sys::fuzz_target;
use ouistiti_fuzz::Random;
use rpcplugin::{Code, Error, Json};
use serde_json::{Deserializer, Value};

/// A plugin with two methods: `echo` gives its parameters back, `fail` fails.
struct Plugin;

impl Methods for Plugin {
    fn call(
        &mut self,
        call: &mut Call<'_>,
        method: &str,
        params: Option<&str>,
    ) -> Result<Json, Error> {
        assert!(call.is_wanted());
        let params = params.map(|text| Json::parse(text).expect("parameters are JSON"));
        if let Some(params) = &params {
            assert!(params.as_str().starts_with(['[', '{']));
        }
        match method {
            "echo" => Ok(params.unwrap_or_else(|| Json::of(&()))),
            "fail" => Err(Error::failure("as asked")),
            _ => Err(Error::of(Code::MethodNotFound)),
        }
    }
}

/// A client that has sent `rest`, which comes in pieces.
struct Client<'a> {
    rest: &'a [u8],
    random: Option<Random>,
    answers: Vec<Vec<u8>>,
}

impl Connection for Client<'_> {
    fn receive(&mut self, buffer: &mut [u8], _time: Option<Duration>) -> io::Result<Option<usize>> {
        let left = self.rest.len();
        if left == 0 {
            return Ok(None);
        }
        let piece = self
            .random
            .as_mut()
            .map_or(left, |random| random.piece(left));
        let count = piece.min(buffer.len());
        let (now, later) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = later;
        Ok(Some(count))
    }

    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        self.answers.push(answer.to_vec());
        Ok(())
    }
}

fn answers(stream: &[u8], random: Option<Random>) -> Vec<Vec<u8>> {
    let mut client = Client {
        rest: stream,
        random,
        answers: Vec::new(),
    };
    serve(&mut client, &mut Plugin, &Budget::new(BUDGET)).expect("this client never fails");
    client.answers
}

/// The value of one answer, which is to be an answer of JSON-RPC 2.0 (section 5) or several.
fn check_answer(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).expect("answers are UTF-8");
    let text = text.strip_suffix(['\0', '\n']).unwrap_or(text);
    assert!(
        !text.contains(['\0', '\n']),
        "an answer is one line: {text}"
    );
    // What a client wrote as an id or parameters may be more than a `Value` can hold.
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) if is_beyond_value(&error) => return None,
        Err(error) => panic!("{error} in {text}"),
    };
    match &value {
        Value::Array(batch) => {
            assert!(!batch.is_empty(), "an empty batch is no answer");
            batch.iter().for_each(check_one);
        }
        single => check_one(single),
    }
    Some(value)
}

/// Numbers too large for a float, half surrogates, deep nesting: JSON that `Value` does not take.
fn is_beyond_value(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    [
        "out of range",
        "surrogate",
        "lone leading",
        "recursion limit",
        "unexpected end of hex",
    ]
    .iter()
    .any(|limit| text.contains(limit))
}

fn check_one(answer: &Value) {
    let answer = answer.as_object().expect("an answer is an object");
    assert_eq!(answer.get("jsonrpc"), Some(&Value::from("2.0")));
    let id = answer.get("id").expect("every answer has an id");
    assert!(id.is_null() || id.is_string() || id.is_number(), "{id}");
    match (answer.get("result"), answer.get("error")) {
        (Some(_), None) => assert_eq!(answer.len(), 3),
        (None, Some(error)) => {
            assert_eq!(answer.len(), 3);
            let code = error["code"].as_i64().expect("a code");
            assert!([-32700, -32600, -32601, -32000].contains(&code), "{error}");
            assert!(error["message"].is_string());
        }
        _ => panic!("result or error: {answer:?}"),
    }
}

/// The code that a request is to be answered with, 0 for a result; `None` for no answer.
fn code(request: &Value) -> Option<i64> {
    let is_object_or_array = |value: &Value| value.is_object() || value.is_array();
    let Some(request) = request.as_object() else {
        return Some(-32600);
    };
    let id = request.get("id");
    let is_request = request.get("jsonrpc") == Some(&Value::from("2.0"))
        && request.get("method").is_some_and(Value::is_string)
        && request.get("params").is_none_or(is_object_or_array)
        && id.is_none_or(|id| id.is_null() || id.is_string() || id.is_number());
    if !is_request {
        return Some(-32600);
    }
    id?;
    match request["method"].as_str() {
        Some("echo") => Some(0),
        Some("fail") => Some(-32000),
        _ => Some(-32601),
    }
}

fn code_of(answer: &Value) -> i64 {
    answer
        .get("error")
        .map_or(0, |error| error["code"].as_i64().unwrap_or(0))
}

/// One message, judged by another reading of it.
fn check_message(message: &[u8]) {
    let client = Client {
        rest: &[],
        random: None,
        answers: Vec::new(),
    };
    let budget = Budget::new(BUDGET);
    let mut dispatcher = Dispatcher {
        methods: &mut Plugin,
        watch: Watch::since(&client, Instant::now()),
        budget: &budget,
    };
    let answer = dispatcher.answer(message);
    let answer = answer.as_ref().map(|answer| answer.as_bytes());
    let wanted = match serde_json::from_slice::<Value>(message) {
        Ok(Value::Array(batch)) if batch.is_empty() => vec![-32600],
        Ok(Value::Array(batch)) => batch.iter().filter_map(code).collect(),
        Ok(single) => code(&single).into_iter().collect(),
        Err(error) if is_beyond_value(&error) => return,
        Err(_) => vec![-32700],
    };
    let told = match &answer {
        None => Vec::new(),
        Some(answer) => match check_answer(answer) {
            None => return,
            Some(Value::Array(batch)) => batch.iter().map(code_of).collect(),
            Some(single) => vec![code_of(&single)],
        },
    };
    assert_eq!(told, wanted, "{answer:?}");
}

/// Whether the stream is nothing but objects and arrays, each shallow and whole.
fn is_whole(stream: &[u8]) -> bool {
    !stream.contains(&0)
        && !stream.contains(&b'\n')
        && (Deserializer::from_slice(stream).into_iter::<Value>())
            .all(|value| value.is_ok_and(|value| value.is_object() || value.is_array()))
        && stream.iter().filter(|byte| b"[{".contains(byte)).count() <= jsonrpc::splitter::MAX_DEPTH
}

fuzz_target!(|bytes: &[u8]| {
    check_message(bytes);
    let whole = answers(bytes, None);
    let cut = answers(bytes, Some(Random::of(bytes)));
    for answer in whole.iter().chain(&cut) {
        // The end of an answer comes by itself where that of its request did.
        if !matches!(answer[..], [0 | b'\n']) {
            check_answer(answer);
        }
    }
    if is_whole(bytes) {
        assert_eq!(whole.concat(), cut.concat());
    }
});
