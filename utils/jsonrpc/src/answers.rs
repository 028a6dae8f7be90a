//! The answer to a message, as it is built within the budget: one response object (JSON-RPC 2.0,
//! section 5), or an array of them.

use rpcplugin::{Error, Json};

use crate::budget::{Budget, Share};

/// Longest answer, that to a batch included, in bytes.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What a response object has beside its id and its result, at most, in bytes.
const FRAME: usize = 48;

/// The text of an answer, with what it takes of the budget.
#[derive(Debug)]
pub struct Answers<'a> {
    text: String,
    share: Share<'a>,
    batch: bool,
}

impl<'a> Answers<'a> {
    /// The answer to one request.
    pub fn new(budget: &'a Budget) -> Answers<'a> {
        Answers {
            text: String::new(),
            share: Share::new(budget),
            batch: false,
        }
    }

    /// The answer to a batch.
    pub fn of_batch(budget: &'a Budget) -> Answers<'a> {
        Answers {
            batch: true,
            ..Answers::new(budget)
        }
    }

    /// Adds a result; or, where there is no room for it, an error that says so.
    pub fn result(&mut self, id: &str, result: &Json) {
        let result = result.as_str();
        match self.make_room(id.len() + result.len() + FRAME) {
            Ok(()) => self.add(id, &["\"result\":", result]),
            Err(error) => self.error(id, error),
        }
    }

    /// Adds an error, room or not: a client must be told. It is short, but for the id, which came
    /// with the request.
    pub fn error(&mut self, id: &str, error: Error) {
        let message = Json::of(&*error.message);
        let head = format!("\"error\":{{\"code\":{},\"message\":", error.code);
        match error.data {
            Some(data) => self.add(
                id,
                &[&head, message.as_str(), ",\"data\":", data.as_str(), "}"],
            ),
            None => self.add(id, &[&head, message.as_str(), "}"]),
        }
    }

    /// Ends the answer; `None` if nothing was to be answered.
    pub fn end(mut self) -> Option<Answers<'a>> {
        if self.text.is_empty() {
            return None;
        }
        if self.batch {
            self.text.push(']');
        }
        Some(self)
    }

    /// Adds the byte that ends an answer in a stream.
    pub fn push(&mut self, byte: u8) {
        self.text.push(char::from(byte));
    }

    /// The answer.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    fn add(&mut self, id: &str, members: &[&str]) {
        if self.batch {
            self.text.push(if self.text.is_empty() { '[' } else { ',' });
        }
        self.text.push_str("{\"jsonrpc\":\"2.0\",\"id\":");
        self.text.push_str(id);
        self.text.push(',');
        for member in members {
            self.text.push_str(member);
        }
        self.text.push('}');
    }

    /// Makes room for so many bytes more.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let length = self.text.len() + bytes;
        if length > MAX_ANSWER {
            return Err(Error::internal("the answer is longer than 8 MiB"));
        }
        if length <= self.text.capacity() {
            return Ok(());
        }
        // Twice as much, so that many short results are not moved each time.
        let ample = length.max(self.text.capacity() * 2).min(MAX_ANSWER);
        let Some(room) = [ample, length]
            .into_iter()
            .find(|room| self.share.resize(*room))
        else {
            return Err(Error::busy());
        };
        self.text.reserve_exact(room - self.text.len());
        Ok(())
    }
}
