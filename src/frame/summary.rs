//! A frame header, for the log.

use std::fmt;

use super::OpCode;

/// A frame header in the log: opcode, FIN, and the length of the payload.
pub struct Summary(pub OpCode, pub bool, pub u64);

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(opcode, last, length) = self;
        let fin = if *last { ", FIN" } else { "" };
        write!(f, "{opcode}{fin}, {length} bytes")
    }
}
