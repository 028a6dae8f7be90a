//! The tree a libconfig text stands for, each part with its place.

use super::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Its text, from the first byte to the last; of a group, list or array
    /// the opening bracket.
    pub span: Span,
}

/// A libconfig value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`, in any case.
    Bool(bool),
    /// A whole number, however it was written.
    Int(i64),
    /// A number with a point or an exponent, as it was written.
    Float(String),
    /// A string, escapes resolved and neighbours joined.
    Text(String),
    /// `[ ... ]`: scalars of one type.
    Array(Vec<Node>),
    /// `( ... )`: anything.
    List(Vec<Node>),
    /// `{ ... }`: settings.
    Group(Vec<Setting>),
}

/// A name and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The value.
    pub node: Node,
}

impl Value {
    /// The type's name in a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::List(_) => "a list",
            Self::Group(_) => "a group",
        }
    }
}
