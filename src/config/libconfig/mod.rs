//! Start-up: reads the format of libconfig into a tree with places. It knows no setting by name.

pub(crate) mod diagnostic;
mod lexer;
mod literal;
pub(crate) mod parser;
pub(crate) mod source;
pub(crate) mod value;
