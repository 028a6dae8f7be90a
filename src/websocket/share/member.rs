//! Running: a client of a shared backend: what it says, and how it leaves.
//!
//! The share's thread writes to the client. What the client says has a thread of the server's while
//! there is something to read, and none while it is silent, as with a backend of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use common::MessageType;
use log::debug;

use super::membership::Membership;
use crate::client::Client;
use crate::client::frames::{FrameWriter, Offered};
use crate::frame::CloseCode;
use crate::server::parking::Parked;
use crate::server::workers::Place;
use crate::system::epoll::Awaited;
use crate::websocket::framing::Outlet;
use crate::websocket::pump::from_client::{FromClient, Source};
use crate::websocket::pump::latch::Latch;
use crate::websocket::pump::patience::Patience;
use crate::websocket::pump::{CLOSE_WAIT, ClientEnd, LOOK, Last, Leave, Report, Terms};

/// A client of a shared backend.
pub(super) struct Member {
    pub(super) writer: Arc<FrameWriter>,
    membership: Membership,
    terms: Terms,
    /// What it says is over, and only its Close may still go out.
    is_leaving: AtomicBool,
    /// Another one has taken over: what it says goes nowhere.
    is_muted: AtomicBool,
    /// Opens when the share's thread writes to it no longer.
    left: Latch,
    moves: Latch,
    kind: MessageType,
    begun: Instant,
    last: Mutex<Option<Last>>,
}

/// Serves a client: sends the 101 with `greet`, and then what the backend says. The call returns
/// when the client is silent or gone.
pub(crate) fn run(
    writer: Arc<FrameWriter>,
    membership: Membership,
    terms: Terms,
    place: &mut Place,
    greet: impl FnOnce() -> io::Result<()>,
    last: Last,
) {
    let member = Arc::new(Member {
        writer,
        membership,
        terms,
        is_leaving: AtomicBool::new(false),
        is_muted: AtomicBool::new(false),
        left: Latch::default(),
        moves: Latch::default(),
        kind: MessageType::unknown(),
        begun: Instant::now(),
        last: Mutex::new(Some(last)),
    });
    let client = member.client();
    // The limit of the opening must not stay: the server watches for silence.
    let _ = client.set_read_timeout(None);
    // What is said from now on is for it too, and goes out after the 101.
    member.membership.share().join(Arc::clone(&member));
    if member.writer.open(false, greet).is_err() {
        client.cut();
    }
    member.membership.share().wake();
    Hearing {
        member,
        count: 0,
        is_ready: false,
    }
    .run(place);
}

impl Member {
    pub(super) fn client(&self) -> &Client {
        self.writer.client()
    }

    /// Whether what it says is over.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Lets nothing that it says reach the backend any more.
    pub(super) fn mute(&self) {
        self.is_muted.store(true, Ordering::Release);
    }

    /// Notes that the share's thread writes to it no longer.
    pub(super) fn let_go(&self) {
        self.left.open();
    }

    /// Ends the connection of a client that says nothing more.
    fn leave(&self, end: &ClientEnd, count: u64) {
        let client = self.client();
        debug!("{client:#}: the client's direction is over: {end}");
        let code = match end {
            ClientEnd::Close(code) => Some(*code),
            ClientEnd::Failed(code) => Some(Some(*code)),
            ClientEnd::Vanished => None,
        };
        if let Some(code) = code {
            self.writer.owe_close(code);
        }
        self.is_leaving.store(true, Ordering::Release);
        self.membership.share().wake();
        self.writer.set_last_limit(CLOSE_WAIT);
        if code.is_none() || !self.is_told() {
            client.cut();
        }
        client.finish();
        self.membership.free();
        client.linger(CLOSE_WAIT);
        self.left.wait(CLOSE_WAIT, Some(CLOSE_WAIT));
        client.traffic().to_backend.set(count);
        let report = Report {
            code: self.writer.close_sent().unwrap_or(1006),
            to_backend: count,
            to_client: client.traffic().to_client.get(),
            lasted: self.begun.elapsed(),
        };
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(last) = last {
            last(&self.writer, &self.terms.who, report);
        }
    }

    /// Whether its Close has gone out. Waits for that, as long as may be.
    fn is_told(&self) -> bool {
        let deadline = Instant::now() + CLOSE_WAIT;
        while self.writer.close_sent().is_none() && Instant::now() < deadline {
            if self.left.wait(LOOK, Some(LOOK)) {
                self.writer.settle();
                if self.writer.close_sent().is_none() {
                    // The latch is open, so that it would not wait.
                    crate::system::threads::sleep(LOOK);
                }
            }
        }
        self.writer.close_sent().is_some()
    }
}

/// What a client says goes to the share's backend.
impl Outlet for Member {
    fn is_packet(&self) -> bool {
        self.membership.share().inbox().is_packet()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn offer(&self, pieces: &[&[u8]], _taken: usize) -> io::Result<Offered> {
        let all = Offered {
            taken: pieces.iter().map(|piece| piece.len()).sum(),
            is_full: false,
        };
        if self.is_muted.load(Ordering::Acquire) {
            return Ok(all);
        }
        let (limit, share) = (self.terms.ping, self.membership.share());
        let go_on = || !self.client().has_left();
        let pieces = [0, 1].map(|at| pieces.get(at).copied().unwrap_or_default());
        if share.inbox().deliver(pieces, limit, go_on)? {
            share.wake();
        }
        Ok(all)
    }
}

/// The direction from a client: all that is left of it while it is silent.
struct Hearing {
    member: Arc<Member>,
    /// Bytes delivered so far.
    count: u64,
    /// There is something to read.
    is_ready: bool,
}

impl Hearing {
    /// Delivers what the client says until it is silent, or gone.
    fn run(mut self, place: &mut Place) {
        loop {
            let member = Arc::clone(&self.member);
            let is_over = member
                .client()
                .traffic()
                .copying(|| self.copy(&member, place));
            if is_over {
                return;
            }
            self.is_ready = false;
            let count = self.count;
            member.client().shrink();
            if member.terms.clients.parking().park(Box::new(self)).is_ok() {
                return;
            }
            // The kernel does not watch it: the thread stays, whatever others wait for.
            place.give_up();
            self = Self {
                member,
                count,
                is_ready: true,
            };
        }
    }

    /// The same with a thread in hand; returns whether the client is gone.
    fn copy(&mut self, member: &Member, place: &mut Place) -> bool {
        let mut patience = Patience::new(place, member.terms.park, self.is_ready);
        let source = Source {
            writer: &member.writer,
            terms: &member.terms,
            kind: &member.kind,
            moves: &member.moves,
        };
        let mut from_client = FromClient::new(source, member, self.count);
        let copy = AssertUnwindSafe(|| from_client.copy(&mut patience));
        let left =
            panic::catch_unwind(copy).unwrap_or(Leave::Over(ClientEnd::Failed(CloseCode::Error)));
        self.count = from_client.count();
        let Leave::Over(end) = left else {
            return false;
        };
        drop(from_client);
        patience.end();
        member.leave(&end, self.count);
        true
    }
}

impl Parked for Hearing {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.member.client().as_fd()
    }

    fn awaited(&self) -> Awaited {
        Awaited::Input
    }

    fn leaves(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn wakes(&mut self) -> bool {
        self.is_ready = self.member.writer.wakes_reader();
        self.is_ready
    }

    fn is_awaited(&self) -> bool {
        self.member.writer.close_sent().is_some()
    }

    fn resume(self: Box<Self>, place: &mut Place) {
        self.run(place);
    }

    /// What others share stays with the process until they have left.
    fn passes(&self) -> Option<usize> {
        None
    }

    fn pass(&self, _: &str, _: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(false)
    }
}
