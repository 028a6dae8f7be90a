//! The rows of an answer. Each is written as JSON when it is read: a tree of values would take many
//! times the memory.
//!
//! A blob is an array of its bytes, as the C gateway has it.

use std::collections::HashSet;

use rpcplugin::{Error, Json, reserve};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::Serialize;

use crate::limits;

/// Longest number in JSON, or null, in bytes.
const NUMBER: usize = 25;

/// Rows as the text of a JSON array.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    text: Vec<u8>,
    count: usize,
    /// Length of the first row's object, in bytes.
    first: usize,
}

/// The names of the columns, each as it begins a member: `"name":`.
pub(crate) struct Names(Vec<Vec<u8>>);

impl Names {
    /// Names for the members of an object: of equal ones all but the first get a number, as SQLite
    /// has it in subqueries (`id`, `id:1`).
    pub(crate) fn of(columns: Vec<&str>) -> Names {
        let mut taken = HashSet::new();
        let mut name = |column: &str| {
            let numbered = (1..).map(|number: usize| format!("{column}:{number}"));
            let mut names = std::iter::once(column.to_string()).chain(numbered);
            names
                .find(|name| taken.insert(name.clone()))
                .unwrap_or_default()
        };
        let member = |name: String| format!("{}:", Json::of(&name).as_str()).into_bytes();
        Names(
            columns
                .into_iter()
                .map(|column| member(name(column)))
                .collect(),
        )
    }
}

impl Rows {
    /// Adds a row, whose columns have these names.
    ///
    /// # Errors
    /// The answer would be too long, or its memory is refused.
    pub(crate) fn push(&mut self, row: &Row<'_>, names: &Names) -> Result<(), Error> {
        if self.count >= limits::ROWS {
            return Err(Error::failure(format!(
                "more than {} rows: ask for fewer with LIMIT",
                limits::ROWS
            )));
        }
        let mut size = 2;
        for (index, name) in names.0.iter().enumerate() {
            size += name.len() + 1 + json_size(&value(row, index)?);
        }
        self.make_room(size)?;
        let start = self.text.len() + 1;
        self.text.push(if self.count == 0 { b'[' } else { b',' });
        let mut before = b'{';
        for (index, name) in names.0.iter().enumerate() {
            self.text.push(before);
            self.text.extend_from_slice(name);
            write(&mut self.text, &value(row, index)?);
            before = b',';
        }
        self.text.push(b'}');
        if self.count == 0 {
            self.first = self.text.len() - start;
        }
        self.count += 1;
        Ok(())
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All rows, as an array.
    pub(crate) fn into_json(mut self) -> Json {
        if self.count == 0 {
            self.text.push(b'[');
        }
        self.text.push(b']');
        json(self.text)
    }

    /// The first row, as an object.
    pub(crate) fn into_first(self) -> Option<Json> {
        let first = self.text.get(1..=self.first)?;
        (self.count > 0).then(|| json(first.to_vec()))
    }

    /// Makes room for so many bytes, and for the brackets.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let length = self.text.len() + bytes + 2;
        if length > limits::ANSWER {
            return Err(Error::failure(
                "an answer of more than 4 MiB: ask for fewer rows",
            ));
        }
        let capacity = self.text.capacity();
        if length > capacity {
            let ample = length.max(capacity * 2).min(limits::ANSWER);
            reserve(ample - capacity)?;
            self.text.reserve_exact(ample - self.text.len());
        }
        Ok(())
    }
}

/// A value of a row.
fn value<'a>(row: &'a Row<'_>, index: usize) -> Result<ValueRef<'a>, Error> {
    row.get_ref(index)
        .map_err(|error| Error::failure(error.to_string()))
}

/// The longest that the JSON of a value can be, in bytes (RFC 8259, section 7).
fn json_size(value: &ValueRef<'_>) -> usize {
    let escaped = |byte: &u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        0..0x80 => 1,
        // What is not UTF-8 becomes U+FFFD, three bytes.
        _ => 3,
    };
    match value {
        ValueRef::Text(bytes) => {
            let plain = std::str::from_utf8(bytes).is_ok();
            let length = |byte: &u8| {
                if plain && *byte >= 0x80 {
                    1
                } else {
                    escaped(byte)
                }
            };
            2 + bytes.iter().map(length).sum::<usize>()
        }
        ValueRef::Blob(bytes) => 2 + bytes.len() * 4,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => NUMBER,
    }
}

/// Writes a value. Text that is not UTF-8 (SQLite does not check) is made so.
fn write(text: &mut Vec<u8>, value: &ValueRef<'_>) {
    match value {
        ValueRef::Null => to_json(text, &()),
        ValueRef::Integer(number) => to_json(text, number),
        ValueRef::Real(number) => to_json(text, number),
        ValueRef::Text(bytes) => to_json(text, &*String::from_utf8_lossy(bytes)),
        ValueRef::Blob(bytes) => to_json(text, bytes),
    }
}

fn to_json<T: Serialize + ?Sized>(text: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(text, value).expect("numbers, texts and bytes have a JSON");
}

fn json(text: Vec<u8>) -> Json {
    Json::written(String::from_utf8(text).expect("serde_json writes UTF-8"))
}
