//! The old process: starts the new one and watches its first seconds.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::link::{Link, Word};
use super::{MAX_LIST, Program, START, TRIAL};
use crate::system::reason::reason;
use crate::system::{passing, privileged, threads};

/// What is told of a process that ends at its start.
const ENDED: &str = "it ended before it served: its own lines say why";

/// What the new process gets.
pub(crate) struct Passed {
    /// Each listening socket, and its address as the configuration writes it.
    pub(crate) listeners: Vec<(String, OwnedFd)>,
    /// The locked pid file.
    pub(crate) pid_file: Option<File>,
    /// The links to processes that still serve their clients, and whether one is followed.
    pub(crate) links: Vec<(OwnedFd, bool)>,
    /// The sockets on which those processes pass silent clients on.
    pub(crate) givers: Vec<OwnedFd>,
    /// The number of the new process's first client.
    pub(crate) first_number: usize,
}

impl Passed {
    /// A line for each descriptor, and the descriptors in that order. Standard output and error
    /// come first: where the program is started by another process, it has not got them.
    /// On `giver` the new process gets silent clients of this one.
    fn send(&self, link: &Link, giver: &OwnedFd) -> io::Result<()> {
        let (output, error) = (io::stdout(), io::stderr());
        let mut list = String::from("output\nerror\n");
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![output.as_fd(), error.as_fd()];
        for (written, socket) in &self.listeners {
            list += &format!("listener {written}\n");
            descriptors.push(socket.as_fd());
        }
        if let Some(file) = &self.pid_file {
            list += "pid-file\n";
            descriptors.push(file.as_fd());
        }
        for (link, is_followed) in &self.links {
            list += if *is_followed { "followed\n" } else { "link\n" };
            descriptors.push(link.as_fd());
        }
        for giver in self.givers.iter().chain([giver]) {
            list += &format!("clients {}\n", self.first_number);
            descriptors.push(giver.as_fd());
        }
        if descriptors.len() > passing::MOST || list.len() > MAX_LIST {
            return Err(io::Error::other("there are too many sockets to pass on"));
        }
        list += "\n";
        passing::send(&link.socket, list.as_bytes(), &descriptors)
    }
}

/// The process that serves from now on.
pub(crate) struct Successor {
    /// The socket to it.
    pub(crate) link: Link,
    /// Its process id.
    pub(crate) pid: u32,
    /// Where it takes silent clients of this process.
    pub(crate) taker: OwnedFd,
    /// Itself, if it is our child.
    child: Option<Child>,
}

impl Successor {
    /// Takes the end of a child that has ended, so that no zombie stays.
    pub(crate) fn reap(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
    }
}

/// A try to hand over, on a thread of its own.
pub(crate) struct Attempt {
    done: PipeReader,
    result: Arc<Mutex<Option<Result<Successor, String>>>>,
    /// The socket to the new process, once it is started.
    link: Arc<OnceLock<UnixStream>>,
}

impl Attempt {
    /// Begins it.
    ///
    /// # Errors
    /// As pipe(2); when the thread cannot be created.
    pub(crate) fn begin(program: Arc<Program>, passed: Passed) -> io::Result<Self> {
        let (done, open) = io::pipe()?;
        let result = Arc::<Mutex<_>>::default();
        let given = Arc::clone(&result);
        let link = Arc::<OnceLock<UnixStream>>::default();
        let started = Arc::clone(&link);
        threads::spawn("upgrade", move || {
            // Closed at the end of the thread, however it ends.
            let _open: PipeWriter = open;
            *lock(&given) = Some(hand_over(&program, &passed, &started));
        })?;
        Ok(Self { done, result, link })
    }

    /// Has the new process end: the daemon stops.
    pub(crate) fn give_up(self) {
        if let Some(link) = self.link.get().and_then(|link| link.try_clone().ok()) {
            Link::new(link).tell(Word::End);
        }
    }

    /// Becomes readable at its end.
    pub(crate) fn done(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }

    /// How it ended.
    ///
    /// # Errors
    /// Why all stays as it was.
    pub(crate) fn result(self) -> Result<Successor, String> {
        let result = lock(&self.result).take();
        result.unwrap_or_else(|| Err("the thread that starts it has failed".to_owned()))
    }
}

/// A panic of a lock's holder leaves a plain value behind the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hand_over(
    program: &Program,
    passed: &Passed,
    started: &OnceLock<UnixStream>,
) -> Result<Successor, String> {
    let path = program.path.display();
    let failed = |error: io::Error| format!("cannot start {path}: {}", reason(&error));
    let (taker, giver) = passing::packets().map_err(failed)?;
    let (mut child, link) = start(program).map_err(failed)?;
    if let Ok(link) = link.socket.try_clone() {
        let _ = started.set(link);
    }
    let tried = match passed.send(&link, &giver) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(io::Error::other(ENDED)),
        sent => sent.and_then(|()| {
            // Its other holder's end must be seen.
            drop(giver);
            watch(&link)
        }),
    };
    match tried {
        Ok(pid) => Ok(Successor {
            link,
            pid,
            taker,
            child,
        }),
        Err(error) => {
            link.tell(Word::End);
            drop(link);
            if let Some(child) = &mut child {
                let _ = child.kill();
                let _ = child.wait();
            }
            Err(format!("{path}: {}", reason(&error)))
        }
    }
}

/// By the process that has kept privileges, if there is one.
fn start(program: &Program) -> io::Result<(Option<Child>, Link)> {
    if let Some(link) = privileged::start()? {
        return Ok((None, Link::new(link)));
    }
    let (child, link) = program.start()?;
    Ok((Some(child), Link::new(link)))
}

/// Waits until the new process serves, and for the end of its trial. Returns its process id.
fn watch(link: &Link) -> io::Result<u32> {
    link.socket.set_read_timeout(Some(START))?;
    link.socket.set_write_timeout(Some(START))?;
    match link.next() {
        Ok(Some(Word::Ready)) => {}
        Ok(_) => return Err(io::Error::other(ENDED)),
        Err(_) => return Err(io::Error::other("it does not serve after a minute")),
    }
    let ended_soon = || io::Error::other("it ended soon after its start");
    let pid = link.read_number().map_err(|_| ended_soon())?;
    link.socket.set_read_timeout(Some(TRIAL))?;
    match link.next() {
        Err(_) => {
            link.socket.set_read_timeout(None)?;
            Ok(pid)
        }
        Ok(_) => Err(ended_soon()),
    }
}
