//! Checks one message against the specification (JSON-RPC 2.0), calls the methods that it names and
//! builds its answer.
//!
//! The message is parsed no further than the specification asks: an id is answered as it was
//! written, and parameters are passed on as they came.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use rpcplugin::{Code, Error, members};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::answers::Answers;
use crate::budget::Budget;
use crate::methods::{Call, Methods};
use crate::splitter::Fault;
use crate::watch::Watch;

/// Most requests in a batch.
pub const MAX_BATCH: usize = 1000;

/// Longest time for all requests of a batch.
const BATCH_TIME: Duration = Duration::from_secs(10);

/// Memory reserved before a method is called, in multiples of the length of its request: for the
/// copy of the parameters that the plugin gets, for its parsed form, and for an error that repeats
/// a part of it.
const COPIES: usize = 3;

/// The id of an answer to a request that has none of its own.
const NULL: &str = "null";

/// Answers messages.
pub struct Dispatcher<'c, 'b> {
    /// The methods to call.
    pub methods: &'c mut dyn Methods,
    /// The client that waits for the answer.
    pub watch: Watch<'c>,
    /// The budget that calls and answers take their memory from.
    pub budget: &'b Budget,
}

impl<'b> Dispatcher<'_, 'b> {
    /// Answers one message; notifications have no answer, nor has a client that has left.
    pub fn answer(&mut self, message: &[u8]) -> Option<Answers<'b>> {
        let Ok(text) = serde_json::from_slice::<&RawValue>(message) else {
            return Some(self.refuse(Error::of(Code::ParseError)));
        };
        if text.get().starts_with('[') {
            return self.answer_batch(text);
        }
        let mut answers = Answers::new(self.budget);
        self.answer_one(text, &mut answers);
        answers.end()
    }

    /// Section 6: the answers of a batch, unless all were notifications.
    fn answer_batch(&mut self, text: &RawValue) -> Option<Answers<'b>> {
        let Ok(batch) = requests(text) else {
            return Some(self.refuse(Error::of(Code::ParseError)));
        };
        if batch.is_empty() {
            return Some(self.refuse(Error::of(Code::InvalidRequest)));
        }
        if batch.len() > MAX_BATCH {
            let error = Error::of(Code::InvalidRequest);
            return Some(self.refuse(error.with("a batch of more than 1000 requests")));
        }
        self.watch = self.watch.within(BATCH_TIME);
        let mut answers = Answers::of_batch(self.budget);
        for request in batch {
            if self.watch.has_left() {
                return None;
            }
            self.answer_one(request, &mut answers);
        }
        answers.end()
    }

    fn answer_one(&mut self, text: &RawValue, answers: &mut Answers<'_>) {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(id) => return answers.error(id, Error::of(Code::InvalidRequest)),
        };
        let mut call = Call::new(&self.watch, self.budget);
        let outcome = if self.watch.is_late() {
            Err(late())
        } else {
            call.reserve(COPIES * text.get().len())
                .and_then(|()| {
                    self.methods
                        .call(&mut call, &request.method, request.params)
                })
                // A plugin that was told to stop cannot know why.
                .map_err(|error| if self.watch.is_late() { late() } else { error })
        };
        let Some(id) = request.id else {
            return;
        };
        match outcome {
            Ok(result) => answers.result(id, &result),
            Err(error) => answers.error(id, error),
        }
    }

    /// The answer to a message whose id cannot be known (section 5).
    fn refuse(&self, error: Error) -> Answers<'b> {
        refusal(error, self.budget)
    }
}

/// Answers a message that the splitter has refused.
pub fn answer_fault(fault: Fault, budget: &Budget) -> Answers<'_> {
    let error = match fault {
        Fault::Syntax => Error::of(Code::ParseError),
        Fault::TooLong => Error::of(Code::ParseError).with("longer than 1 MiB"),
        Fault::TooDeep => Error::of(Code::ParseError).with("nested deeper than 64"),
        Fault::Busy => Error::busy(),
        Fault::Late => Error::failure("the request was not complete after 60 s"),
    };
    refusal(error, budget)
}

fn refusal(error: Error, budget: &Budget) -> Answers<'_> {
    let mut answers = Answers::new(budget);
    answers.error(NULL, error);
    answers
}

fn late() -> Error {
    Error::failure("the batch took longer than 10 s")
}

/// The requests of a batch, at most one more than it may have.
fn requests(batch: &RawValue) -> serde_json::Result<Vec<&RawValue>> {
    serde_json::Deserializer::from_str(batch.get()).deserialize_seq(Requests)
}

struct Requests;

impl<'de> Visitor<'de> for Requests {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut batch: S) -> Result<Self::Value, S::Error> {
        let mut requests = Vec::new();
        while requests.len() <= MAX_BATCH
            && let Some(request) = batch.next_element()?
        {
            requests.push(request);
        }
        while batch.next_element::<IgnoredAny>()?.is_some() {}
        Ok(requests)
    }
}

/// A request object (section 4).
struct Request<'a> {
    method: Cow<'a, str>,
    /// The text of an array or object.
    params: Option<&'a str>,
    /// The text of a string, number or null; a notification has none.
    id: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Checks a request; one that is invalid leaves the id to answer with.
    fn parse(text: &'a RawValue) -> Result<Request<'a>, &'a str> {
        let [version, method, params, id] =
            members(text.get(), ["jsonrpc", "method", "params", "id"]).map_err(|_| NULL)?;
        let id = id.map(RawValue::get);
        if id.is_some_and(|id| id.starts_with(['{', '[', 't', 'f'])) {
            return Err(NULL);
        }
        let refused = id.unwrap_or(NULL);
        if version.and_then(rpcplugin::text).as_deref() != Some("2.0") {
            return Err(refused);
        }
        let method = method.and_then(rpcplugin::text).ok_or(refused)?;
        let params = params.map(RawValue::get);
        if params.is_some_and(|params| !params.starts_with(['{', '['])) {
            return Err(refused);
        }
        Ok(Request { method, params, id })
    }
}
