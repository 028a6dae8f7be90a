//! Finds where one message ends and the next begins in a stream of bytes.
//!
//! A message is a JSON object or array up to its last bracket; a NUL or a line feed may follow it.
//! Messages come in pieces, or several in one read. Anything else (a scalar, or no JSON) ends with
//! the line, the NUL or the read. Each byte is looked at once. A message that is too long or too
//! deep is reported at once and skipped up to its end, without being kept; so is one for which the
//! budget has no room. A message that turns out not to be JSON is dropped together with the rest of
//! its read. On a socket that keeps messages apart, a JSON message does not continue in the next
//! message of the socket.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::budget::{Budget, Share};

/// Longest request, a batch included, in bytes.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Deepest nesting of arrays and objects in a request. The parsers here and in plugins recurse; no
/// honest request comes near this depth.
pub const MAX_DEPTH: usize = 64;

/// Room made for a first byte, in bytes.
const FIRST_CAPACITY: usize = 512;

/// Room kept for the next message once one has ended, in bytes.
const KEPT_CAPACITY: usize = 16 * 1024;

/// What the splitter finds, in the order of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message, without the byte that ended it. It may still not be JSON.
    Message(&'a [u8]),
    /// A message that cannot be used.
    Fault(Fault),
    /// A NUL or a line feed outside of any message.
    End(u8),
}

/// Why a message cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not JSON.
    Syntax,
    /// It has more than [`MAX_MESSAGE`] bytes.
    TooLong,
    /// It nests deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The budget has no room for it.
    Busy,
    /// It was not complete in time.
    Late,
}

/// Splits one client's stream.
#[derive(Debug)]
pub struct Splitter<'a> {
    state: State,
    /// The bytes of the message so far.
    buffer: Vec<u8>,
    /// What the buffer takes of the budget.
    share: Share<'a>,
    /// Messages that have ended so far, in whichever way.
    ended: usize,
    /// Length at which an unfinished message is next searched for errors. It doubles each time, so
    /// that the cost stays proportional to the length.
    next_check: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a message.
    Between,
    /// In an object or array.
    Nested {
        depth: usize,
        string: bool,
        escape: bool,
        dropped: bool,
    },
    /// In a message that is neither object nor array.
    Scalar,
    /// After a broken message: until an object or array stands at the start of a read (`fresh`), or
    /// a NUL marks the start of the next message.
    Lost { fresh: bool },
}

impl<'a> Splitter<'a> {
    /// A splitter at the start of a stream, whose messages take their memory from `budget`.
    pub fn new(budget: &'a Budget) -> Splitter<'a> {
        Splitter {
            state: State::Between,
            buffer: Vec::new(),
            share: Share::new(budget),
            ended: 0,
            next_check: 1,
        }
    }

    /// Takes what one read returned and reports what it completes.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        if let State::Lost { fresh } = &mut self.state {
            *fresh = true;
        }
        self.scan(bytes, sink);
        if self.is_broken() {
            // The rest of the read may be a part of it, so none of that is called.
            let ended = self.buffer.ends_with(b"\n");
            sink(Event::Fault(Fault::Syntax));
            self.next(if ended {
                State::Between
            } else {
                State::Lost { fresh: false }
            });
            if ended {
                sink(Event::End(b'\n'));
            }
        }
        if matches!(self.state, State::Scalar) {
            self.finish(sink);
            self.next(State::Lost { fresh: false });
        }
    }

    /// How many messages have ended so far, in whichever way.
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// Whether the unfinished message takes a part of the budget.
    pub fn holds_budget(&self) -> bool {
        self.share.is_counted()
    }

    /// Drops the unfinished message, which took too long.
    pub fn expire(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        self.drop_message(Fault::Late, sink);
    }

    /// Takes the end of the stream, or of a message on a socket that keeps messages apart. A JSON
    /// message that is not complete is a fault.
    pub fn end(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        if matches!(self.state, State::Nested { dropped: false, .. }) {
            sink(Event::Fault(Fault::Syntax));
        }
        self.next(State::Between);
    }

    fn scan(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event<'_>)) {
        for &byte in bytes {
            match self.state {
                State::Between => self.between(byte, sink),
                State::Nested { .. } => self.nested(byte, sink),
                State::Scalar if is_end(byte) => {
                    self.finish(sink);
                    self.next(State::Between);
                    sink(Event::End(byte));
                }
                State::Scalar => self.keep(byte, sink),
                State::Lost { fresh } => self.lost(byte, fresh, sink),
            }
        }
    }

    fn between(&mut self, byte: u8, sink: &mut dyn FnMut(Event<'_>)) {
        match byte {
            b' ' | b'\t' | b'\r' => {}
            0 | b'\n' => sink(Event::End(byte)),
            b'{' | b'[' => self.start(byte, sink),
            _ => {
                self.state = State::Scalar;
                self.keep(byte, sink);
            }
        }
    }

    fn lost(&mut self, byte: u8, fresh: bool, sink: &mut dyn FnMut(Event<'_>)) {
        match byte {
            b' ' | b'\t' | b'\r' => {}
            0 => {
                self.state = State::Between;
                sink(Event::End(byte));
            }
            b'\n' => sink(Event::End(byte)),
            b'{' | b'[' if fresh => self.start(byte, sink),
            _ => self.state = State::Lost { fresh: false },
        }
    }

    fn start(&mut self, byte: u8, sink: &mut dyn FnMut(Event<'_>)) {
        self.state = State::Nested {
            depth: 1,
            string: false,
            escape: false,
            dropped: false,
        };
        self.keep(byte, sink);
    }

    fn nested(&mut self, byte: u8, sink: &mut dyn FnMut(Event<'_>)) {
        let State::Nested {
            depth,
            string,
            escape,
            dropped,
        } = &mut self.state
        else {
            return;
        };
        // JSON has no NUL, and no line feed within a string (RFC 8259, sections 2 and 7).
        if byte == 0 || (*string && byte == b'\n') {
            if !*dropped {
                sink(Event::Fault(Fault::Syntax));
            }
            self.next(State::Between);
            sink(Event::End(byte));
            return;
        }
        match byte {
            _ if *escape => *escape = false,
            b'\\' if *string => *escape = true,
            b'"' => *string = !*string,
            _ if *string => {}
            b'{' | b'[' => *depth += 1,
            b'}' | b']' => *depth -= 1,
            _ => {}
        }
        let (depth, dropped) = (*depth, *dropped);
        if depth > MAX_DEPTH && !dropped {
            self.drop_message(Fault::TooDeep, sink);
        } else if !dropped {
            self.keep(byte, sink);
        }
        if depth == 0 {
            if matches!(self.state, State::Nested { dropped: false, .. }) {
                self.finish(sink);
            }
            self.next(State::Between);
        }
    }

    /// Keeps a byte of the message, if there is room.
    fn keep(&mut self, byte: u8, sink: &mut dyn FnMut(Event<'_>)) {
        if self.buffer.len() >= MAX_MESSAGE {
            self.drop_message(Fault::TooLong, sink);
        } else if self.buffer.len() < self.buffer.capacity() || self.grow() {
            self.buffer.push(byte);
        } else {
            self.drop_message(Fault::Busy, sink);
        }
    }

    /// Doubles the buffer, if the budget has room for that.
    fn grow(&mut self) -> bool {
        let capacity = (self.buffer.capacity() * 2).clamp(FIRST_CAPACITY, MAX_MESSAGE);
        let granted = self.share.resize(capacity);
        if granted {
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        granted
    }

    /// Makes the buffer as small as it can be, down to `capacity`.
    fn shrink(&mut self, capacity: usize) {
        self.buffer.shrink_to(capacity);
        // Less is always granted.
        let _ = self.share.resize(self.buffer.capacity());
    }

    /// Reports a message that is not kept, and skips it up to its end.
    fn drop_message(&mut self, fault: Fault, sink: &mut dyn FnMut(Event<'_>)) {
        self.buffer.clear();
        self.shrink(0);
        match &mut self.state {
            State::Nested { dropped, .. } => *dropped = true,
            State::Between | State::Scalar | State::Lost { .. } => {
                self.state = State::Lost { fresh: false };
            }
        }
        sink(Event::Fault(fault));
    }

    fn finish(&mut self, sink: &mut dyn FnMut(Event<'_>)) {
        sink(Event::Message(&self.buffer));
    }

    fn next(&mut self, state: State) {
        self.ended = self.ended.wrapping_add(1);
        self.buffer.clear();
        self.shrink(KEPT_CAPACITY);
        self.next_check = 1;
        self.state = state;
    }

    /// Whether the unfinished message can no longer become JSON. Its sender then gets an error at
    /// once, and does not wait for the end of a message that may never come.
    fn is_broken(&mut self) -> bool {
        let State::Nested { dropped: false, .. } = self.state else {
            return false;
        };
        if self.buffer.len() < self.next_check {
            return false;
        }
        self.next_check = self.buffer.len() * 2;
        match serde_json::from_slice::<IgnoredAny>(&self.buffer) {
            Ok(_) => false,
            Err(error) if error.classify() == Category::Eof => false,
            // The parser reports a number that is cut at one of these as wrong.
            Err(_) => !self
                .buffer
                .last()
                .is_some_and(|byte| b"-+.eE".contains(byte)),
        }
    }
}

fn is_end(byte: u8) -> bool {
    byte == 0 || byte == b'\n'
}

#[cfg(test)]
mod tests;
