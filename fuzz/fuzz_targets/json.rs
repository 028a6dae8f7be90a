//! JSON that other programs send (`login/json`): read as another parser reads it, and what we write
//! read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ouistiti::parts::login::{Json, quoted};
use serde_json::Value;

/// Deepest nesting that ours reads.
const MAX_DEPTH: usize = 16;

/// How deep arrays and objects lie in each other.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(values) => values.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// Both say the same; of members of one name the last counts.
fn is_same(ours: &Json, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Json::Text(ours), Value::String(theirs)) => ours == theirs,
        (Json::List(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| is_same(a, b))
        }
        (Json::Object(members), Value::Object(theirs)) => {
            members.iter().all(|(name, _)| theirs.contains_key(name))
                && (theirs.iter())
                    .all(|(name, value)| ours.member(name).is_some_and(|own| is_same(own, value)))
        }
        (Json::Number(ours), Value::Number(theirs)) => {
            let numbers = ours.parse::<f64>().ok().zip(theirs.as_f64());
            // It rounds the last digits in another way.
            numbers.is_some_and(|(a, b)| (a - b).abs() <= a.abs() * 1e-12)
        }
        (Json::Word("null"), Value::Null) => true,
        (Json::Word(ours), Value::Bool(theirs)) => ours.parse() == Ok(*theirs),
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let ours = Json::parse(text);
    match serde_json::from_str::<Value>(text) {
        Ok(theirs) if depth(&theirs) <= MAX_DEPTH => {
            let ours = ours.unwrap_or_else(|| panic!("{theirs} is JSON"));
            assert!(is_same(&ours, &theirs), "{ours:?} {theirs}");
        }
        Ok(_) => assert_eq!(ours, None, "it is too deep"),
        // It has no numbers beyond f64.
        Err(error) if error.to_string().starts_with("number out of range") => {}
        Err(error) => assert_eq!(ours, None, "{error}"),
    }
    let quoted = quoted(text);
    assert!(!quoted.contains(|c: char| c < ' '), "{quoted}");
    assert_eq!(
        serde_json::from_str::<String>(&quoted).ok().as_deref(),
        Some(text)
    );
    assert_eq!(Json::parse(&quoted), Some(Json::Text(text.to_owned())));
});
