//! A set of sockets in the place of the daemon's `system::epoll`, and the sockets. A socket is
//! ready as long as there is something in it, as with epoll(7) without EPOLLET.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::{Condvar, Mutex};

pub(crate) const EVENTS: usize = 2;

pub(crate) type Descriptor<'a> = &'a Socket;

/// A socket: what its peer has sent and nobody has read.
#[derive(Clone, Default)]
pub(crate) struct Socket(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sent: Mutex<VecDeque<u8>>,
    changed: Condvar,
    /// The sets it has been in.
    sets: Mutex<Vec<Arc<Set>>>,
}

impl Socket {
    /// Sends a byte; the peer's own end.
    pub(crate) fn send(&self, byte: u8) {
        self.0.sent.lock().expect("no panic").push_back(byte);
        self.0.changed.notify_all();
        for set in self.0.sets.lock().expect("no panic").iter() {
            // Who waits for the set holds this lock while it looks.
            drop(set.sockets.lock().expect("no panic"));
            set.changed.notify_all();
        }
    }

    /// Whether a read would return at once.
    pub(crate) fn is_readable(&self) -> bool {
        !self.0.sent.lock().expect("no panic").is_empty()
    }

    /// Reads a byte, waiting for it.
    pub(crate) fn read(&self) -> u8 {
        let mut sent = self.0.sent.lock().expect("no panic");
        loop {
            match sent.pop_front() {
                Some(byte) => return byte,
                None => sent = self.0.changed.wait(sent).expect("no panic"),
            }
        }
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

#[derive(Default)]
struct Set {
    sockets: Mutex<Vec<(Socket, usize)>>,
    changed: Condvar,
}

/// What the daemon has for epoll(7).
pub(crate) struct Epoll(Arc<Set>);

#[allow(clippy::unnecessary_wraps, reason = "the daemon's may fail")]
impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::default()))
    }

    pub(crate) fn add(&self, socket: Descriptor<'_>, index: usize) -> io::Result<()> {
        let set = Arc::clone(&self.0);
        socket.0.sets.lock().expect("no panic").push(set);
        let mut sockets = self.0.sockets.lock().expect("no panic");
        let is_in = sockets.iter().any(|(other, _)| is_same(other, socket));
        assert!(!is_in, "it is in the set already (EEXIST)");
        sockets.push((socket.clone(), index));
        drop(sockets);
        self.0.changed.notify_all();
        Ok(())
    }

    pub(crate) fn delete(&self, socket: Descriptor<'_>) {
        let mut sockets = self.0.sockets.lock().expect("no panic");
        let before = sockets.len();
        sockets.retain(|(other, _)| !is_same(other, socket));
        assert_eq!(sockets.len() + 1, before, "it is not in the set (ENOENT)");
    }

    pub(crate) fn wait(&self, _: Duration, ready: &mut [usize; EVENTS]) -> io::Result<usize> {
        let mut sockets = self.0.sockets.lock().expect("no panic");
        loop {
            let readable = sockets.iter().filter(|(socket, _)| socket.is_readable());
            let mut count = 0;
            for (place, (_, index)) in ready.iter_mut().zip(readable) {
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
