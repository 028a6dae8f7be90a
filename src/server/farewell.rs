//! Close: clients that have been told everything, and are waited for by one thread.
//!
//! Closing a socket with unread bytes makes TCP send a reset, and the client loses what was sent
//! last (RFC 1122, section 4.2.2.13). So the end of a connection is waited for, but neither in a
//! slot nor by a thread of its own: one thread polls all sockets that are leaving. A newcomer for
//! whom there is no room is refused here as well: its request is read, then answered.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::system::threads;

/// Longest wait for a client to close its end.
const WAIT: Duration = Duration::from_secs(2);

/// Most bytes of a request that is going to be refused; what comes beyond is dropped unread.
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
    /// Those the thread has not seen yet.
    new: Vec<Leaving>,
    /// How many are leaving, those the thread has seen included, and how many may.
    count: usize,
    limit: usize,
    /// Wakes the thread, once there is one.
    wake: Option<PipeWriter>,
}

impl Farewell {
    /// Starts the thread that sees clients off, unless there is one.
    ///
    /// # Errors
    /// When there is no descriptor to wake it by, or the thread cannot be created.
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

    /// Lets at most `limit` sockets leave at a time; one that comes beyond it is closed at once.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.queue().limit = limit;
    }

    /// Reads and drops what the client still sends, until it closes its end; its last answer
    /// has been written.
    pub(crate) fn linger(&self, socket: TcpStream) {
        let _ = socket.shutdown(Shutdown::Write);
        self.add(Leaving::new(socket, Vec::new()));
    }

    /// Reads a request, whatever it says, and answers it with `refusal`.
    pub(crate) fn refuse(&self, socket: TcpStream, refusal: String) {
        self.add(Leaving::new(socket, refusal.into_bytes()));
    }

    fn add(&self, leaving: Leaving) {
        if leaving.socket.set_nonblocking(true).is_err() {
            return;
        }
        let mut queue = self.queue();
        if queue.count >= queue.limit {
            // Dropping it answers it.
            drop(queue);
            return drop(leaving);
        }
        queue.count += 1;
        queue.new.push(leaving);
        if let Some(wake) = &mut queue.wake {
            // One byte wakes it; a full pipe holds one already.
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
            // Its bytes mean nothing; it holds at least one.
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

/// Waits until something can be read; for each descriptor, the pipe's first, whether it can.
fn wait(woken: &PipeReader, leaving: &[Leaving], first: Option<Instant>) -> Vec<bool> {
    let sockets = leaving.iter().map(|leaving| leaving.socket.as_fd());
    let mut fds: Vec<_> = std::iter::once(woken.as_fd())
        .chain(sockets)
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let limit = first.map_or(PollTimeout::NONE, |first| {
        // Rounded up, so that it does not spin through the last millisecond.
        let left = first.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    // Woken by a signal, or short of memory: nothing is ready then.
    let _ = poll(&mut fds, limit);
    fds.iter().map(|fd| fd.any() == Some(true)).collect()
}

/// A client on its way out.
struct Leaving {
    socket: TcpStream,
    deadline: Instant,
    /// The answer to a request that is still being read; empty once it has been sent.
    answer: Vec<u8>,
    /// Bytes of the request's end that have come, of [`HEAD_END`].
    seen: usize,
    /// Bytes of the request.
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

    /// Reads what is there; whether the client is done with.
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
        // The socket has room for so few bytes, or the client is of no interest any more.
        let _ = (&self.socket).write(&self.answer);
        let _ = self.socket.shutdown(Shutdown::Write);
        self.answer = Vec::new();
        self.seen = 0;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.answer.is_empty() {
            // A request that stays unread would make closing a reset.
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
        let farewell = farewell(1);
        let (first, _far) = pair();
        farewell.refuse(first, "503\n".to_owned());
        let (second, mut far) = pair();
        far.write_all(b"x").expect("room");
        let start = Instant::now();
        farewell.refuse(second, "503\n".to_owned());
        assert_eq!(rest(&far), "503\n");
        assert!(start.elapsed() < WAIT, "it was not waited for");
    }
}
