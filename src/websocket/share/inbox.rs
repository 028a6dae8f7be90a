//! Running: the way from all clients of a shared backend to it.
//!
//! A message is written at once if the backend takes it. What it does not take waits here, and the
//! share's thread writes it, so that no client holds a lock while the backend is slow. Messages go
//! out whole, in the order in which they came to be whole. When enough waits, the clients that have
//! more wait too, each for itself.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::Backend;
use crate::server::clients::Clients;
use crate::websocket::framing::PACKET;

/// Bytes that may wait, unless it is one message.
const WAITING: usize = 64 << 10;

/// Bytes of the length that stands before a message to the process that has the backend now.
pub(super) const PREFIX: usize = 4;

/// Messages for the backend.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Notified when something has been written, or when the backend is gone.
    room: Condvar,
    /// The clients whose budget of memory (`maxmemory`) pays for what waits.
    clients: Arc<Clients>,
}

#[derive(Default)]
struct State {
    /// `None` when there is no backend any more.
    backend: Option<Arc<Backend>>,
    /// What waits: messages, or the packets of messages.
    queue: VecDeque<Vec<u8>>,
    /// Bytes of the first one that are written.
    written: usize,
    /// Bytes of the queue.
    bytes: usize,
    /// Changes when something is written; wraps.
    moves: u32,
}

impl Inbox {
    pub(super) fn new(clients: Arc<Clients>) -> Self {
        Self {
            state: Mutex::default(),
            room: Condvar::new(),
            clients,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets messages go to a backend.
    pub(super) fn open(&self, backend: Arc<Backend>) {
        self.state().backend = Some(backend);
    }

    /// The backend that messages go to.
    pub(super) fn backend(&self) -> Option<Arc<Backend>> {
        self.state().backend.clone()
    }

    /// Lets messages go to a backend that another process had, after what waited there.
    ///
    /// # Errors
    /// `OutOfMemory` if `maxmemory` does not suffice for what waited.
    pub(super) fn go_on(&self, backend: Arc<Backend>, waiting: Vec<u8>) -> io::Result<()> {
        if !self.clients.budget().take(waiting.len()) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut state = self.state();
        state.backend = Some(backend);
        state.bytes = waiting.len();
        state.queue = VecDeque::from([waiting]);
        state.queue.retain(|message| !message.is_empty());
        Ok(())
    }

    /// Has `give` pass the backend on, together with what waits, and lets messages go to `next` if
    /// it returns true. No message comes in between.
    ///
    /// # Errors
    /// As `give`.
    pub(super) fn pass(
        &self,
        next: &Arc<Backend>,
        give: impl FnOnce(&[u8]) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let mut state = self.state();
        let mut waiting = Vec::from(std::mem::take(&mut state.queue)).concat();
        waiting.drain(..std::mem::take(&mut state.written));
        let given = give(&waiting);
        self.clients.budget().give_back(state.bytes);
        state.bytes = 0;
        if let Ok(true) = given {
            state.backend = Some(Arc::clone(next));
        }
        state.moves = state.moves.wrapping_add(1);
        drop(state);
        self.room.notify_all();
        given
    }

    /// The backend takes nothing more: what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.state();
        self.clients.budget().give_back(state.bytes);
        *state = State::default();
        drop(state);
        self.room.notify_all();
    }

    /// Whether the backend keeps packet boundaries.
    pub(super) fn is_packet(&self) -> bool {
        let state = self.state();
        state.backend.as_ref().is_some_and(|it| it.is_packet())
    }

    /// Whether something waits until the backend takes more.
    pub(super) fn is_waiting(&self) -> bool {
        !self.state().queue.is_empty()
    }

    /// Delivers a message. Returns whether some of it has to wait and the share's thread must be
    /// woken. When nothing could be written for `limit`, `go_on` decides whether to wait on.
    ///
    /// # Errors
    /// As [`Backend::write_ready`]; `BrokenPipe` without a backend, `TimedOut` when `go_on` says
    /// no, `OutOfMemory` if the message must wait and `maxmemory` is taken.
    pub(super) fn deliver(
        &self,
        pieces: [&[u8]; 2],
        limit: Duration,
        go_on: impl Fn() -> bool,
    ) -> io::Result<bool> {
        let mut length = pieces[0].len() + pieces[1].len();
        let mut state = self.state();
        while !state.queue.is_empty() && state.bytes + length > WAITING {
            let before = state.moves;
            let waited = self.room.wait_timeout(state, limit);
            let (after, over) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if over.timed_out() && state.moves == before && !go_on() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let Some(backend) = state.backend.clone() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let is_first = state.queue.is_empty();
        let with_length;
        let pieces = match backend.is_elsewhere() {
            true => {
                with_length = prefixed(pieces);
                length = with_length.len();
                [&with_length[..], &[]]
            }
            false => pieces,
        };
        // Taken before the first byte goes out: no message stays half written for want of memory.
        let budget = self.clients.budget();
        if !budget.take(length) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let rest = match backend.is_packet() {
            true => packets(&backend, pieces[0], is_first),
            false => rest(&backend, pieces, is_first),
        };
        let bytes: usize = rest.iter().flatten().map(Vec::len).sum();
        budget.give_back(length - bytes);
        let rest = rest?;
        state.bytes += bytes;
        state.queue.extend(rest);
        Ok(is_first && !state.queue.is_empty())
    }

    /// Writes what waits, as far as the backend takes it. Returns whether it took something.
    ///
    /// # Errors
    /// As [`Backend::write_ready`].
    pub(super) fn flush(&self) -> io::Result<bool> {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(backend) = &state.backend else {
            return Ok(false);
        };
        let before = state.moves;
        let mut flushed = 0;
        let result = loop {
            let Some(first) = state.queue.front() else {
                break Ok(());
            };
            match backend.write_ready([&first[state.written..], &[]]) {
                Ok(count) => state.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
            state.moves = state.moves.wrapping_add(1);
            if state.written >= first.len() {
                flushed += first.len();
                state.written = 0;
                state.queue.pop_front();
            }
        };
        let has_moved = state.moves != before;
        state.bytes -= flushed;
        self.clients.budget().give_back(flushed);
        drop(guard);
        self.room.notify_all();
        result.map(|()| has_moved)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// A message with its length (big endian), for another process (`tap`).
fn prefixed(pieces: [&[u8]; 2]) -> Vec<u8> {
    let length = (pieces[0].len() + pieces[1].len()) as u32;
    [&length.to_be_bytes()[..], pieces[0], pieces[1]].concat()
}

/// Writes a message to a byte stream, if it is its turn. Returns what is left of it.
fn rest(backend: &Backend, pieces: [&[u8]; 2], is_first: bool) -> io::Result<Vec<Vec<u8>>> {
    let written = match is_first {
        true => now(backend, pieces)?.unwrap_or(0),
        false => 0,
    };
    let in_first = written.min(pieces[0].len());
    let left = [&pieces[0][in_first..], &pieces[1][written - in_first..]].concat();
    Ok(match left.is_empty() {
        true => Vec::new(),
        false => vec![left],
    })
}

/// Writes the packets of a message, if it is its turn; a shorter one, if need be an empty one, ends
/// it. Returns those that are left.
fn packets(backend: &Backend, message: &[u8], is_first: bool) -> io::Result<Vec<Vec<u8>>> {
    let whole = message.len() / PACKET * PACKET;
    let all = message[..whole].chunks(PACKET).chain([&message[whole..]]);
    let mut left: Vec<Vec<u8>> = Vec::new();
    for packet in all {
        let is_out = is_first && left.is_empty() && now(backend, [packet, &[]])?.is_some();
        if !is_out {
            left.push(packet.to_vec());
        }
    }
    Ok(left)
}

/// Writes what the backend takes now; `None` if that is nothing.
fn now(backend: &Backend, pieces: [&[u8]; 2]) -> io::Result<Option<usize>> {
    match backend.write_ready(pieces) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Nothing is waited for: who has to wait gives up.
    const NOW: Duration = Duration::ZERO;

    /// An inbox whose memory is `maxmemory`, with a backend, and the other end of that.
    pub(in super::super) fn connected(max_memory: usize) -> (Inbox, UnixStream) {
        let clients = Arc::new(Clients::default());
        clients.budget().set_limit(max_memory);
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let inbox = Inbox::new(clients);
        inbox.open(Arc::new(Backend::taken(ours.into(), false)));
        (inbox, theirs)
    }

    /// Delivers numbered messages of 1000 bytes until one has to wait. Returns them all.
    pub(in super::super) fn fill(inbox: &Inbox) -> Vec<u8> {
        let mut all = Vec::new();
        for number in 0.. {
            let message = format!("{number:0999}\n");
            all.extend(message.as_bytes());
            let pieces = message.as_bytes().split_at(500);
            if inbox
                .deliver([pieces.0, pieces.1], NOW, || false)
                .expect("there is space")
            {
                break;
            }
        }
        all
    }

    /// Reads this many bytes while the inbox is flushed.
    fn take(inbox: &Inbox, other: &mut UnixStream, count: usize) -> Vec<u8> {
        let mut got = Vec::new();
        let mut chunk = [0; 4096];
        while got.len() < count {
            let count = other.read(&mut chunk).expect("bytes");
            got.extend(&chunk[..count]);
            inbox.flush().expect("a backend");
        }
        got
    }

    #[test]
    fn what_the_backend_does_not_take_waits_and_goes_out_whole_and_in_order() {
        let (inbox, mut other) = connected(1 << 20);
        let mut all = fill(&inbox);
        assert!(inbox.is_waiting());
        // The thread is awake already.
        for _ in 0..10 {
            let woken = inbox.deliver([b"and ", b"more\n"], NOW, || false);
            assert!(!woken.expect("there is space"));
            all.extend(b"and more\n");
        }
        // No more than 64 KiB wait, unless it is one message.
        let long = vec![b'x'; WAITING];
        let error = inbox
            .deliver([&long, b""], NOW, || false)
            .expect_err("no space");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(take(&inbox, &mut other, all.len()) == all);
        assert!(!inbox.is_waiting());
        assert!(inbox.clients.budget().take(1 << 20), "all memory is back");
    }

    #[test]
    fn without_memory_a_message_is_refused_before_its_first_byte_is_out() {
        let (inbox, mut other) = connected(100);
        let error = inbox
            .deliver([&[b'x'; 60], &[b'x'; 60]], NOW, || false)
            .expect_err("no memory");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        inbox.deliver([b"x", b"y"], NOW, || false).expect("memory");
        assert_eq!(take(&inbox, &mut other, 2), b"xy");
    }

    #[test]
    fn a_backend_goes_over_with_what_waits_and_the_next_one_gets_lengths() {
        let (inbox, mut other) = connected(1 << 20);
        let all = fill(&inbox);
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let next = Backend::elsewhere(ours.into(), NOW).expect("an eventfd");
        let mut waiting = Vec::new();
        let has_gone = inbox.pass(&Arc::new(next), |bytes| {
            waiting = bytes.to_vec();
            Ok(true)
        });
        assert!(has_gone.expect("nothing fails"));
        let mut got = vec![0; all.len() - waiting.len()];
        other.read_exact(&mut got).expect("what was written");
        assert!([got, waiting].concat() == all, "no byte is lost or doubled");
        inbox.deliver([b"on", b"e"], NOW, || false).expect("space");
        inbox.deliver([b"", b""], NOW, || false).expect("space");
        let wanted = b"\0\0\0\x03one\0\0\0\0";
        assert_eq!(take(&inbox, &mut theirs, wanted.len()), wanted);
        assert!(inbox.clients.budget().take(1 << 20), "all memory is back");
    }
}
