//! Configuration (`config`): every text gives a configuration or errors with their places, and what
//! is accepted is read as libconfig reads it.
#![no_main]

use std::path::Path;

use libconfig::{Config as OracleConfig, Value as Oracle};
use libfuzzer_sys::fuzz_target;
use ouistiti::parts::config::{self, Diagnostic, Severity, Value};

/// Deepest nesting of a text that the oracle may see: it overflows the stack.
const MAX_DEPTH: usize = 100;

fn same(ours: &Value, oracle: &Oracle) -> bool {
    match (ours, oracle) {
        (Value::Bool(a), Oracle::Bool(b)) => a == b,
        // To libconfig a hexadecimal number of 32 bits is negative if its first is set.
        (Value::Int(a), Oracle::Integer(b)) => {
            *a == i64::from(*b) || u32::try_from(*a) == Ok(*b as u32)
        }
        (Value::Int(a), Oracle::Integer64(b)) => a == b,
        (Value::Float(a), Oracle::Float(b)) => a.parse() == Ok(*b),
        (Value::Text(a), Oracle::String(b)) => a == b,
        (Value::Array(a), Oracle::Array(b)) | (Value::List(a), Oracle::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, b))
        }
        (Value::Group(a), Oracle::Group(b)) => {
            a.len() == b.len()
                && (a.iter().zip(b)).all(|(a, (name, b))| a.name == *name && same(&a.node.value, b))
        }
        _ => false,
    }
}

/// Whether the oracle can be asked: it would follow `@include`, overflows its stack on deep
/// nesting, refuses escapes that libconfig takes as they stand, ends a comment at its first "/*/",
/// and knows no text that is not UTF-8.
fn suits_oracle(text: &str) -> bool {
    let opening = text.matches(['{', '(', '[']).count();
    opening <= MAX_DEPTH
        && !text.contains("@include")
        && !text.contains("/*/")
        && !text.contains(['\\', '\0', '\u{fffd}'])
}

fn check(diagnostic: &Diagnostic, text: &str) {
    assert!(!diagnostic.message.is_empty());
    assert!(!diagnostic.to_string().is_empty());
    if let Some((line, column)) = diagnostic.at {
        assert!((1..=text.matches('\n').count() + 1).contains(&line));
        assert!((1..=text.chars().count() + 1).contains(&column));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    // The names of other files are not to be followed.
    if text.contains("@include") || text.contains("config_d") {
        return;
    }
    let path = Path::new("fuzz.conf");
    match config::from_text(path, &text) {
        Ok((config, warnings)) => {
            assert!(!config.servers.is_empty());
            assert!(
                warnings
                    .iter()
                    .all(|warning| warning.severity == Severity::Warning)
            );
            warnings.iter().for_each(|warning| check(warning, &text));
        }
        Err(errors) => {
            assert!(errors.iter().any(|error| error.severity == Severity::Error));
            errors.iter().for_each(|error| check(error, &text));
        }
    }
    if !suits_oracle(&text) {
        return;
    }
    let oracle = OracleConfig::from_str(&text).map(OracleConfig::into_value);
    // Where one of them refuses, it is the oracle that is stricter or laxer than libconfig: "a ="
    // is an empty group to it, a ';' too many an error, and so is 0b with 70 zeros.
    if let (Ok(ours), Ok(oracle)) = (config::tree(path, &text), oracle) {
        let ours = Value::Group(ours);
        assert!(same(&ours, &oracle), "{ours:#?}\n{oracle:#?}");
    }
});
