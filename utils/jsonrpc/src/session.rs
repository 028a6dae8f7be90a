//! One client: read, split, answer, write, until its stream ends.

use std::io;

use crate::budget::Share;
use crate::dispatch::{answer, answer_busy, answer_fault};
use crate::methods::Methods;
use crate::splitter::{Event, Splitter};

/// Bytes asked of one read: as much as one packet of a SEQPACKET socket has.
const READ_SIZE: usize = 32 * 1024;

/// The connection to one client.
pub trait Connection {
    /// Reads what is there, up to the length of `buffer`; `None` is the end.
    ///
    /// # Errors
    /// The connection's own.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>>;

    /// Whether a message ends with what was read, if that had so many bytes:
    /// never in a stream.
    fn ends_message(&self, _length: usize) -> bool {
        false
    }

    /// Writes one answer.
    ///
    /// # Errors
    /// The connection's own.
    fn send(&mut self, answer: &[u8]) -> io::Result<()>;
}

/// Serves one client until the end of its stream.
///
/// Each answer is one write. It ends with a NUL or a line feed where the
/// request did; if that byte comes only later, so does the answer's.
///
/// # Errors
/// The stream's own.
pub fn serve(client: &mut dyn Connection, methods: &mut dyn Methods) -> io::Result<()> {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ_SIZE];
    let mut replies = Replies::default();
    loop {
        let length = client.receive(&mut buffer)?;
        let ends = length.is_none_or(|length| client.ends_message(length));
        let mut written = Ok(());
        let mut sink = |event: Event<'_>| {
            if written.is_ok() {
                written = replies.take(event, methods, client);
            }
        };
        if let Some(length) = length {
            splitter.feed(&buffer[..length], &mut sink);
        }
        if ends {
            splitter.end(&mut sink);
        }
        written?;
        replies.flush(client)?;
        if length.is_none() {
            return Ok(());
        }
    }
}

/// The answer that waits to learn how its request ends.
#[derive(Default)]
struct Replies {
    waiting: Vec<u8>,
    share: Option<Share>,
    /// The last answer has no end yet.
    open: bool,
}

impl Replies {
    fn take(
        &mut self,
        event: Event<'_>,
        methods: &mut dyn Methods,
        client: &mut dyn Connection,
    ) -> io::Result<()> {
        let mut share = None;
        let answer = match event {
            Event::Message(message) => answer(message, methods).map(|mut answer| {
                answer.shrink_to_fit();
                share = Share::take(answer.len());
                if share.is_some() {
                    answer
                } else {
                    answer_busy(message)
                }
            }),
            Event::Fault(fault) => Some(answer_fault(fault)),
            Event::End(byte) => {
                if self.open {
                    self.open = false;
                    self.waiting.push(byte);
                }
                return self.flush(client);
            }
        };
        self.flush(client)?;
        self.open = answer.is_some();
        self.waiting = answer.map_or(Vec::new(), String::into_bytes);
        self.share = share;
        Ok(())
    }

    fn flush(&mut self, client: &mut dyn Connection) -> io::Result<()> {
        let answer = std::mem::take(&mut self.waiting);
        let _share = self.share.take();
        if answer.is_empty() {
            return Ok(());
        }
        client.send(&answer)
    }
}
