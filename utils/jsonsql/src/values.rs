//! The values of a request, for the parameters of its SQL.
//!
//! They are made from the text of the request, without a tree between. An array of bytes is a blob,
//! as the C gateway has it.

use std::fmt;

use rpcplugin::{Error, reserve};
use rusqlite::Statement;
use rusqlite::types::Value;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits;

/// Values whose memory is asked for at a time.
const BLOCK: usize = 512;

/// What a value takes in memory, with its name, in bytes.
const SIZE: usize = 96;

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
    pub(crate) fn parse(values: Option<&RawValue>) -> Result<Values, Error> {
        let Some(values) = values else {
            return Ok(Values::Positional(Vec::new()));
        };
        let mut refused = None;
        let mut parser = serde_json::Deserializer::from_str(values.get());
        let values = parser.deserialize_any(Collector(&mut refused));
        match (refused, values) {
            (Some(error), _) => Err(error),
            (None, values) => values.map_err(|error| Error::invalid_params(&error.to_string())),
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
                    let named = |(name, _): &&(String, Value)| Some(name.as_str()) == place;
                    // As JSON has it: the last of a name counts.
                    let value = values.iter().rev().find(named);
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

/// Collects values; leaves the error where their number or memory is refused.
struct Collector<'a>(&'a mut Option<Error>);

impl Collector<'_> {
    /// Makes room in `values` for one more.
    fn make_room<T, E: serde::de::Error>(&mut self, values: &mut Vec<T>) -> Result<(), E> {
        let granted = if values.len() >= limits::VALUES {
            Err(Error::invalid_params("more than 32766 values"))
        } else if values.len() < values.capacity() {
            return Ok(());
        } else {
            reserve(BLOCK * SIZE)
        };
        match granted {
            Ok(()) => {
                values.reserve_exact(BLOCK);
                Ok(())
            }
            Err(error) => {
                *self.0 = Some(error);
                Err(E::custom("too many values"))
            }
        }
    }
}

impl<'de> Visitor<'de> for Collector<'_> {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("values that are an array or an object")
    }

    fn visit_unit<E>(self) -> Result<Values, E> {
        Ok(Values::Positional(Vec::new()))
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<Values, S::Error> {
        let mut values = Vec::new();
        while let Some(Bound(value)) = seq.next_element()? {
            self.make_room(&mut values)?;
            values.push(value);
        }
        Ok(Values::Positional(values))
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<Values, M::Error> {
        let mut values = Vec::new();
        while let Some((name, Bound(value))) = map.next_entry::<String, Bound>()? {
            self.make_room(&mut values)?;
            values.push((name, value));
        }
        Ok(Values::Named(values))
    }
}

/// A value of JSON that SQL has too.
struct Bound(Value);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(parser: D) -> Result<Bound, D::Error> {
        parser.deserialize_any(BoundVisitor)
    }
}

struct BoundVisitor;

impl<'de> Visitor<'de> for BoundVisitor {
    type Value = Bound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar or an array of bytes")
    }

    fn visit_unit<E>(self) -> Result<Bound, E> {
        Ok(Bound(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bound, E> {
        Ok(Bound(Value::Integer(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bound, E> {
        Ok(Bound(Value::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Bound, E> {
        // SQLite's integers end before: then it has them as fractions.
        let real = || Value::Real(value as f64);
        Ok(Bound(
            i64::try_from(value).map_or_else(|_| real(), Value::Integer),
        ))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bound, E> {
        Ok(Bound(Value::Real(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bound, E> {
        Ok(Bound(Value::Text(value.to_string())))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Bound, S::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(Bound(Value::Blob(bytes)))
    }
}
