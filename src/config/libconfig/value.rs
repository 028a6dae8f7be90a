//! The tree that a libconfig text stands for. Each part has its place.

use super::source::Span;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// The place of its text; for a group, list or array that of the opening bracket.
    pub span: Span,
}

/// A libconfig value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`, in any case.
    Bool(bool),
    /// A whole number, in whichever base it was written.
    Int(i64),
    /// A number with a point or an exponent, as it was written.
    Float(String),
    /// A string. Its escapes are resolved, and adjacent strings are joined.
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
    /// Returns the name of the type for a message.
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
