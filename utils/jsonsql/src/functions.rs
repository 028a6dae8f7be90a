//! Replaces functions of SQLite that take minutes on long values, since the clock of a query is not
//! looked at while a function runs. Ours give the same answers in linear time, or look at the clock
//! themselves.
//!
//! Functions for which that cannot be done are refused here. The authorizer cannot refuse them: it
//! is not asked about functions in the rows of VALUES.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Result};

use crate::clock::{self, Clock};
use crate::limits;
use crate::patterns::Pattern;

/// The flags of SQLite's own functions: fit for indexes and for the schema.
const FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Replaces SQLite's functions.
pub(crate) fn replace_slow(sqlite: &Connection, clock: &Clock) -> Result<()> {
    sqlite.create_scalar_function("instr", 2, FLAGS, instr)?;
    sqlite.create_scalar_function("replace", 3, FLAGS, replace)?;
    sqlite.create_scalar_function("trim", 2, FLAGS, |call| trim(call, true, true))?;
    sqlite.create_scalar_function("ltrim", 2, FLAGS, |call| trim(call, true, false))?;
    sqlite.create_scalar_function("rtrim", 2, FLAGS, |call| trim(call, false, true))?;
    for (name, arguments) in [("like", 2), ("like", 3), ("glob", 2)] {
        let clock = clock.clone();
        let fits = move |call: &Context<'_>| matches(call, name, &clock);
        sqlite.create_scalar_function(name, arguments, FLAGS, fits)?;
    }
    for (name, arguments) in [("unhex", 2), ("json_patch", 2), ("jsonb_patch", 2)] {
        let refuse = move |_: &Context<'_>| {
            let why = format!("{name} with {arguments} arguments is refused");
            Err::<Option<i64>, _>(failed(&why))
        };
        sqlite.create_scalar_function(name, arguments, FLAGS, refuse)?;
    }
    Ok(())
}

/// `instr(X, Y)`: the place of the first Y in X, in characters (of blobs, in bytes), counted from
/// 1.
fn instr(call: &Context<'_>) -> Result<Option<usize>> {
    let is_blob = |index| matches!(call.get_raw(index), ValueRef::Blob(_));
    let bytes = is_blob(0) && is_blob(1);
    let (Some(x), Some(y)) = (text(call, 0), text(call, 1)) else {
        return Ok(None);
    };
    let at = memmem::find(&x, &y).filter(|at| *at == 0 || bytes || !continues(y[0]));
    let before = |at: usize| {
        if bytes {
            at
        } else {
            characters(&x[..at]).count()
        }
    };
    Ok(Some(at.map_or(0, |at| before(at) + 1)))
}

/// `replace(X, Y, Z)`: X with Z for each Y.
fn replace(call: &Context<'_>) -> Result<Option<Text>> {
    let (Some(x), Some(y)) = (text(call, 0), text(call, 1)) else {
        return Ok(None);
    };
    if y.is_empty() {
        return Ok(Some(Text(x.into_owned())));
    }
    let Some(z) = text(call, 2) else {
        return Ok(None);
    };
    let finder = memmem::Finder::new(&y);
    let count = finder.find_iter(&x).count();
    let length = x.len() - count * y.len() + count * z.len();
    if length > limits::LENGTH {
        return Err(failed("string or blob too big"));
    }
    let mut replaced = Vec::with_capacity(length);
    let mut rest = 0;
    for at in finder.find_iter(&x) {
        replaced.extend_from_slice(&x[rest..at]);
        replaced.extend_from_slice(&z);
        rest = at + y.len();
    }
    replaced.extend_from_slice(&x[rest..]);
    Ok(Some(Text(replaced)))
}

/// `trim(X, Y)`: X without the characters of Y at its start, its end or both.
fn trim(call: &Context<'_>, start: bool, end: bool) -> Result<Option<Text>> {
    let (Some(x), Some(y)) = (text(call, 0), text(call, 1)) else {
        return Ok(None);
    };
    let trimmed: HashSet<&[u8]> = characters(&y).collect();
    let mut left = &*x;
    if start {
        let length: usize = characters(left)
            .take_while(|character| trimmed.contains(character))
            .map(<[u8]>::len)
            .sum();
        left = &left[length..];
    }
    if end {
        let length: usize = characters(left)
            .rev()
            .take_while(|character| trimmed.contains(character))
            .map(<[u8]>::len)
            .sum();
        left = &left[..left.len() - length];
    }
    Ok(Some(Text(left.to_vec())))
}

/// `like(Y, X)`, which is `X LIKE Y`, `like(Y, X, Z)` with `ESCAPE Z`, and `glob(Y, X)`.
fn matches(call: &Context<'_>, name: &str, clock: &Clock) -> Result<Option<bool>> {
    let (Some(pattern), Some(text)) = (c_string(call, 0), c_string(call, 1)) else {
        return Ok(None);
    };
    if pattern.len() > limits::PATTERN {
        return Err(failed("LIKE or GLOB pattern too complex"));
    }
    let pattern = match name {
        "glob" => Pattern::glob(&pattern),
        _ if call.len() < 3 => Pattern::like(&pattern, None),
        _ => {
            let Some(escape) = c_string(call, 2) else {
                return Ok(None);
            };
            let mut characters = escape.chars();
            let (Some(escape), None) = (characters.next(), characters.next()) else {
                return Err(failed("ESCAPE expression must be a single character"));
            };
            Pattern::like(&pattern, Some(escape))
        }
    };
    match pattern.fits(&text, || clock.is_over()) {
        Some(fits) => Ok(Some(fits)),
        None => Err(failed(clock::OVER)),
    }
}

fn failed(why: &str) -> Error {
    Error::UserFunctionError(why.into())
}

/// Text that, like SQLite's, need not be UTF-8.
struct Text(Vec<u8>);

impl ToSql for Text {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// An argument as text; `None` if it is NULL.
fn text<'a>(call: &'a Context<'_>, index: usize) -> Option<Cow<'a, [u8]>> {
    match call.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
        ValueRef::Real(number) => Some(real(number).into_bytes().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.into()),
    }
}

/// An argument as text up to its NUL, where SQLite's patterns end.
fn c_string(call: &Context<'_>, index: usize) -> Option<String> {
    let text = text(call, index)?;
    let end = text.iter().position(|byte| *byte == 0);
    let text = &text[..end.unwrap_or(text.len())];
    Some(String::from_utf8_lossy(text).into_owned())
}

/// The characters of a text: a byte each, and those that continue it.
fn characters(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    text.chunk_by(|_, next| continues(*next))
}

/// Whether a byte continues a character (RFC 3629, section 3).
fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// A number as SQLite writes it: 15 digits, as `%!.15g` of its printf.
fn real(number: f64) -> String {
    const DIGITS: i32 = 15;
    if number.is_infinite() {
        return if number > 0.0 { "Inf" } else { "-Inf" }.to_string();
    }
    let scientific = format!("{number:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return without_zeros(&format!("{number:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mantissa = without_zeros(mantissa);
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// With a point, and without the zeros behind it but the first.
fn without_zeros(number: &str) -> String {
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    match places.trim_end_matches('0') {
        "" => format!("{whole}.0"),
        places => format!("{whole}.{places}"),
    }
}
