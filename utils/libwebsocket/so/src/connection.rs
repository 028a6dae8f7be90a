//! One accepted connection: first that of the gateway or of a plain client, which is not known yet,
//! and once the client has arrived, its state.
//!
//! Locks are taken in the order arrival, receive, send, waiting, watchers. Receive and send may be
//! held during a blocking call, so nothing that must not block waits for them: a call that finds
//! the sending side busy leaves what it has in `waiting`, where the holder looks before and after
//! it unlocks.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use common::MessageType;
use libwebsocket::frame::MAX_CONTROL_PAYLOAD;
use libwebsocket::receive::Receiver;
use libwebsocket::send::Sender;

use crate::sys::hidden::Hidden;
use crate::sys::lock::Guarded;
use crate::sys::{self, KeepErrno, process};
use crate::table::{self, Table};
use crate::told::Told;
use crate::watchers::Watchers;

/// All connections, by their descriptors.
pub(crate) static CONNECTIONS: Table<Connection> = Table::new();

/// A connection in use.
pub(crate) type Ref = table::Ref<Connection>;

/// What an accepted connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing has come over it yet.
    Unknown,
    /// The descriptors are the client's socket, which speaks frames.
    Client,
    /// A plain UNIX client's: no descriptor leads here any more.
    Plain,
}

/// How a connection becomes a client.
pub(crate) struct Arrival {
    /// From then on a connection that has said nothing counts as a plain client's where that has to
    /// be known, in milliseconds of the monotonic clock.
    pub(crate) silent_until: i64,
    /// The gateway's connection, which tells the program who and what its socket is, and the
    /// gateway when the client is done with.
    pub(crate) gateway: Option<Hidden>,
    /// What the gateway has said of the client.
    pub(crate) told: Option<Told>,
}

/// Control frames that could not be sent yet.
pub(crate) struct Waiting {
    /// Answer to the last ping; the older ones need none (RFC 6455, 5.5.3).
    pub(crate) pong: Option<([u8; MAX_CONTROL_PAYLOAD], usize)>,
    /// Our Close: 0 for one without a code.
    pub(crate) close: Option<u16>,
}

/// See the module's description.
pub(crate) struct Connection {
    kind: AtomicU8,
    /// The generation of the process that last used it.
    used: AtomicU32,
    /// The type of the server's frames.
    pub(crate) message_type: MessageType,
    /// The server has read or written something of the client's.
    pub(crate) served: AtomicBool,
    /// The server uses websocket.h, where empty messages count.
    pub(crate) messages: AtomicBool,
    /// An edge-triggered epoll watches the socket.
    pub(crate) edge: AtomicBool,
    /// The server's calls on the socket do not block (O_NONBLOCK).
    pub(crate) nonblocking: AtomicBool,
    /// A wait has called the socket readable, so the next read must not block.
    pub(crate) promised: AtomicBool,
    /// Bytes that must be there for the kernel to call it readable.
    pub(crate) low_water: AtomicUsize,
    /// The client's side is over, and the kernel has been told.
    ended: AtomicBool,
    /// When the server read something behind which there was more, in microseconds of a clock that
    /// wraps round; 0 for no.
    pub(crate) more_since: AtomicU32,
    /// The kernel keeps an answer of the server's.
    pub(crate) kept: AtomicBool,
    /// Pongs that came.
    pub(crate) pongs: AtomicU32,
    pub(crate) arrival: Guarded<Arrival>,
    pub(crate) rx: Guarded<Receiver>,
    pub(crate) tx: Guarded<Sender>,
    pub(crate) waiting: Guarded<Waiting>,
    pub(crate) watchers: Guarded<Watchers>,
}

impl Connection {
    /// Of a kind that is not known yet.
    pub(crate) fn new(silent_until: i64, nonblocking: bool) -> Self {
        Connection {
            kind: AtomicU8::new(Kind::Unknown as u8),
            used: AtomicU32::new(process::generation()),
            message_type: MessageType::unknown(),
            served: AtomicBool::new(false),
            messages: AtomicBool::new(false),
            edge: AtomicBool::new(false),
            nonblocking: AtomicBool::new(nonblocking),
            promised: AtomicBool::new(false),
            low_water: AtomicUsize::new(1),
            ended: AtomicBool::new(false),
            more_since: AtomicU32::new(0),
            kept: AtomicBool::new(false),
            pongs: AtomicU32::new(0),
            arrival: Guarded::new(Arrival {
                silent_until,
                gateway: None,
                told: None,
            }),
            rx: Guarded::new(Receiver::new()),
            tx: Guarded::new(Sender::new()),
            waiting: Guarded::new(Waiting {
                pong: None,
                close: None,
            }),
            watchers: Guarded::new(Watchers::new()),
        }
    }

    /// What is known of it.
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Acquire) {
            0 => Kind::Unknown,
            1 => Kind::Client,
            _ => Kind::Plain,
        }
    }

    /// Now it is known.
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Release);
    }

    /// It speaks frames.
    pub(crate) fn is_client(&self) -> bool {
        self.kind() == Kind::Client
    }

    /// This process uses the connection.
    pub(crate) fn touch(&self) {
        self.used.store(process::generation(), Ordering::Relaxed);
    }

    /// The same of a call that may block, for as long as this lives: the process may fork
    /// meanwhile.
    pub(crate) fn in_use(&self) -> InUse<'_> {
        self.touch();
        InUse(self)
    }

    /// A call with these flags on the socket does not block.
    pub(crate) fn must_not_block(&self, flags: c_int) -> bool {
        flags & libc::MSG_DONTWAIT != 0 || self.nonblocking.load(Ordering::Relaxed)
    }

    /// It is this process's to close politely: it has used the connection since the last fork, or
    /// has it in an epoll. Of a forking server's two processes that is the child.
    #[inline(never)]
    pub(crate) fn is_ours(&self) -> bool {
        process::is_owner()
            && (self.used.load(Ordering::Relaxed) == process::generation()
                || self.watchers.lock().have_ours())
    }

    /// Tells the kernel that nothing more will be read, so that poll, select and epoll report the
    /// end of the stream from now on.
    pub(crate) fn end_input(&self, fd: c_int) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let _errno = KeepErrno::new();
            // SAFETY: a plain system call.
            unsafe { sys::shutdown(fd, libc::SHUT_RD) };
        }
    }

    /// Something is left that the server may not look for: where one event a change of the socket
    /// is all there is, it gets another one.
    pub(crate) fn more_is_there(&self) {
        if self.edge.load(Ordering::Relaxed) {
            self.watchers.lock().trigger_again();
        }
    }

    /// # Safety
    /// Only in a child right after fork, where no other thread exists.
    pub(crate) unsafe fn reset_locks(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            self.arrival.reset();
            self.rx.reset();
            self.tx.reset();
            self.waiting.reset();
            self.watchers.reset();
        }
    }
}

/// See [`Connection::in_use`].
pub(crate) struct InUse<'a>(&'a Connection);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.touch();
    }
}

/// The client behind a descriptor, if one has arrived there.
pub(crate) fn client(fd: c_int) -> Option<Ref> {
    CONNECTIONS.find(fd).filter(|known| known.is_client())
}

/// This process waits for the descriptor, which is use of its connection, if it has one; that
/// matters only after a fork.
pub(crate) fn touch(fd: c_int) {
    if process::generation() > 0
        && let Some(connection) = CONNECTIONS.find(fd)
    {
        connection.touch();
    }
}
