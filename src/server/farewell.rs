//! Close: one thread waits for the end of all clients that have been told everything.
//!
//! Closing a socket with unread bytes makes TCP send a reset, and the client loses what was sent
//! last (RFC 1122, section 4.2.2.13). So the daemon waits until the client closes. The client has
//! no slot and no thread for that: one thread polls all sockets that are leaving. The same thread
//! reads and refuses the request of a client for whom there is no slot.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::system::threads;

/// Longest wait for a client to close its end.
const WAIT: Duration = Duration::from_secs(2);

/// Most bytes that are read of a request before it is refused.
const MAX_REQUEST: usize = 64 * 1024;

/// What ends a request head (RFC 9112, section 2.1).
const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// The sockets that are leaving.
#[derive(Default)]
pub(crate) struct Farewell {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Sockets that the thread does not poll yet.
    new: Vec<Leaving>,
    /// How many sockets are leaving, `new` included.
    count: usize,
    /// How many may be leaving.
    limit: usize,
    /// Wakes the thread; `None` if there is no thread.
    wake: Option<PipeWriter>,
}

impl Farewell {
    /// Starts the thread, unless it runs.
    ///
    /// # Errors
    /// If the pipe that wakes the thread, or the thread itself, cannot be created.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut queue = self.queue();
        if queue.wake.is_none() {
            let (woken, wake) = io::pipe()?;
            let farewell = Arc::clone(self);
            threads::spawn_vital("farewell", move || see_off(&farewell, woken))?;
            queue.wake = Some(wake);
        }
        Ok(())
    }

    /// Sets how many sockets may be leaving at a time. A further one is closed at once.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.queue().limit = limit;
    }

    /// Reads and drops what the client still sends, until it closes its end. Everything that is for
    /// the client must have been written.
    pub(crate) fn linger(&self, socket: TcpStream) {
        let _ = socket.shutdown(Shutdown::Write);
        self.add(Leaving::new(socket, Vec::new()));
    }

    /// Reads a request and answers it with `refusal`, whatever it asks for.
    pub(crate) fn refuse(&self, socket: TcpStream, refusal: String) {
        self.add(Leaving::new(socket, refusal.into_bytes()));
    }

    fn add(&self, leaving: Leaving) {
        if leaving.socket.set_nonblocking(true).is_err() {
            return;
        }
        let mut queue = self.queue();
        if queue.count >= queue.limit {
            // Its `drop` sends the answer.
            drop(queue);
            return drop(leaving);
        }
        queue.count += 1;
        queue.new.push(leaving);
        if let Some(wake) = &mut queue.wake {
            // One byte wakes the thread. If the pipe is full, it holds one already.
            let _ = wake.write(&[0]);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn see_off(farewell: &Farewell, mut woken: PipeReader) {
    let mut leaving: Vec<Leaving> = Vec::new();
    loop {
        let first = leaving.iter().map(|leaving| leaving.deadline).min();
        let ready = wait(&woken, &leaving, first);
        if ready[0] {
            // The bytes mean nothing. The read cannot block: the pipe holds at least one.
            let _ = woken.read(&mut [0; 64]);
        }
        let now = Instant::now();
        let mut ready = ready[1..].iter();
        leaving.retain_mut(|leaving| {
            let is_ready = ready.next().copied().unwrap_or(false);
            !(is_ready && leaving.advance()) && now < leaving.deadline
        });
        let mut queue = farewell.queue();
        leaving.append(&mut queue.new);
        queue.count = leaving.len();
    }
}

/// Waits until something can be read. Returns for each descriptor whether it can be read, the
/// pipe's first.
fn wait(woken: &PipeReader, leaving: &[Leaving], first: Option<Instant>) -> Vec<bool> {
    let sockets = leaving.iter().map(|leaving| leaving.socket.as_fd());
    let mut fds: Vec<_> = std::iter::once(woken.as_fd())
        .chain(sockets)
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let limit = first.map_or(PollTimeout::NONE, |first| {
        // Rounded up, so that the loop does not spin through the last millisecond.
        let left = first.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    // After a signal, or without memory, nothing is ready.
    let _ = poll(&mut fds, limit);
    fds.iter().map(|fd| fd.any() == Some(true)).collect()
}

/// A client that is leaving.
struct Leaving {
    socket: TcpStream,
    deadline: Instant,
    /// The answer to the request that is being read; empty once it has been sent.
    answer: Vec<u8>,
    /// How many bytes of [`HEAD_END`] have come in a row.
    seen: usize,
    /// How many bytes of the request have come.
    read: usize,
}

impl Leaving {
    fn new(socket: TcpStream, answer: Vec<u8>) -> Self {
        Self {
            socket,
            deadline: Instant::now() + WAIT,
            answer,
            seen: 0,
            read: 0,
        }
    }

    /// Reads what is there. Returns true if the connection is over.
    fn advance(&mut self) -> bool {
        let mut dropped = [0; 4096];
        match (&self.socket).read(&mut dropped) {
            Ok(0) => true,
            Ok(count) => {
                if !self.answer.is_empty() {
                    self.look_for_end(&dropped[..count]);
                }
                false
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn look_for_end(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.seen = match byte {
                byte if byte == HEAD_END[self.seen] => self.seen + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.seen == HEAD_END.len() {
                return self.answer();
            }
        }
        self.read += bytes.len();
        if self.read > MAX_REQUEST {
            self.answer();
        }
    }

    fn answer(&mut self) {
        // A socket without space for so few bytes belongs to a client that does not read.
        let _ = (&self.socket).write(&self.answer);
        let _ = self.socket.shutdown(Shutdown::Write);
        self.answer = Vec::new();
        self.seen = 0;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.answer.is_empty() {
            // Closing a socket with unread bytes would reset the connection.
            let _ = (&self.socket).read(&mut [0; 4096]);
            self.answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn farewell(limit: usize) -> Arc<Farewell> {
        let farewell = Arc::new(Farewell::default());
        farewell.set_limit(limit);
        farewell.start().expect("a thread");
        farewell
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("listens");
        far.set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket");
        (listener.accept().expect("it came").0, far)
    }

    fn rest(mut far: &TcpStream) -> String {
        let mut all = String::new();
        far.read_to_string(&mut all).expect("an orderly end");
        all
    }

    #[test]
    fn a_refused_client_gets_its_answer_after_its_whole_request() {
        let farewell = farewell(8);
        let (near, mut far) = pair();
        farewell.refuse(near, "503\n".to_owned());
        for byte in b"GET / HTTP/1.1\r\nX: \r\r\n\r\n" {
            far.write_all(&[*byte]).expect("it is read");
        }
        assert_eq!(rest(&far), "503\n");
    }

    #[test]
    fn a_client_that_sends_no_request_is_answered_at_the_deadline() {
        let farewell = farewell(8);
        let (near, far) = pair();
        farewell.refuse(near, "503\n".to_owned());
        assert_eq!(rest(&far), "503\n");
    }

    #[test]
    fn what_a_leaving_client_sends_does_not_reset_it() {
        let farewell = farewell(8);
        let (near, mut far) = pair();
        (&near).write_all(b"the last answer").expect("room");
        farewell.linger(near);
        far.write_all(&[b'x'; 10_000]).expect("it is read");
        assert_eq!(rest(&far), "the last answer");
    }

    #[test]
    fn beyond_the_limit_a_client_is_answered_and_closed_at_once() {
        // A busy machine may need as long as one that waits, but not each time.
        let is_at_once = (0..5).any(|_| {
            let farewell = farewell(1);
            let (first, _far) = pair();
            farewell.refuse(first, "503\n".to_owned());
            let (second, mut far) = pair();
            far.write_all(b"x").expect("room");
            let start = Instant::now();
            farewell.refuse(second, "503\n".to_owned());
            assert_eq!(rest(&far), "503\n");
            start.elapsed() < WAIT
        });
        assert!(is_at_once, "it was waited for");
    }
}
