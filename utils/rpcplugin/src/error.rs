//! The error that a method answers with when it cannot give a result.

use std::borrow::Cow;
use std::fmt;

use crate::Json;

/// The error codes of JSON-RPC 2.0 (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// The text is not JSON.
    ParseError = -32700,
    /// The JSON is not a request.
    InvalidRequest = -32600,
    /// There is no such method.
    MethodNotFound = -32601,
    /// The method cannot use these parameters.
    InvalidParams = -32602,
    /// The server or the plugin failed.
    InternalError = -32603,
    /// The method failed for a reason of its own (the first code of the range -32099 to -32000,
    /// which the specification leaves to servers).
    Failure = -32000,
}

impl Code {
    /// The message that goes with the code; the C gateway's programs know these words.
    pub fn message(self) -> &'static str {
        match self {
            Code::ParseError => "Parse Error",
            Code::InvalidRequest => "Invalid Request",
            Code::MethodNotFound => "Method not found",
            Code::InvalidParams => "Invalid params",
            Code::InternalError => "Internal error",
            Code::Failure => "Server error",
        }
    }
}

/// The error member of an answer (JSON-RPC 2.0, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Its number.
    pub code: i32,
    /// Its one sentence.
    pub message: Cow<'static, str>,
    /// Further details, as JSON.
    pub data: Option<Json>,
}

impl Error {
    /// An error of the specification, with its message.
    pub fn of(code: Code) -> Error {
        Error {
            code: code as i32,
            message: Cow::Borrowed(code.message()),
            data: None,
        }
    }

    /// A failure of the method itself, said in the plugin's own words.
    pub fn failure(message: impl Into<Cow<'static, str>>) -> Error {
        Error {
            code: Code::Failure as i32,
            message: message.into(),
            data: None,
        }
    }

    /// The parameters do not fit; `why` goes into the data.
    pub fn invalid_params(why: &str) -> Error {
        Error::of(Code::InvalidParams).with(why)
    }

    /// The plugin failed; `why` goes into the data.
    pub fn internal(why: &str) -> Error {
        Error::of(Code::InternalError).with(why)
    }

    /// The memory for requests and answers is taken: nothing was done, and the client may ask
    /// again.
    pub fn busy() -> Error {
        Error::failure("busy").with("too little memory is left for this: ask again later")
    }

    /// The same error with a text as its data.
    #[must_use]
    pub fn with(mut self, why: &str) -> Error {
        self.data = Some(Json::of(why));
        self
    }

    /// The plugin failed to do what `what` says, such as `cannot open FILE`; why goes into the data.
    pub fn cannot(what: &str, why: &dyn fmt::Display) -> Error {
        let why = why.to_string();
        Error::internal(&format!("{what}: {}", common::Reason(&why)))
    }

    /// The text for an administrator: that of the data or, without one, the message.
    pub fn reason(&self) -> Cow<'_, str> {
        let data = self.data.as_ref();
        match data.and_then(|data| serde_json::from_str(data.as_str()).ok()) {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(&self.message),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        match &self.data {
            Some(data) => write!(f, ": {}", data.as_str()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_data_if_that_is_a_text() {
        let mut error = Error::internal("cannot open \"x\"");
        assert_eq!(error.reason(), "cannot open \"x\"");
        error.data = Json::parse("[1]");
        assert_eq!(error.reason(), "Internal error");
    }
}
