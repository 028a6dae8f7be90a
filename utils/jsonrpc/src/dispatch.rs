//! One message against the specification (JSON-RPC 2.0), and its answer.
//!
//! The message is parsed only as far as the specification goes: an id is
//! answered as it was written, parameters go to the plugin as they came.

use std::collections::BTreeMap;

use rpcplugin::{Code, Error, Json};
use serde_json::value::RawValue;

use crate::methods::Methods;
use crate::splitter::Fault;

/// Most requests in a batch. Each is answered, so this bounds the answer to
/// `[1,1,1,...]`.
pub const MAX_BATCH: usize = 1000;

/// Longest answer, that to a batch included, in bytes.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// The id of an answer to a request that has none of its own.
const NULL: &str = "null";

/// Answers one message; notifications have no answer.
pub fn answer(message: &[u8], methods: &mut dyn Methods) -> Option<String> {
    let Ok(text) = serde_json::from_slice::<&RawValue>(message) else {
        return Some(refuse(Error::of(Code::ParseError)));
    };
    if !text.get().starts_with('[') {
        return answer_one(text, methods);
    }
    match serde_json::from_str::<Vec<&RawValue>>(text.get()) {
        Ok(batch) => answer_batch(&batch, methods),
        Err(_) => Some(refuse(Error::of(Code::ParseError))),
    }
}

/// Answers a message whose answer there is no room for. Its methods have been
/// called.
pub fn answer_busy(message: &[u8]) -> String {
    let request = serde_json::from_slice::<&RawValue>(message).ok();
    let request = request.and_then(|text| Request::parse(text).ok());
    let id = request.and_then(|request| request.id).unwrap_or(NULL);
    let error = Error::failure("busy").with("too much waits to be read: ask again");
    format_answer(id, Err(error))
}

/// Answers a message that is not worth parsing.
pub fn answer_fault(fault: Fault) -> String {
    let error = Error::of(Code::ParseError);
    refuse(match fault {
        Fault::Syntax => error,
        Fault::TooLong => error.with("longer than 1 MiB"),
        Fault::TooDeep => error.with("nested deeper than 64"),
    })
}

/// Section 6: the answers of a batch, unless all were notifications.
fn answer_batch(batch: &[&RawValue], methods: &mut dyn Methods) -> Option<String> {
    if batch.is_empty() {
        return Some(refuse(Error::of(Code::InvalidRequest)));
    }
    if batch.len() > MAX_BATCH {
        let error = Error::of(Code::InvalidRequest);
        return Some(refuse(error.with("a batch of more than 1000 requests")));
    }
    let mut answers = String::new();
    for request in batch {
        if let Some(answer) = answer_one(request, methods) {
            if answers.len() + answer.len() > MAX_ANSWER {
                return Some(refuse(too_long()));
            }
            answers.push(if answers.is_empty() { '[' } else { ',' });
            answers.push_str(&answer);
        }
    }
    if answers.is_empty() {
        return None;
    }
    answers.push(']');
    Some(answers)
}

fn answer_one(text: &RawValue, methods: &mut dyn Methods) -> Option<String> {
    let request = match Request::parse(text) {
        Ok(request) => request,
        Err(id) => return Some(format_answer(id, Err(Error::of(Code::InvalidRequest)))),
    };
    let outcome = methods.call(&request.method, request.params);
    let answer = format_answer(request.id?, outcome);
    if answer.len() > MAX_ANSWER {
        return Some(format_answer(request.id?, Err(too_long())));
    }
    Some(answer)
}

/// A request object (section 4).
struct Request<'a> {
    method: String,
    /// The text of an array or object.
    params: Option<&'a str>,
    /// The text of a string, number or null; a notification has none.
    id: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Checks a request; what is none leaves the id to answer with.
    fn parse(text: &'a RawValue) -> Result<Request<'a>, &'a str> {
        let members: BTreeMap<String, &'a RawValue> =
            serde_json::from_str(text.get()).map_err(|_| NULL)?;
        let member = |name: &str| members.get(name).map(|value| value.get());

        let id = member("id");
        if id.is_some_and(|id| id.starts_with(['{', '[', 't', 'f'])) {
            return Err(NULL);
        }
        let refused = id.unwrap_or(NULL);
        if member("jsonrpc").and_then(string).as_deref() != Some("2.0") {
            return Err(refused);
        }
        let method = member("method").and_then(string).ok_or(refused)?;
        let params = member("params");
        if params.is_some_and(|params| !params.starts_with(['{', '['])) {
            return Err(refused);
        }
        Ok(Request { method, params, id })
    }
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

fn too_long() -> Error {
    Error::internal("the answer is longer than 8 MiB")
}

/// The answer to a message whose id cannot be known (section 5).
fn refuse(error: Error) -> String {
    format_answer(NULL, Err(error))
}

fn format_answer(id: &str, outcome: Result<Json, Error>) -> String {
    match outcome {
        Ok(result) => {
            let result = result.as_str();
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
        }
        Err(Error {
            code,
            message,
            data,
        }) => {
            let message = Json::of(&*message);
            let message = message.as_str();
            let data = data.map_or(String::new(), |data| {
                format!(r#","data":{}"#, data.as_str())
            });
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}{data}}}}}"#
            )
        }
    }
}
