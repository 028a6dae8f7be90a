//! JSON as it crosses the interface: text that is known to be JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::Error;

/// One JSON value as text, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The JSON of a value. One that has none (a map whose keys are not strings) becomes `null`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Json {
        Json(serde_json::to_string(value).unwrap_or_else(|_| "null".to_string()))
    }

    /// Text from elsewhere, if it is one JSON value. Line breaks between its tokens become spaces:
    /// within strings JSON allows none.
    pub fn parse(text: &str) -> Option<Json> {
        let value: &RawValue = serde_json::from_str(text).ok()?;
        let text = value.get();
        // Not by replacing all: that would take up to twice the memory.
        if text.contains(['\n', '\r']) {
            return Some(Json(text.replace(['\n', '\r'], " ")));
        }
        Some(Json(text.to_string()))
    }

    /// Text that the caller has written as one JSON value, on one line. It is not checked again
    /// here, but the server checks it.
    pub fn written(text: String) -> Json {
        Json(text)
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

    /// The parameters of these names, as they were written; without parameters, none of them is
    /// there.
    ///
    /// # Errors
    /// "Invalid params" if the parameters are not an object.
    pub fn members<const N: usize>(
        self,
        names: [&str; N],
    ) -> Result<[Option<&'a RawValue>; N], Error> {
        match self.0 {
            None => Ok([None; N]),
            Some(text) => {
                members(text, names).map_err(|error| Error::invalid_params(&error.to_string()))
            }
        }
    }
}

/// The members of these names of a JSON object, as they were written: the last one of each name.
/// Takes no memory for the others, however many there are.
///
/// # Errors
/// The text is not a JSON object.
pub fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let found = parser.deserialize_map(Members(names))?;
    parser.end()?;
    Ok(found)
}

/// The text of a JSON string; `None` if the value is something else, or no text (half of a
/// surrogate pair).
pub fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inside = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        serde_json::from_str(value.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// Looks for members by name.
struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(Place(&self.0))? {
            match place {
                Some(place) => found[place] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// A name, as its place among those looked for.
struct Place<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|wanted| *wanted == name))
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
    fn members_are_found_by_name_and_the_last_of_a_name_counts() {
        let params = Params::new(Some(r#"{"a":1,"b":[2,{"a":3}],"\u0061":"4","d":5}"#));
        let [a, b, c] = params.members(["a", "b", "c"]).expect("an object");
        assert_eq!(a.map(RawValue::get), Some("\"4\""));
        assert_eq!(b.map(RawValue::get), Some(r#"[2,{"a":3}]"#));
        assert!(c.is_none());
        let none = Params::new(None).members(["a"]).expect("no parameters");
        assert!(none[0].is_none());
        for text in ["[1]", "{\"a\":}", "{} {}"] {
            let error = Params::new(Some(text)).members(["a"]).expect_err(text);
            assert_eq!(error.code, -32602);
        }
    }

    #[test]
    fn only_a_string_has_a_text() {
        let text_of = |json: &str| {
            let value: &RawValue = serde_json::from_str(json).expect("JSON");
            text(value).map(Cow::into_owned)
        };
        assert_eq!(text_of("\"a b\"").as_deref(), Some("a b"));
        assert_eq!(text_of(r#""\u00e9\"""#).as_deref(), Some("é\""));
        for json in ["1", "null", "[\"a\"]", r#""\ud800""#] {
            assert_eq!(text_of(json), None, "{json}");
        }
    }
}
