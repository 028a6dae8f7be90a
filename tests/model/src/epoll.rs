//! A set of sockets in the place of the daemon's `system::epoll`, and the sockets. A socket is
//! ready as long as there is something in it, or as long as it takes something, as with epoll(7)
//! without EPOLLET.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::{Condvar, Mutex};

pub(crate) const EVENTS: usize = 2;

pub(crate) type Descriptor<'a> = &'a Socket;

/// What a socket is waited for to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    Input,
    Space,
    End,
}

/// A socket: what its peer has sent and nobody has read, and a byte that its peer has not taken.
#[derive(Clone, Default)]
pub(crate) struct Socket(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sent: Mutex<VecDeque<u8>>,
    given: Mutex<Option<u8>>,
    has_left: Mutex<bool>,
    filled: Condvar,
    changed: Condvar,
    /// The sets it has been in.
    sets: Mutex<Vec<Arc<Set>>>,
}

impl Socket {
    /// Sends a byte; the peer's own end.
    pub(crate) fn send(&self, byte: u8) {
        self.0.sent.lock().expect("no panic").push_back(byte);
        self.notify();
    }

    /// Takes a byte that is given to the peer, waiting for it; the peer's own end.
    pub(crate) fn receive(&self) -> u8 {
        let mut given = self.0.given.lock().expect("no panic");
        let byte = loop {
            match given.take() {
                Some(byte) => break byte,
                None => given = self.0.filled.wait(given).expect("no panic"),
            }
        };
        drop(given);
        self.notify();
        byte
    }

    /// Ends the peer's side.
    pub(crate) fn leave(&self) {
        *self.0.has_left.lock().expect("no panic") = true;
        self.notify();
    }

    /// Whether the peer has left.
    pub(crate) fn has_left(&self) -> bool {
        *self.0.has_left.lock().expect("no panic")
    }

    fn notify(&self) {
        self.0.changed.notify_all();
        for set in self.0.sets.lock().expect("no panic").iter() {
            // Who waits for the set holds this lock while it looks.
            drop(set.sockets.lock().expect("no panic"));
            set.changed.notify_all();
        }
    }

    /// Gives the peer a byte. Returns whether the socket has taken it.
    pub(crate) fn give(&self, byte: u8) -> bool {
        let mut given = self.0.given.lock().expect("no panic");
        let has_space = given.is_none();
        if has_space {
            *given = Some(byte);
            self.0.filled.notify_all();
        }
        has_space
    }

    fn is_ready(&self, awaited: Awaited) -> bool {
        match awaited {
            Awaited::Input => self.is_readable(),
            Awaited::Space => self.0.given.lock().expect("no panic").is_none(),
            Awaited::End => self.has_left(),
        }
    }

    /// Whether a read would return at once.
    pub(crate) fn is_readable(&self) -> bool {
        !self.0.sent.lock().expect("no panic").is_empty()
    }

    /// Reads a byte, waiting for it; `None` if the thread is interrupted meanwhile.
    pub(crate) fn read(&self) -> Option<u8> {
        let thread = Thread::current();
        thread.set(Some(Wait::In(self.clone())));
        let mut sent = self.0.sent.lock().expect("no panic");
        let byte = loop {
            let byte = sent.pop_front();
            if byte.is_some() || thread.is_interrupted() {
                break byte;
            }
            sent = self.0.changed.wait(sent).expect("no panic");
        };
        drop(sent);
        thread.set(None);
        byte
    }

    /// Takes a byte if it is the next one. Returns whether it was.
    pub(crate) fn take(&self, byte: u8) -> bool {
        let mut sent = self.0.sent.lock().expect("no panic");
        let is_next = sent.front() == Some(&byte);
        if is_next {
            sent.pop_front();
        }
        is_next
    }
}

/// A thread, which is interrupted only where it waits for bytes, as by a signal.
#[derive(Clone, Default)]
pub(crate) struct Thread(Arc<Mutex<Option<Wait>>>);

enum Wait {
    In(Socket),
    Interrupted,
}

shuttle::thread_local! {
    static CURRENT: Thread = Thread::default();
}

impl Thread {
    pub(crate) fn current() -> Self {
        CURRENT.with(Clone::clone)
    }

    pub(crate) fn interrupt(&self) {
        let mut wait = self.0.lock().expect("no panic");
        let Some(Wait::In(socket)) = &*wait else {
            return;
        };
        let socket = socket.clone();
        *wait = Some(Wait::Interrupted);
        drop(wait);
        // A thread that waits for the socket holds this lock while it looks.
        drop(socket.0.sent.lock().expect("no panic"));
        socket.0.changed.notify_all();
    }

    fn set(&self, wait: Option<Wait>) {
        *self.0.lock().expect("no panic") = wait;
    }

    fn is_interrupted(&self) -> bool {
        matches!(*self.0.lock().expect("no panic"), Some(Wait::Interrupted))
    }
}

#[derive(Default)]
struct Set {
    sockets: Mutex<Vec<(Socket, usize, Awaited)>>,
    changed: Condvar,
}

/// What the daemon has for epoll(7).
pub(crate) struct Epoll(Arc<Set>);

#[allow(clippy::unnecessary_wraps, reason = "the daemon's may fail")]
impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::default()))
    }

    pub(crate) fn add(
        &self,
        socket: Descriptor<'_>,
        index: usize,
        awaited: Awaited,
    ) -> io::Result<()> {
        let set = Arc::clone(&self.0);
        socket.0.sets.lock().expect("no panic").push(set);
        let mut sockets = self.0.sockets.lock().expect("no panic");
        let same =
            |(other, _, its): &(Socket, usize, Awaited)| is_same(other, socket) && *its == awaited;
        let is_in = sockets.iter().any(same);
        assert!(!is_in, "it is in the set already (EEXIST)");
        sockets.push((socket.clone(), index, awaited));
        drop(sockets);
        self.0.changed.notify_all();
        Ok(())
    }

    pub(crate) fn delete(&self, socket: Descriptor<'_>, awaited: Awaited) {
        let mut sockets = self.0.sockets.lock().expect("no panic");
        let before = sockets.len();
        sockets.retain(|(other, _, its)| !is_same(other, socket) || *its != awaited);
        assert_eq!(sockets.len() + 1, before, "it is not in the set (ENOENT)");
    }

    pub(crate) fn wait(&self, _: Duration, ready: &mut [usize; EVENTS]) -> io::Result<usize> {
        let mut sockets = self.0.sockets.lock().expect("no panic");
        loop {
            let are_ready = (sockets.iter()).filter(|(socket, _, its)| socket.is_ready(*its));
            let mut count = 0;
            for (place, (_, index, _)) in ready.iter_mut().zip(are_ready) {
                *place = *index;
                count += 1;
            }
            if count > 0 {
                return Ok(count);
            }
            sockets = self.0.changed.wait(sockets).expect("no panic");
        }
    }
}

fn is_same(one: &Socket, other: &Socket) -> bool {
    Arc::ptr_eq(&one.0, &other.0)
}
