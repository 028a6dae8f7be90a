//! Calls a thread out of a system call that waits. Here, and not in the daemon, because a signal's
//! handler is unsafe code, which the daemon forbids.
//!
//! The signal is URG. Nobody sends it unasked, and a program that is started, or a thread that is
//! not prepared, ignores it.

use std::io;
use std::mem;
use std::ptr;

/// Lets [`Thread::interrupt`] end system calls with `EINTR`, in all threads of this process.
///
/// # Errors
/// As sigaction(2).
pub fn prepare() -> io::Result<()> {
    // SAFETY: all fields of this C structure may be zero; the mask is then an empty one.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // No SA_RESTART: the system call is to end.
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the structure is whole, and the handler touches nothing, so that it may run at any
    // time in any thread (signal-safety(7)).
    match unsafe { libc::sigaction(libc::SIGURG, &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// A thread of this process.
#[derive(Debug)]
pub struct Thread(libc::pid_t);

impl Thread {
    /// The thread that calls this.
    pub fn current() -> Self {
        // SAFETY: gettid(2) has no precondition and does not fail. The C libraries that have a
        // function for it are too new.
        let number = unsafe { libc::syscall(libc::SYS_gettid) };
        Self(number as libc::pid_t)
    }

    /// Ends the system call in which the thread waits with `EINTR`; see signal(7) for those that can
    /// be ended. Does nothing if it waits in none: the next one is not ended. A thread that has
    /// ended is not found, or another one of this process has its number.
    pub fn interrupt(&self) {
        // SAFETY: tgkill(2) takes numbers only. Threads of other processes are not found, and those
        // of this one run a handler that does nothing, or ignore the signal.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), self.0, libc::SIGURG);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_thread_that_waits_in_a_read_is_called_out_of_it() {
        prepare().expect("a handler");
        let (mut near, _far) = UnixStream::pair().expect("a pair");
        let (tell, told) = mpsc::channel();
        let reader = thread::spawn(move || {
            tell.send(Thread::current()).expect("a receiver");
            near.read(&mut [0]).expect_err("nothing to read").kind()
        });
        let thread = told.recv().expect("a thread");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reader.is_finished() {
            assert!(Instant::now() < deadline, "it still waits");
            // It may not wait yet.
            thread.interrupt();
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(reader.join().expect("no panic"), ErrorKind::Interrupted);
        thread.interrupt();
    }
}
