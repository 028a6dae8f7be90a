//! SQL values as JSON, and JSON as SQL values.
//!
//! A blob is an array of its bytes, as the C gateway has it.

use std::sync::Arc;

use rpcplugin::Error;
use rusqlite::Statement;
use rusqlite::types::{Value, ValueRef};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

/// Rows of an answer, and their size in bytes, roughly.
#[derive(Debug, Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>, pub(crate) usize);

/// One row: an object whose members stand in the order of the columns.
#[derive(Debug)]
pub(crate) struct Row {
    names: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn read(row: &rusqlite::Row<'_>, names: &Arc<[String]>) -> rusqlite::Result<Row> {
        let values: rusqlite::Result<Vec<Value>> = (0..names.len())
            .map(|index| row.get_ref(index).map(to_value))
            .collect();
        Ok(Row {
            names: Arc::clone(names),
            values: values?,
        })
    }

    /// The size of its JSON, roughly, in bytes.
    pub(crate) fn size(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len() + 6).sum();
        let values = self.values.iter().map(|value| match value {
            Value::Text(text) => text.bytes().map(escaped).sum(),
            Value::Blob(bytes) => bytes.len() * 4,
            Value::Null | Value::Integer(_) | Value::Real(_) => 12,
        });
        names + values.sum::<usize>()
    }

    /// The value of a column, for what we ask for ourselves.
    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        match self.values.get(index) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// Length of a byte of text in JSON (RFC 8259, section 7).
fn escaped(byte: u8) -> usize {
    match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    }
}

/// Text that is not UTF-8 (SQLite does not check) is made so.
fn to_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        other => Value::from(other),
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (name, value) in self.names.iter().zip(&self.values) {
            match value {
                Value::Null => map.serialize_entry(name, &())?,
                Value::Integer(number) => map.serialize_entry(name, number)?,
                Value::Real(number) => map.serialize_entry(name, number)?,
                Value::Text(text) => map.serialize_entry(name, text)?,
                Value::Blob(bytes) => map.serialize_entry(name, bytes)?,
            }
        }
        map.end()
    }
}

/// The values of a request, for the parameters of its SQL.
#[derive(Debug)]
pub(crate) enum Values {
    /// For `?`, in their order.
    Positional(Vec<Value>),
    /// For `:name`, `@name` or `$name`.
    Named(Vec<(String, Value)>),
}

impl Values {
    /// Values from the member `values`: an array, an object, or none.
    pub(crate) fn parse(values: Option<&Json>) -> Result<Values, Error> {
        match values {
            None | Some(Json::Null) => Ok(Values::Positional(Vec::new())),
            Some(Json::Array(values)) => values
                .iter()
                .map(from_json)
                .collect::<Result<_, _>>()
                .map(Values::Positional),
            Some(Json::Object(values)) => {
                let pair = |(name, value): (&String, &Json)| Ok((name.clone(), from_json(value)?));
                values
                    .iter()
                    .map(pair)
                    .collect::<Result<_, _>>()
                    .map(Values::Named)
            }
            Some(_) => Err(Error::invalid_params("values is neither array nor object")),
        }
    }

    /// Binds the values; there must be as many as the statement has places for.
    pub(crate) fn bind(&self, statement: &mut Statement<'_>) -> Result<(), Error> {
        let bound = |error: rusqlite::Error| Error::invalid_params(&error.to_string());
        match self {
            Values::Positional(values) => {
                let places = statement.parameter_count();
                if values.len() != places {
                    let why = format!("{} values for {places} parameters", values.len());
                    return Err(Error::invalid_params(&why));
                }
                for (index, value) in values.iter().enumerate() {
                    statement
                        .raw_bind_parameter(index + 1, value)
                        .map_err(bound)?;
                }
            }
            Values::Named(values) => {
                for index in 1..=statement.parameter_count() {
                    // Without its first letter: `:`, `@` or `$`.
                    let place = statement
                        .parameter_name(index)
                        .and_then(|name| name.get(1..));
                    let value = values.iter().find(|(name, _)| Some(name.as_str()) == place);
                    let Some((_, value)) = value else {
                        let why = format!("no value for parameter {}", place.unwrap_or("?"));
                        return Err(Error::invalid_params(&why));
                    };
                    statement.raw_bind_parameter(index, value).map_err(bound)?;
                }
            }
        }
        Ok(())
    }
}

fn from_json(value: &Json) -> Result<Value, Error> {
    let unfit = || Error::invalid_params("a value is neither scalar nor array of bytes");
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Integer((*value).into()),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Real(number.as_f64().ok_or_else(unfit)?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(bytes) => {
            let byte = |byte: &Json| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
            Value::Blob(
                bytes
                    .iter()
                    .map(byte)
                    .collect::<Option<_>>()
                    .ok_or_else(unfit)?,
            )
        }
        Json::Object(_) => return Err(unfit()),
    })
}
