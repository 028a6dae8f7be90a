//! Reading: a parameter taken out of a query, so that nobody behind sees it.

use super::{Request, percent_decode};
use crate::http::refusal::Refusal;

impl Request {
    /// Takes a parameter out of the query and the target; its value, percent-decoded.
    ///
    /// # Errors
    /// `Repeated` if it came more often than once, `BadName` if it cannot be decoded.
    pub fn take_parameter(&mut self, name: &'static str) -> Result<Option<String>, Refusal> {
        let Some(query) = &self.query else {
            return Ok(None);
        };
        let value_of = |pair: &&str| {
            let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(own)? == name.as_bytes()).then(|| value.to_owned())
        };
        let values: Vec<_> = query
            .split('&')
            .filter_map(|pair| value_of(&pair))
            .collect();
        let Some(value) = values.first() else {
            return Ok(None);
        };
        let rest: Vec<_> = query
            .split('&')
            .filter(|pair| value_of(pair).is_none())
            .collect();
        let rest = (!rest.is_empty()).then(|| rest.join("&"));
        let path = self.target.split('?').next().unwrap_or_default();
        self.target = match &rest {
            Some(rest) => format!("{path}?{rest}"),
            None => path.to_owned(),
        };
        self.query = rest;
        if values.len() > 1 {
            return Err(Refusal::Repeated(name));
        }
        let decoded = percent_decode(value).and_then(|bytes| String::from_utf8(bytes).ok());
        // Nothing of it is told to anybody.
        decoded
            .map(Some)
            .ok_or_else(|| Refusal::BadName(name.to_owned()))
    }
}
