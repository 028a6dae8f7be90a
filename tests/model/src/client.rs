//! A client whose socket holds a few bytes, and who says what came.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread;

use crate::frames::Offered;

/// The two ends of a socket.
pub(crate) struct Client {
    /// Bytes that the socket holds before a writer has to wait.
    capacity: usize,
    /// Writes have a limit.
    gives_up: AtomicBool,
    socket: Mutex<Socket>,
    changed: Condvar,
}

#[derive(Default)]
struct Socket {
    /// Written and not yet taken by the client.
    held: usize,
    /// All that was written, in its order.
    written: Vec<u8>,
    /// Somebody is within a write.
    writing: bool,
    /// What the client has sent and nobody has read.
    sent: VecDeque<u8>,
    ended: bool,
    cut: bool,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a client of the model")
    }
}

impl Client {
    /// A client whose socket takes so many bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            gives_up: AtomicBool::new(false),
            socket: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().expect("nobody panics here")
    }

    fn wait<'a>(&self, socket: MutexGuard<'a, Socket>) -> MutexGuard<'a, Socket> {
        self.changed.wait(socket).expect("nobody panics here")
    }

    // What `frames` uses, as the daemon's client has it.

    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket();
        loop {
            if let Some(byte) = socket.sent.pop_front() {
                buffer[0] = byte;
                return Ok(1);
            }
            if socket.ended || socket.cut {
                return Ok(0);
            }
            socket = self.wait(socket);
        }
    }

    pub(crate) fn write_of(&self, pieces: &[&[u8]], taken: usize) -> io::Result<Offered> {
        let bytes = pieces.concat();
        let (mut taken, gives_up) = (taken, self.gives_up.load(Ordering::SeqCst));
        {
            let mut socket = self.socket();
            assert!(!socket.writing, "two write at a time");
            socket.writing = true;
        }
        let mut is_full = false;
        while taken < bytes.len() && !is_full {
            let mut socket = self.socket();
            while socket.held == self.capacity && !socket.cut && !is_full {
                // There is no time here: a limit has passed or it has not.
                is_full = gives_up && thread_rng().gen_bool(0.2);
                if !is_full {
                    socket = self.wait(socket);
                }
            }
            if socket.cut {
                socket.writing = false;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if !is_full {
                socket.held += 1;
                socket.written.push(bytes[taken]);
                taken += 1;
                self.changed.notify_all();
            }
            drop(socket);
            thread::yield_now();
        }
        self.socket().writing = false;
        Ok(Offered { taken, is_full })
    }

    pub(crate) fn is_writable(&self) -> bool {
        let socket = self.socket();
        // As poll(2): a short frame fits, and writing to one that is gone does not wait.
        socket.cut || self.capacity - socket.held >= self.capacity.min(8)
    }

    pub(crate) fn wait_writable(&self, _limit: Duration) -> bool {
        while !self.is_writable() {
            if thread_rng().gen_bool(0.2) {
                return false;
            }
            let socket = self.socket();
            if !socket.cut && self.capacity - socket.held < self.capacity.min(8) {
                drop(self.wait(socket));
            }
        }
        true
    }

    pub(crate) fn wait_ready(&self) {
        let mut socket = self.socket();
        while socket.sent.is_empty()
            && !socket.ended
            && !socket.cut
            && self.capacity - socket.held < self.capacity.min(8)
        {
            socket = self.wait(socket);
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        false
    }

    pub(crate) fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        self.gives_up.store(limit.is_some(), Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn cut(&self) {
        self.socket().cut = true;
        self.changed.notify_all();
    }

    // The client's own end.

    /// Sends bytes, which the gateway reads one by one.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.socket().sent.extend(bytes);
        self.changed.notify_all();
    }

    /// Ends what it sends.
    pub(crate) fn end(&self) {
        self.socket().ended = true;
        self.changed.notify_all();
    }

    /// Takes what comes until so many bytes have, in all, or it has been cut. Mostly lets the socket
    /// fill first.
    pub(crate) fn take(&self, count: usize) {
        let mut socket = self.socket();
        loop {
            let is_full = socket.held == self.capacity;
            if is_full || socket.held > 0 && thread_rng().gen_bool(0.1) {
                socket.held = 0;
                self.changed.notify_all();
            }
            if socket.written.len() >= count || socket.cut {
                socket.held = 0;
                self.changed.notify_all();
                return;
            }
            if socket.held > 0 {
                drop(socket);
                thread::yield_now();
                socket = self.socket();
            } else {
                socket = self.wait(socket);
            }
        }
    }

    /// Whether the gateway has cut it.
    pub(crate) fn is_cut(&self) -> bool {
        self.socket().cut
    }

    /// All that was written to it.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.socket().written.clone()
    }
}
