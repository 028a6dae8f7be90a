//! One client: its state machines, each behind the lock of its direction.
//!
//! Locks are taken in the order receive, send, waiting, and the first two may
//! be held during a blocking call, so nothing that must not block waits for
//! them: whoever finds the sending side busy leaves what it has in `waiting`,
//! where the holder looks before and after it lets go.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use libwebsocket::frame::MAX_CONTROL_PAYLOAD;
use libwebsocket::receive::Receiver;
use libwebsocket::send::Sender;

use crate::epoll::Registrations;
use crate::sys::Guarded;
use crate::table;

/// Control frames that could not be sent yet.
pub(crate) struct Waiting {
    /// Answer to the last ping; the older ones need none (RFC 6455, 5.5.3).
    pub(crate) pong: Option<([u8; MAX_CONTROL_PAYLOAD], usize)>,
    /// Our Close: 0 for one without a code.
    pub(crate) close: Option<u16>,
}

/// See the module's description.
pub(crate) struct Connection {
    /// Pointers to this, those of the table included.
    pub(crate) refs: AtomicUsize,
    /// Descriptors in the table.
    pub(crate) descriptors: AtomicUsize,
    /// The generation of the process that last used it.
    used: AtomicU32,
    /// The client's last message was text; so are our frames then.
    pub(crate) text: AtomicBool,
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
    pub(crate) ended: AtomicBool,
    /// Pongs that came.
    pub(crate) pongs: AtomicU32,
    pub(crate) rx: Guarded<Receiver>,
    pub(crate) tx: Guarded<Sender>,
    pub(crate) waiting: Guarded<Waiting>,
    pub(crate) epolls: Guarded<Registrations>,
}

impl Connection {
    pub(crate) const fn new(generation: u32) -> Self {
        Connection {
            refs: AtomicUsize::new(1),
            descriptors: AtomicUsize::new(0),
            used: AtomicU32::new(generation),
            text: AtomicBool::new(true),
            messages: AtomicBool::new(false),
            edge: AtomicBool::new(false),
            nonblocking: AtomicBool::new(false),
            promised: AtomicBool::new(false),
            low_water: AtomicUsize::new(1),
            ended: AtomicBool::new(false),
            pongs: AtomicU32::new(0),
            rx: Guarded::new(Receiver::new()),
            tx: Guarded::new(Sender::new()),
            waiting: Guarded::new(Waiting {
                pong: None,
                close: None,
            }),
            epolls: Guarded::new(Registrations::new()),
        }
    }

    /// This process uses the connection.
    pub(crate) fn touch(&self) {
        self.used.store(table::generation(), Ordering::Relaxed);
    }

    /// The same of a call that may block, for as long as this lives: the
    /// process may fork meanwhile.
    pub(crate) fn in_use(&self) -> InUse<'_> {
        self.touch();
        InUse(self)
    }

    /// A call with these flags on the socket does not block.
    pub(crate) fn must_not_block(&self, flags: c_int) -> bool {
        flags & libc::MSG_DONTWAIT != 0 || self.nonblocking.load(Ordering::Relaxed)
    }

    /// It is ours to close politely: this process has used it since the last
    /// fork, or has it in an epoll. Of a forking server's two processes that
    /// is the child.
    pub(crate) fn is_ours(&self) -> bool {
        table::is_our_process()
            && (self.used.load(Ordering::Relaxed) == table::generation()
                || self.epolls.lock().has_ours())
    }

    /// # Safety
    /// Only in a child right after fork, where no other thread exists.
    pub(crate) unsafe fn reset_locks(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            self.rx.reset();
            self.tx.reset();
            self.waiting.reset();
            self.epolls.reset();
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
