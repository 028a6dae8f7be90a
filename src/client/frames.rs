//! Running: the one writer of frames to the client.
//!
//! Both copy threads send frames, and so does the server when it stops. A [`FrameWriter`] lets one
//! of them write at a time, whole frames only, and nothing after a Close. A thread that must not
//! wait for the client (the one that reads it, the server's watch) leaves its control frame as
//! *owed*: the next writer sends it first.

use std::io;
use std::time::Duration;

use log::trace;

use crate::client::Client;
use crate::frame::{self, CloseCode, Control, ControlPayload, Header, OpCode, Summary};
use crate::system::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering, fence};
use crate::system::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Why a frame was not sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Frames may not be sent: a Close has been (RFC 6455, section 5.5.1), or no 101 yet.
    Closed,
    /// The client is gone or too slow.
    Gone,
}

/// What became of pieces that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Bytes that were taken, from the first one on.
    pub(crate) taken: usize,
    /// The socket takes no more now: it is to be waited for, even if everything was taken.
    pub(crate) is_full: bool,
}

/// Control frames that wait until the socket takes them.
#[derive(Default)]
struct Owed {
    ping: bool,
    /// The last ping's payload: earlier pongs may be left out (section 5.5.3).
    pong: Option<Box<ControlPayload>>,
    /// The code, and a reason for people (section 5.5.1).
    close: Option<(Option<CloseCode>, &'static str)>,
}

impl Owed {
    fn is_empty(&self) -> bool {
        !self.ping && self.pong.is_none() && self.close.is_none()
    }
}

/// Looks of the server at each client in a `ping` period. A client that is silent for as many looks
/// is pinged; after as many again it is cut.
pub(crate) const WATCHES: u8 = 4;

/// How long a write waits for a client that does not read, before its thread goes elsewhere.
pub(crate) const SHORT_WAIT: Duration = Duration::from_millis(200);

/// Value of the looks while the reader works on what it has read: the client is not silent.
const BUSY: u8 = u8::MAX;

/// What may be written now.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No frame before the 101.
    #[default]
    Opening,
    /// Frames.
    Open,
    /// Nothing: a Close has been sent.
    Closed,
}

/// A client and the right to write to it.
pub(crate) struct FrameWriter {
    pub(super) client: Client,
    owed: Mutex<Owed>,
    /// Whether `owed` holds anything; written under its lock only, so that a writer with nothing to
    /// pay needs no lock.
    is_owed: AtomicBool,
    /// Held while a frame is written.
    pub(super) phase: Mutex<Phase>,
    /// Frames have been sent in part: nothing else may be written. Stored under the lock of `phase`.
    pub(super) is_split: AtomicBool,
    pub(super) is_open: AtomicBool,
    /// A write that waits is given up after a while, and what is left is sent later.
    pub(super) is_short: AtomicBool,
    /// Writes that wait for a short time fail when the socket has taken nothing for so many
    /// milliseconds; 0 if they do not.
    pub(super) last_limit: AtomicU32,
    /// Looks since the client's reader began to wait, or [`BUSY`].
    silence: AtomicU8,
    /// The client has taken something since the last look.
    pub(super) has_taken: AtomicBool,
    /// The code of the Close sent, 0 before it, 1005 for a Close without code.
    close_sent: AtomicU16,
}

/// A panic of a lock's holder leaves plain values behind the lock: they are used as they are.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FrameWriter {
    /// The writer to a client that has just been accepted.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            owed: Mutex::default(),
            is_owed: AtomicBool::new(false),
            phase: Mutex::default(),
            is_split: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            last_limit: AtomicU32::new(0),
            silence: AtomicU8::new(BUSY),
            has_taken: AtomicBool::new(false),
            close_sent: AtomicU16::new(0),
        }
    }

    /// The client, to read from and to wait for.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The client itself, when nobody else holds the writer.
    pub(crate) fn into_client(self) -> Client {
        self.client
    }

    /// Whether the 101 has been sent.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// The code of the Close that was sent, 1005 for a Close without one.
    pub(crate) fn close_sent(&self) -> Option<u16> {
        match self.close_sent.load(Ordering::Acquire) {
            0 => None,
            code => Some(code),
        }
    }

    /// Makes the header of a whole frame to the client, and logs it (trace).
    pub(crate) fn header(&self, opcode: OpCode, length: usize) -> Header {
        let summary = Summary(opcode, true, length as u64);
        trace!("{:#} gets {summary}", self.client);
        frame::header(opcode, true, length)
    }

    /// Reads the client as [`Client::read`] does, while [`FrameWriter::watch`] counts its silence.
    /// Sends owed frames first, as soon as the socket takes them, unless whoever sends the rest of
    /// other frames will. When the thread is called out of the read, the client's silence goes on.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.silence.load(Ordering::Relaxed) == BUSY {
            self.silence.store(0, Ordering::Relaxed);
        }
        if self.is_owing() && !self.is_split() {
            self.client.wait_ready();
            self.settle();
        }
        let result = self.client.read(buffer);
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
            self.set_busy();
        }
        result
    }

    /// Ends the client's silence: it has sent what a thread will read.
    pub(crate) fn set_busy(&self) {
        self.silence.store(BUSY, Ordering::Relaxed);
    }

    /// Lets the client's silence begin anew: all that it has sent is read.
    pub(crate) fn begin_silence(&self) {
        self.silence.store(0, Ordering::Relaxed);
    }

    /// One look at the client, [`WATCHES`] of them in each `ping` period: pings a silent client,
    /// and cuts one that has not answered for as long again.
    pub(crate) fn watch(&self) {
        let silence = self.silence.load(Ordering::Relaxed);
        if silence == BUSY || !self.is_open() {
            return;
        }
        // A full socket that took more is being read: the client's pong may be megabytes away. TCP
        // finds a client that does not read at all (`keep_alive`).
        let is_reading =
            self.has_taken.swap(false, Ordering::Relaxed) && !self.client.is_writable();
        // A read that ended meanwhile has ended the silence as well.
        let next = if is_reading { 0 } else { silence + 1 };
        let counted =
            self.silence
                .compare_exchange(silence, next, Ordering::Relaxed, Ordering::Relaxed);
        match next {
            _ if counted.is_err() => {}
            WATCHES => self.ping(),
            silence if silence >= 2 * WATCHES => self.client.cut(),
            // The socket may take a ping now that it did not take before.
            _ => self.settle(),
        }
    }

    /// Whether frames have been sent in part: whoever sends the rest pays what is owed.
    pub(crate) fn is_split(&self) -> bool {
        self.is_split.load(Ordering::Relaxed)
    }

    /// Sends a Close as the last frame; waits while the socket is full. Sends no second Close.
    ///
    /// # Errors
    /// See [`SendError`].
    pub(crate) fn close(&self, code: Option<CloseCode>) -> Result<(), SendError> {
        self.owe(|owed| _ = owed.close.get_or_insert((code, "")));
        let mut phase = lock(&self.phase);
        self.pay(&mut phase, true)
    }

    /// Owes the client a Close, and sends it if that needs no waiting. Sends no second Close.
    pub(crate) fn owe_close(&self, code: Option<CloseCode>) {
        self.owe_close_for(code, "");
    }

    /// The same with a reason for people, of at most 123 bytes.
    pub(crate) fn owe_close_for(&self, code: Option<CloseCode>, reason: &'static str) {
        self.owe(|owed| _ = owed.close.get_or_insert((code, reason)));
        self.settle();
    }

    /// Calls `greet`, which sends the 101; from then on frames may be sent. If `gives_up`,
    /// [`FrameWriter::send`] returns when the socket has been full for [`SHORT_WAIT`].
    ///
    /// # Errors
    /// Those of `greet`.
    pub(crate) fn open(
        &self,
        gives_up: bool,
        greet: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut phase = lock(&self.phase);
        greet()?;
        // The limit of the opening does not hold for frames.
        let limit = gives_up.then_some(SHORT_WAIT);
        self.client.set_write_timeout(limit)?;
        self.is_short.store(gives_up, Ordering::Release);
        self.is_open.store(true, Ordering::Release);
        *phase = Phase::Open;
        drop(phase);
        self.settle();
        Ok(())
    }

    /// Ends the client because the server stops: with Close 1001 after its 101, by a cut before.
    pub(crate) fn stop(&self) {
        self.owe(|owed| _ = owed.close.get_or_insert((Some(CloseCode::Away), "")));
        // The thread that sends the 101 holds the lock, and sends owed frames afterwards.
        let is_opening = self
            .phase
            .try_lock()
            .is_ok_and(|phase| *phase == Phase::Opening);
        match is_opening {
            true => self.client.cut(),
            false => self.settle(),
        }
    }

    /// Owes the client a pong, and sends it if that needs no waiting.
    pub(crate) fn pong(&self, payload: ControlPayload) {
        self.owe(|owed| owed.pong = Some(Box::new(payload)));
        self.settle();
    }

    /// Owes the client a ping, and sends it if that needs no waiting.
    fn ping(&self) {
        self.owe(|owed| owed.ping = true);
        self.settle();
    }

    /// Whether control frames are owed that can still be sent.
    pub(crate) fn is_owing(&self) -> bool {
        self.is_owed.load(Ordering::Relaxed) && self.is_open() && self.close_sent().is_none()
    }

    /// Adds to what is owed.
    fn owe(&self, add: impl FnOnce(&mut Owed)) {
        let mut owed = lock(&self.owed);
        add(&mut owed);
        self.is_owed.store(true, Ordering::Relaxed);
    }

    /// Sends owed frames as far as that needs no waiting. Returns if another thread holds the lock
    /// of `phase`: the holder calls this after it unlocks.
    pub(crate) fn settle(&self) {
        // A thread that owes stores `is_owed` and then tries the lock; the holder unlocks and then
        // loads `is_owed`. With a fence between both steps on each side, at least one of the two
        // threads sees the other's first step: no owed frame is forgotten.
        fence(Ordering::SeqCst);
        while self.is_owing() && !self.is_split() && self.client.is_writable() {
            let mut phase = match self.phase.try_lock() {
                Ok(phase) => phase,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            // The thread that reads the socket finds the failure as well.
            if self.pay(&mut phase, false).is_err() {
                return;
            }
            drop(phase);
            fence(Ordering::SeqCst);
        }
    }

    /// Writes owed frames one by one, while the socket takes them or `wait` is true.
    pub(super) fn pay(&self, phase: &mut Phase, wait: bool) -> Result<(), SendError> {
        if self.is_split() {
            return Ok(());
        }
        while self.is_owed.load(Ordering::Relaxed)
            && *phase == Phase::Open
            && (wait || self.client.is_writable())
        {
            self.pay_one(phase)?;
        }
        Ok(())
    }

    /// Writes the owed frame whose turn it is, if there is one.
    #[inline(never)]
    fn pay_one(&self, phase: &mut Phase) -> Result<(), SendError> {
        let mut owed = lock(&self.owed);
        let (opcode, payload, close) = if let Some(payload) = owed.pong.take() {
            (Control::Pong, Some(payload), None)
        } else if let Some(close) = owed.close.take() {
            (Control::Close, None, Some(close))
        } else if owed.ping {
            owed.ping = false;
            (Control::Ping, None, None)
        } else {
            return Ok(());
        };
        self.is_owed.store(!owed.is_empty(), Ordering::Relaxed);
        drop(owed);
        let code = close.and_then(|(code, _)| code);
        let code = code.map(|code| u16::from(code).to_be_bytes());
        let payload = match (&payload, &code) {
            (Some(payload), _) => payload.bytes(),
            (None, Some(code)) => code,
            (None, None) => &[],
        };
        // A Close without a code has no reason either (section 5.5.1).
        let why = close.filter(|_| code.is_some()).map_or("", |(_, why)| why);
        if let Some((code, _)) = close {
            *phase = Phase::Closed;
            let code = code.map_or(1005, u16::from);
            self.close_sent.store(code, Ordering::Release);
        }
        let header = self.header(OpCode::Control(opcode), payload.len() + why.len());
        let pieces = [header.bytes(), payload, why.as_bytes()];
        self.write(&pieces, 0, false).map(drop)
    }
}

#[cfg(test)]
mod tests;
