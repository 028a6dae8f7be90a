//! Running: the two copy threads between a client and its backend, and how they end.
//!
//! The connection's own thread reads the client; a second one reads the backend.
//! When the direction of a thread is over, it waits for the other thread within
//! limits, and then cuts what that one waits in. The Close goes out last, when both
//! directions are over. Only if the backend ends first does it go out early: it
//! then asks the client to end (docs/behaviour.md, section 3).

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::MessageType;
use log::{debug, warn};

use crate::backend::{Backend, Input};
use crate::client::frames::{FrameWriter, SendError};
use crate::config::ServiceConfig;
use crate::frame::CloseCode;
use crate::system::budget::Budget;
use crate::system::threads;
use crate::websocket::framing::{Forward, ToClient};
use crate::websocket::pump::latch::Latch;
use from_client::FromClient;

mod from_client;
pub(crate) mod latch;

/// Longest wait for the other side's part of an end (docs/behaviour.md, section 3).
pub(crate) const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Longest silence of a backend after it was sent the end, before the client gets its Close.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pause between two looks at the state of the other thread, or of the backend.
const LOOK: Duration = Duration::from_millis(100);

/// The figures of a connection, for its one log line.
#[derive(Debug)]
pub(crate) struct Report {
    /// The close code both sides know, 1006 if there was no Close (RFC 6455, section 7.4.1).
    pub(crate) code: u16,
    /// Bytes given to the backend.
    pub(crate) to_backend: u64,
    /// Payload bytes sent to the client.
    pub(crate) to_client: u64,
}

/// Why the client's direction is over.
#[derive(Debug)]
enum ClientEnd {
    /// It sent a Close.
    Close(Option<CloseCode>),
    /// Its stream ended without one.
    Vanished,
    /// It broke a rule, or sent too much at once: it gets a Close with this code.
    Failed(CloseCode),
}

/// Why the backend's direction is over.
#[derive(Debug)]
enum BackendEnd {
    /// It ended its stream.
    Ended,
    /// It failed, or its bytes cannot be forwarded: the client gets a Close with this code.
    Failed(CloseCode),
    /// The client is gone or has been sent a Close.
    Client,
}

/// What a connection is served by.
pub(crate) struct Terms<'a> {
    /// How the backend is spoken to.
    pub(crate) config: &'a ServiceConfig,
    /// The subprotocol chosen.
    pub(crate) protocol: Option<&'a str>,
    /// Silence after which the kernel asks for the client.
    pub(crate) ping: Duration,
    /// The memory of all clients of the server.
    pub(crate) budget: &'a Budget,
}

/// What both threads share.
struct Pump<'a> {
    writer: &'a FrameWriter,
    backend: &'a Backend,
    terms: &'a Terms<'a>,
    kind: MessageType,
    /// The client has closed: the end of the backend is the answer to that.
    client_over: AtomicBool,
    from_client: Latch,
    from_backend: Latch,
    /// The backend is not read any more, not even to drop its output.
    left_backend: Latch,
}

/// Sends the 101.
pub(crate) type Greet<'a> = dyn Fn() -> io::Result<()> + Sync + 'a;

/// Copies until both directions are over. `greet` sends the 101 once both threads run.
///
/// # Errors
/// When the second thread cannot be created; nothing has been sent then.
pub(crate) fn run(
    writer: &FrameWriter,
    backend: &Backend,
    terms: &Terms<'_>,
    greet: &Greet<'_>,
) -> io::Result<Report> {
    let pump = Pump {
        writer,
        backend,
        terms,
        kind: MessageType::new(terms.protocol),
        client_over: AtomicBool::new(false),
        from_client: Latch::default(),
        from_backend: Latch::default(),
        left_backend: Latch::default(),
    };
    let client = writer.client();
    // The limit of the opening must not stay: the server watches for silence.
    client.set_read_timeout(None)?;
    client.tune(terms.ping);
    thread::scope(|scope| {
        let name = thread::current()
            .name()
            .map(|name| name.replacen('c', "b", 1));
        let copier = threads::named(name.unwrap_or_default())
            .spawn_scoped(scope, || pump.copy_backend(greet))?;
        let to_backend = pump.copy_client();
        let to_client = copier.join().unwrap_or(0);
        client.traffic().to_backend.set(to_backend);
        client.traffic().to_client.set(to_client);
        Ok(Report {
            code: writer.close_sent().unwrap_or(1006),
            to_backend,
            to_client,
        })
    })
}

impl Pump<'_> {
    /// Runs the client's direction, to its end and through the close handshake.
    fn copy_client(&self) -> u64 {
        let client = self.writer.client();
        let mut from_client = FromClient::new(self, || !client.has_left());
        let end = unless_panic(|| from_client.copy(), ClientEnd::Failed(CloseCode::Error));
        debug!("client's direction over: {end:?}");
        self.client_over.store(true, Ordering::Release);
        self.from_client.open();
        // The backend gets what came before, and the client the backend's last bytes
        // (docs/behaviour.md, section 3).
        self.backend.end();
        let has_ended = self.from_backend.wait(LAST_WORDS, Some(CLOSE_WAIT));
        let _ = client.set_write_timeout(Some(CLOSE_WAIT));
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
        from_client.count()
    }

    /// Owes the client a Close, which can go out only when the backend's thread has sent its
    /// frame. Returns whether it went out in time.
    fn can_tell(&self, code: Option<CloseCode>) -> bool {
        self.writer.owe_close(code);
        let deadline = Instant::now() + CLOSE_WAIT;
        while self.writer.close_sent().is_none() && !self.from_backend.wait(LOOK, Some(LOOK)) {
            if Instant::now() >= deadline {
                return false;
            }
            self.writer.settle();
        }
        true
    }

    /// Ends the backend's direction. Waits first until the backend has read what it was sent, as
    /// long as it reads at all: when we stop reading, its next write fails, and on TCP a reset
    /// destroys what is still on its way to it (RFC 1122, section 4.2.2.13).
    fn release_backend(&self) {
        if self.left_backend.wait(Duration::ZERO, None) {
            return;
        }
        let mut unread = self.backend.unread();
        let mut moved = Instant::now();
        while unread > 0 && moved.elapsed() < CLOSE_WAIT {
            if self.left_backend.wait(LOOK, Some(LOOK)) {
                return;
            }
            let left = self.backend.unread();
            if left < unread {
                moved = Instant::now();
            }
            unread = left;
        }
        self.backend.cut();
    }

    /// Runs the backend's direction: the 101, then messages, then a Close if the backend ends.
    fn copy_backend(&self, greet: &Greet<'_>) -> u64 {
        let client = self.writer.client();
        let mut out = ToClient::new(
            self.writer,
            self.backend,
            self.terms.config,
            &self.kind,
            self.terms.budget,
        );
        let work = || match self.writer.open(greet) {
            Ok(()) => self.read_backend(&mut out),
            Err(_) => BackendEnd::Client,
        };
        let end = unless_panic(work, BackendEnd::Failed(CloseCode::Error));
        debug!("backend's direction over: {end:?}");
        let code = match end {
            BackendEnd::Ended if self.client_over.load(Ordering::Acquire) => None,
            BackendEnd::Ended => Some(CloseCode::Normal),
            BackendEnd::Failed(code) => Some(code),
            BackendEnd::Client => None,
        };
        if let Some(code) = code {
            let _ = client.set_write_timeout(Some(CLOSE_WAIT));
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
        if !self.from_client.wait(CLOSE_WAIT, Some(CLOSE_WAIT)) {
            client.cut();
            self.backend.cut();
        }
        out.count()
    }

    /// Reads and drops the backend's output until it ends or is cut, so that the backend can go
    /// on to read.
    #[inline(never)]
    fn drop_backend(&self) {
        let mut dropped = [0; 2048];
        loop {
            match self.backend.read(&mut dropped) {
                Ok(Input::End) => return,
                Ok(Input::Bytes(_)) => {}
                // A packet longer than that.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(_) => return,
            }
        }
    }

    fn read_backend(&self, out: &mut ToClient<'_>) -> BackendEnd {
        loop {
            let input = match out.is_filling() {
                true => self.backend.read_now(out.space()),
                false => self.backend.read(out.space()).map(Some),
            };
            let forwarded = match input {
                Ok(Some(Input::Bytes(count))) => out.forward(count),
                Ok(None) => out.forward(0),
                Ok(Some(Input::End)) => match out.end() {
                    Ok(()) => return BackendEnd::Ended,
                    Err(forward) => Err(forward),
                },
                Err(error) => {
                    debug!("backend failed: {error}");
                    let _ = out.end();
                    return BackendEnd::Failed(CloseCode::Error);
                }
            };
            self.from_backend.moved();
            self.writer.client().traffic().to_client.set(out.count());
            if let Err(forward) = forwarded {
                return self.unforwarded(forward);
            }
        }
    }

    fn unforwarded(&self, forward: Forward) -> BackendEnd {
        match forward {
            Forward::Send(SendError::Closed | SendError::Gone) => BackendEnd::Client,
            Forward::BadText => BackendEnd::Failed(CloseCode::Invalid),
            Forward::TooBig => BackendEnd::Failed(CloseCode::Size),
            Forward::NoMemory => BackendEnd::Failed(CloseCode::Again),
            Forward::BadOpcode(opcode) => {
                warn!("backend sent opcode byte {opcode} in framing = \"length\", not 1 or 2");
                BackendEnd::Failed(CloseCode::Error)
            }
            Forward::Cut => {
                warn!("backend ended within a message of framing = \"length\"");
                BackendEnd::Failed(CloseCode::Error)
            }
        }
    }
}

/// Returns what `work` returns, or `failed` if it panics: a bug then ends one client, and leaves
/// no thread waiting for the other.
fn unless_panic<T>(work: impl FnOnce() -> T, failed: T) -> T {
    // The caller uses what `work` borrowed only to count bytes.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(failed)
}

#[cfg(test)]
mod tests;
