//! Serves one client: reads, splits, answers and writes until its stream ends.

use std::io;
use std::time::{Duration, Instant};

use crate::answers::Answers;
use crate::budget::Budget;
use crate::connection::Connection;
use crate::dispatch::{Dispatcher, answer_fault};
use crate::methods::Methods;
use crate::splitter::{Event, Splitter};
use crate::watch::Watch;

/// Bytes asked of one read: as much as one packet of a SEQPACKET socket has.
const READ_SIZE: usize = 32 * 1024;

/// Longest time that an unfinished message may hold a part of the budget. A client that never ends
/// its message would keep it from all others.
const UNFINISHED_TIME: Duration = Duration::from_secs(60);

/// Serves one client until the end of its stream.
///
/// Each answer is one write. It ends with a NUL or a line feed where the request did; if that byte
/// comes only later, so does the answer's.
///
/// # Errors
/// The stream's own; `ConnectionAborted` when the client has left before its answer was ready.
pub fn serve(
    client: &mut dyn Connection,
    methods: &mut dyn Methods,
    budget: &Budget,
) -> io::Result<()> {
    let mut splitter = Splitter::new(budget);
    let mut buffer = vec![0; READ_SIZE];
    let mut replies = Replies {
        budget,
        received: Instant::now(),
        waiting: None,
        open: false,
    };
    let mut deadline = None;
    loop {
        let input = receive(client, &mut buffer, deadline)?;
        let ends = matches!(input, Input::Bytes(length) if client.ends_message(length));
        replies.received = Instant::now();
        let mut written = Ok(());
        let mut sink = |event: Event<'_>| {
            if written.is_ok() {
                written = replies.take(event, methods, client);
            }
        };
        let before = splitter.ended();
        match input {
            Input::Bytes(length) => splitter.feed(&buffer[..length], &mut sink),
            Input::Late => splitter.expire(&mut sink),
            Input::End => {}
        }
        if ends || matches!(input, Input::End) {
            splitter.end(&mut sink);
        }
        written?;
        replies.flush(client)?;
        if matches!(input, Input::End) {
            return Ok(());
        }
        let same = deadline.filter(|_| splitter.ended() == before);
        deadline = splitter
            .holds_budget()
            .then(|| same.unwrap_or_else(|| Instant::now() + UNFINISHED_TIME));
    }
}

/// What a client has sent.
enum Input {
    /// So many bytes.
    Bytes(usize),
    /// Nothing until the deadline.
    Late,
    End,
}

fn receive(
    client: &mut dyn Connection,
    buffer: &mut [u8],
    deadline: Option<Instant>,
) -> io::Result<Input> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) {
        return Ok(Input::Late);
    }
    match client.receive(buffer, left) {
        Ok(Some(length)) => Ok(Input::Bytes(length)),
        Ok(None) => Ok(Input::End),
        Err(error) if left.is_some() && error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Input::Late)
        }
        Err(error) => Err(error),
    }
}

/// The answer that waits to learn how its request ends.
struct Replies<'a> {
    budget: &'a Budget,
    /// When the client was last heard.
    received: Instant,
    waiting: Option<Answers<'a>>,
    /// The last answer has no end yet.
    open: bool,
}

impl Replies<'_> {
    fn take(
        &mut self,
        event: Event<'_>,
        methods: &mut dyn Methods,
        client: &mut dyn Connection,
    ) -> io::Result<()> {
        let answer = match event {
            Event::Message(message) => {
                let mut dispatcher = Dispatcher {
                    methods,
                    watch: Watch::since(client, self.received),
                    budget: self.budget,
                };
                let answer = dispatcher.answer(message);
                if dispatcher.watch.has_left() {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                answer
            }
            Event::Fault(fault) => Some(answer_fault(fault, self.budget)),
            Event::End(byte) => return self.finish(byte, client),
        };
        self.flush(client)?;
        self.open = answer.is_some();
        self.waiting = answer;
        Ok(())
    }

    /// The request has ended with this byte.
    fn finish(&mut self, byte: u8, client: &mut dyn Connection) -> io::Result<()> {
        if !std::mem::take(&mut self.open) {
            return self.flush(client);
        }
        match &mut self.waiting {
            Some(answer) => answer.push(byte),
            None => return client.send(&[byte]),
        }
        self.flush(client)
    }

    fn flush(&mut self, client: &mut dyn Connection) -> io::Result<()> {
        match self.waiting.take() {
            Some(answer) => client.send(answer.as_bytes()),
            None => Ok(()),
        }
    }
}
