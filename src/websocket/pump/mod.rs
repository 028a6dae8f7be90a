//! Running: the two directions between a client and its backend, and how they end.
//!
//! Each direction that has something to copy has a thread, and one that is silent, or that writes
//! what nobody reads, has none (`side`). When a direction is over, its thread waits for the other
//! one within limits, and then cuts what that one waits in. The Close goes out last, when both
//! directions are over. Only if the backend ends first does it go out early: it then asks the client
//! to end (docs/behaviour.md, section 3).

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::MessageType;
use log::debug;

use crate::backend::Backend;
use crate::client::frames::FrameWriter;
use crate::config::ServiceConfig;
use crate::frame::CloseCode;
use crate::server::clients::Clients;
use crate::server::workers::Place;
use crate::websocket::framing::{Left, Own, ToClient};
use crate::websocket::pump::latch::Latch;
use ending::BackendEnd;
pub(super) use ending::ClientEnd;
#[cfg(feature = "share")]
pub(super) use ending::{LOOK, TURNED_AWAY};
use from_client::{FromClient, Remainder, Source};
#[cfg(feature = "share")]
pub(crate) use passed::offer;
pub(crate) use passed::{MAX_PACKET, NOT_TAKEN, Passed, TAKEN, go_on};
use patience::Patience;
use side::{Reads, Side};
pub(crate) use who::Who;

mod ending;
mod from_backend;
pub(super) mod from_client;
pub(crate) mod latch;
mod passed;
pub(super) mod patience;
mod side;
mod who;

/// Longest wait for the other side's part of an end (docs/behaviour.md, section 3).
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for a client that takes what it was sent before its Close, however slowly.
pub(crate) const SLOW_WAIT: Duration = Duration::from_secs(60);

/// Longest silence of a backend after it was sent the end, before the client gets its Close.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// The figures of a connection, for its one log line.
#[derive(Debug)]
pub(crate) struct Report {
    /// The close code both sides know, 1006 if there was no Close (RFC 6455, section 7.4.1).
    pub(crate) code: u16,
    /// Bytes given to the backend.
    pub(crate) to_backend: u64,
    /// Payload bytes sent to the client.
    pub(crate) to_client: u64,
    /// How long it has lasted.
    pub(crate) lasted: Duration,
}

/// How a direction's thread leaves its work.
pub(super) enum Leave<T> {
    /// There is nothing to read, and nothing of the direction is left in the thread; or it waits for
    /// the other side to read.
    Silent,
    /// The direction is over.
    Over(T),
}

/// What a connection is served by.
pub(crate) struct Terms {
    /// Whom the connection serves.
    pub(crate) who: Who,
    /// How the backend is spoken to.
    pub(crate) config: Arc<ServiceConfig>,
    /// Silence after which the kernel asks for the client.
    pub(crate) ping: Duration,
    /// Silence after which a direction holds no thread.
    pub(crate) park: Option<Duration>,
    /// The server's clients, and their threads and memory.
    pub(crate) clients: Arc<Clients>,
}

/// What both directions share.
struct Pump {
    writer: Arc<FrameWriter>,
    backend: Backend,
    terms: Terms,
    kind: MessageType,
    begun: Instant,
    /// No other process has taken the connection that was offered.
    stays: AtomicBool,
    /// The client has closed: the end of the backend is the answer to that.
    client_over: AtomicBool,
    from_client: Latch,
    from_backend: Latch,
    /// The backend is not read any more, not even to drop its output.
    left_backend: Latch,
    end: Mutex<End>,
    left: Mutex<Waiting>,
}

/// What waits to be read by the other side while a direction has no thread.
#[derive(Default)]
struct Waiting {
    to_client: Option<Box<Left>>,
    to_backend: Option<Box<Remainder>>,
}

/// What is to be done when both directions are over.
struct End {
    /// Directions that are not over.
    left: u8,
    to_backend: u64,
    to_client: u64,
    last: Option<Last>,
}

/// Called once when both directions are over.
pub(crate) type Last = Box<dyn FnOnce(&FrameWriter, &Who, Report) + Send>;

/// Sends the 101 with `greet`, and copies until both directions are over; then calls `last`. The
/// call returns earlier where this thread is not needed.
pub(crate) fn run(
    writer: Arc<FrameWriter>,
    backend: Backend,
    (terms, protocol): (Terms, Option<&str>),
    place: &mut Place,
    greet: impl FnOnce() -> io::Result<()>,
    last: Last,
) {
    let pump = Arc::new(Pump {
        kind: MessageType::new(protocol),
        ..Pump::new(writer, backend, terms, last)
    });
    pump.begin(greet);
    Side::start(&pump, Reads::Backend);
    Side::new(pump, Reads::Client).run(place);
}

impl Pump {
    fn new(writer: Arc<FrameWriter>, backend: Backend, terms: Terms, last: Last) -> Self {
        Self {
            writer,
            backend,
            terms,
            kind: MessageType::unknown(),
            begun: Instant::now(),
            stays: AtomicBool::new(false),
            client_over: AtomicBool::new(false),
            from_client: Latch::default(),
            from_backend: Latch::default(),
            left_backend: Latch::default(),
            end: Mutex::new(End {
                left: 2,
                to_backend: 0,
                to_client: 0,
                last: Some(last),
            }),
            left: Mutex::default(),
        }
    }

    /// Sends the 101. If that fails, the client is cut, and both directions find its end.
    fn begin(&self, greet: impl FnOnce() -> io::Result<()>) {
        let client = self.writer.client();
        // The limit of the opening must not stay: the server watches for silence.
        let _ = client.set_read_timeout(None);
        let failed = || Err(io::ErrorKind::Other.into());
        if unless_panic(
            || self.writer.open(self.parks(Reads::Backend), greet),
            failed,
        )
        .is_err()
        {
            client.cut();
        }
    }

    /// Whether a direction can do without a thread.
    fn parks(&self, reads: Reads) -> bool {
        self.terms.park.is_some()
            && match reads {
                Reads::Client => true,
                Reads::Backend => self.backend.is_socket(),
            }
    }

    /// Runs the client's direction, to its end and through the close handshake. Returns how many
    /// bytes have gone to the backend if it is silent before that; `count` have gone before.
    fn copy_client(&self, count: u64, patience: &mut Patience<'_>) -> Option<u64> {
        let client = self.writer.client();
        let limit = self.terms.ping;
        let own = Own::new(&self.backend, |stuck| stuck < limit || !client.has_left());
        let source = Source {
            writer: &self.writer,
            terms: &self.terms,
            kind: &self.kind,
            moves: &self.from_client,
        };
        let mut from_client = FromClient::new(source, &own, count);
        if self.may_leave_bytes() {
            from_client.go_on(self.left().to_backend.take());
        }
        let failed = || Leave::Over(ClientEnd::Failed(CloseCode::Error));
        let end = match unless_panic(|| from_client.copy(patience), failed) {
            Leave::Silent => {
                let count = from_client.count();
                if from_client.is_stuck() {
                    self.left().to_backend = Some(from_client.leave());
                }
                return Some(count);
            }
            Leave::Over(end) => end,
        };
        patience.end();
        debug!("{client:#}: the client's direction is over: {end}");
        self.client_over.store(true, Ordering::Release);
        self.from_client.open();
        // The backend gets what came before, and the client the backend's last bytes
        // (docs/behaviour.md, section 3).
        self.backend.end();
        let has_ended = self.from_backend.wait(LAST_WORDS, Some(CLOSE_WAIT));
        self.writer.set_last_limit(CLOSE_WAIT);
        let code = match end {
            ClientEnd::Close(code) => Some(code),
            ClientEnd::Failed(code) => Some(Some(code)),
            ClientEnd::Vanished => None,
        };
        match code {
            Some(code) if has_ended || self.can_tell(code) => drop(self.writer.close(code)),
            // A thread that still writes to the client must not wait.
            Some(_) => client.cut(),
            None if !has_ended => client.cut(),
            None => {}
        }
        client.finish();
        client.linger(CLOSE_WAIT);
        self.release_backend();
        client.traffic().to_backend.set(from_client.count());
        self.leave(|end| end.to_backend = from_client.count());
        None
    }

    /// Runs the backend's direction: messages, then a Close if the backend ends. Returns how many
    /// bytes have gone to the client if the thread leaves before that; `count` have gone before.
    fn copy_backend(&self, count: u64, patience: &mut Patience<'_>) -> Option<u64> {
        let client = self.writer.client();
        let mut out = ToClient::new(
            &*self.writer,
            self.backend.is_packet(),
            &self.terms.config,
            Some(&self.kind),
            self.terms.clients.budget(),
            count,
        );
        if self.parks(Reads::Backend) {
            out.go_on(self.left().to_client.take());
        }
        let failed = || Leave::Over(BackendEnd::Failed(CloseCode::Error));
        let end = match unless_panic(|| self.copy_to(&mut out, patience), failed) {
            Leave::Silent => {
                let count = out.count();
                if out.is_stuck() {
                    self.left().to_client = Some(out.leave());
                }
                return Some(count);
            }
            Leave::Over(end) => end,
        };
        patience.end();
        debug!("{client:#}: the backend's direction is over: {end}");
        let code = match end {
            BackendEnd::Ended if self.client_over.load(Ordering::Acquire) => None,
            BackendEnd::Ended => Some(self.code_of_end(out.count())),
            BackendEnd::Failed(code) => Some(code),
            BackendEnd::Client => None,
        };
        if let Some(code) = code {
            self.writer.set_last_limit(CLOSE_WAIT);
            let _ = self.writer.close(Some(code));
        }
        if self.writer.close_sent().is_none() && !matches!(end, BackendEnd::Ended) {
            client.cut();
        }
        self.from_backend.open();
        if matches!(end, BackendEnd::Client) {
            self.drop_backend();
        }
        self.left_backend.open();
        // A backend that has ended may still read what the client sends before its Close.
        if !self.wait_for_client() {
            client.cut();
            self.backend.cut();
        }
        self.writer.client().traffic().to_client.set(out.count());
        self.leave(|end| end.to_client = out.count());
        None
    }

    /// Whether the client's direction can do without a thread while the backend does not read.
    fn may_leave_bytes(&self) -> bool {
        self.parks(Reads::Client) && self.backend.is_socket()
    }

    /// Whether a direction waits for the other side to read.
    fn is_stuck(&self, reads: Reads) -> bool {
        let left = self.left();
        match reads {
            Reads::Client => left.to_backend.is_some(),
            Reads::Backend => left.to_client.is_some(),
        }
    }

    fn left(&self) -> MutexGuard<'_, Waiting> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a direction's part. The last one to leave reports.
    fn leave(&self, note: impl FnOnce(&mut End)) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut end);
        end.left -= 1;
        if end.left > 0 {
            return;
        }
        let report = Report {
            code: self.writer.close_sent().unwrap_or(1006),
            to_backend: end.to_backend,
            to_client: end.to_client,
            lasted: self.begun.elapsed(),
        };
        let last = end.last.take();
        drop(end);
        if let Some(last) = last {
            last(&self.writer, &self.terms.who, report);
        }
    }
}

/// Whether a read has ended because nothing came for the time that a thread waits. A socket may have
/// a limit for that from the process that had it before an upgrade.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), Interrupted | WouldBlock)
}

/// Returns what `work` returns, or what `failed` does if it panics: a bug then ends one client, and
/// leaves no thread waiting for the other.
fn unless_panic<T>(work: impl FnOnce() -> T, failed: impl FnOnce() -> T) -> T {
    // The caller uses what `work` borrowed only to count bytes.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| failed())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod weight;
