//! Start-up: text in the format of libconfig, as a tree with places; it knows no setting of ours.

pub(crate) mod diagnostic;
mod lexer;
mod literal;
pub(crate) mod parser;
pub(crate) mod source;
pub(crate) mod value;
