//! Direct mode: clients that backends have taken over, watched by one thread.
//!
//! The library answers a hand-over with one byte over the UNIX connection, and keeps that
//! connection open for as long as it serves the client (docs/behaviour.md, section 5). A backend
//! without the library does neither, and its administrator should know.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::logging::Seconds;
use crate::system::reason::reason;
use crate::system::threads;

/// Longest wait for the library's answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// Most bytes that wake the thread at a time; more wake it again.
const WAKES: usize = 64;

static WATCH: Mutex<Watch> = Mutex::new(Watch {
    new: Vec::new(),
    count: 0,
    wake: None,
});

struct Watch {
    /// Clients that the thread does not poll yet.
    new: Vec<Handed>,
    /// How many are watched, `new` included.
    count: usize,
    /// Wakes the thread; `None` if there is no thread.
    wake: Option<PipeWriter>,
}

/// A client that a backend has taken over.
struct Handed {
    /// The UNIX connection over which it was handed over.
    backend: OwnedFd,
    /// Client and service, as in the log.
    name: String,
    id: usize,
    since: Instant,
    answer: Answer,
    /// Shows it to whoever asks what the daemon does.
    _shown: Shown,
}

/// What is dropped when a client is watched no more.
pub(super) type Shown = Box<dyn Send>;

#[derive(PartialEq, Eq)]
enum Answer {
    /// The library's answer is awaited.
    Awaited,
    /// The library has answered.
    Here,
    /// No answer came in time, or something else, and the log says so.
    Missing,
}

/// Logs that a client has been handed over, and later what becomes of it. `backend` is the
/// connection over which it went, `name` client and service as in the log, `id` the client's number.
/// At most `limit` are watched, each by one descriptor: beyond it the end of a client is not logged.
pub(crate) fn watch(backend: OwnedFd, (name, id): (String, usize), limit: usize, shown: Shown) {
    info!("{name}: handed over, id {id}");
    let handed = Handed {
        backend,
        name,
        id,
        since: Instant::now(),
        answer: Answer::Awaited,
        _shown: shown,
    };
    if let Err(error) = add(handed, limit) {
        debug!(
            "cannot watch clients that were handed over: {}",
            reason(&error)
        );
    }
}

fn lock() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add(handed: Handed, limit: usize) -> io::Result<()> {
    let mut watch = lock();
    if watch.count >= limit {
        return Ok(());
    }
    if watch.wake.is_none() {
        let (woken, wake) = io::pipe()?;
        threads::spawn("handed", move || run(woken))?;
        watch.wake = Some(wake);
    }
    watch.count += 1;
    watch.new.push(handed);
    if let Some(wake) = &mut watch.wake {
        wake.write_all(&[0])?;
    }
    Ok(())
}

/// Watches until there is nobody left to watch.
fn run(mut woken: PipeReader) {
    let mut watched: Vec<Handed> = Vec::new();
    loop {
        {
            let mut watch = lock();
            watched.append(&mut watch.new);
            watch.count = watched.len();
            if watched.is_empty() {
                watch.wake = None;
                return;
            }
        }
        let mut fds: Vec<_> = watched
            .iter()
            .map(|handed| handed.backend.as_fd())
            .chain([woken.as_fd()])
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut fds, timeout(&watched));
        let ready: Vec<_> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        if ready.last() == Some(&true) {
            let _ = woken.read(&mut [0; WAKES]);
        }
        let mut ready = ready.into_iter();
        watched.retain_mut(|handed| handed.look(ready.next() == Some(true)));
    }
}

/// The time until the first answer is overdue.
fn timeout(watched: &[Handed]) -> PollTimeout {
    let awaited = watched
        .iter()
        .filter(|handed| handed.answer == Answer::Awaited);
    let left = awaited.map(|handed| ANSWER_WAIT.saturating_sub(handed.since.elapsed()));
    // A millisecond more, so that the time is over afterwards.
    let wait = left.min().map(|left| left + Duration::from_millis(1));
    wait.map_or(PollTimeout::NONE, |wait| {
        PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
    })
}

impl Handed {
    /// Takes note of what the backend says; false once there is nothing more to hear from it.
    fn look(&mut self, is_ready: bool) -> bool {
        if is_ready {
            match recv(
                self.backend.as_raw_fd(),
                &mut [0; 64],
                MsgFlags::MSG_DONTWAIT,
            ) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Ok(1) if self.answer == Answer::Awaited => self.answer = Answer::Here,
                // The library says one byte and no more: this is what a server says to a client.
                Ok(2..) if self.answer == Answer::Awaited => self.miss_answer(),
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    // Another library may close it at once: that says nothing of the client.
                    if self.answer == Answer::Here {
                        let (name, id, since) = (&self.name, self.id, self.since);
                        info!("{name}: over, {}, id {id}", Seconds(since.elapsed()));
                    }
                    return false;
                }
            }
        }
        if self.answer == Answer::Awaited && self.since.elapsed() >= ANSWER_WAIT {
            self.miss_answer();
        }
        true
    }

    fn miss_answer(&mut self) {
        self.answer = Answer::Missing;
        warn!(
            "{}: the backend has not answered the hand-over: without libwebsocket.so it takes the \
             client's address for data. Link it, or leave 'direct' out of 'options' for this \
             service",
            self.name
        );
    }
}
