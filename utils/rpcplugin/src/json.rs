//! JSON as it crosses the interface: text that is known to be JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::Error;

/// One JSON value as text, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The JSON of a value. One that has none (a map whose keys are not
    /// strings) becomes `null`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Json {
        Json(serde_json::to_string(value).unwrap_or_else(|_| "null".to_string()))
    }

    /// Text that comes from elsewhere, if it is one JSON value. Line breaks
    /// between its tokens become spaces: within strings JSON allows none.
    pub fn parse(text: &str) -> Option<Json> {
        let value: &RawValue = serde_json::from_str(text).ok()?;
        Some(Json(value.get().replace(['\n', '\r'], " ")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parameters of a call, not yet parsed.
#[derive(Debug, Clone, Copy)]
pub struct Params<'a>(Option<&'a str>);

impl<'a> Params<'a> {
    /// Parameters from their text: a JSON array or object, or none.
    pub fn new(text: Option<&'a str>) -> Params<'a> {
        Params(text)
    }

    /// The text, if the request had parameters.
    pub fn text(self) -> Option<&'a str> {
        self.0
    }

    /// Parameters by name; none at all are an empty object.
    ///
    /// # Errors
    /// "Invalid params" if they are not an object.
    pub fn object(self) -> Result<Map<String, Value>, Error> {
        match self.0 {
            None => Ok(Map::new()),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::invalid_params(&error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_from_elsewhere_is_checked_and_brought_onto_one_line() {
        let json = Json::parse(" {\"a\":\r\n[1,\n2]}\n").expect("valid JSON");
        assert_eq!(json.as_str(), "{\"a\":  [1, 2]}");
        for text in ["", "{", "1 2", "nul", "\"a\nb\""] {
            assert_eq!(Json::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn parameters_that_are_no_object_are_invalid() {
        assert!(
            Params::new(None)
                .object()
                .expect("none is empty")
                .is_empty()
        );
        let error = Params::new(Some("[1]")).object().expect_err("an array");
        assert_eq!(error.code, -32602);
    }
}
