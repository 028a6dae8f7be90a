//! Running: the thread that starts the programs of all clients, and ends them.
//!
//! It lasts as long as the daemon: the kernel sends a program TERM when the thread that has started
//! it ends (prctl(2), PR_SET_PDEATHSIG). It is made when the first program is needed.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::running::Running;
use super::{Program, Run};
use crate::config::ExecConfig;
use crate::system::queue::Queue;
use crate::system::threads;

/// Descriptors that the supervisor needs: a pipe that wakes it, and for a moment those of a program
/// that is being started.
pub(crate) const DESCRIPTORS: usize = 8;

/// Pause between two looks at programs that are ending.
const LOOK: Duration = Duration::from_millis(20);

/// Longest wait for the end of all programs at a stop: more than a program gets before KILL.
const STOP_WAIT: Duration = Duration::from_secs(7);

/// Longest wait for the end of programs that were sent KILL.
const KILL_WAIT: Duration = Duration::from_secs(1);

/// What is asked of the supervisor, and what it says.
static SUPERVISOR: Supervisor = Supervisor {
    state: Mutex::new(State {
        wake: None,
        orders: Vec::new(),
        stop: Stop::No,
        running: 0,
    }),
    changed: Condvar::new(),
};

struct Supervisor {
    state: Mutex<State>,
    /// Notified when the number of programs changes.
    changed: Condvar,
}

struct State {
    /// Wakes the thread; `None` if there is none yet.
    wake: Option<PipeWriter>,
    /// Programs to start: one at most for each client that is being opened.
    orders: Vec<Order>,
    stop: Stop,
    /// Programs that are not at their end.
    running: usize,
}

/// Whether all programs are to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Term,
    Kill,
}

type Started = io::Result<(OwnedFd, Program)>;

/// A program to start.
struct Order {
    config: Arc<ExecConfig>,
    run: Run,
    answer: Arc<Queue<Started>>,
}

impl Supervisor {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a program started.
///
/// # Errors
/// As many programs run as may, or the program cannot be started; says why.
pub(super) fn start(config: &Arc<ExecConfig>, run: Run, limit: Duration) -> Started {
    let answer = Arc::new(Queue::default());
    let mut state = SUPERVISOR.state();
    if state.wake.is_none() {
        state.wake = Some(begin()?);
    }
    state.orders.push(Order {
        config: Arc::clone(config),
        run,
        answer: Arc::clone(&answer),
    });
    drop(state);
    wake();
    let late = || Err(io::Error::other("it was not started in time"));
    answer.take_within(limit).unwrap_or_else(late)
}

/// Makes the thread. Returns what wakes it.
fn begin() -> io::Result<PipeWriter> {
    let (woken, wake) = io::pipe()?;
    for end in [woken.as_fd(), wake.as_fd()] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    threads::spawn_vital("programs", move || supervise(woken))?;
    Ok(wake)
}

/// Has the thread look at what has changed.
pub(super) fn wake() {
    if let Some(mut wake) = SUPERVISOR.state().wake.as_ref() {
        // A pipe that is full wakes it as well.
        let _ = wake.write(&[0]);
    }
}

/// Ends all programs: TERM, and KILL to those that take longer than 5 s. Returns when there is
/// none. None is started any more.
pub(crate) fn stop() {
    end(Stop::Term, STOP_WAIT);
}

/// Ends all programs at once.
pub(crate) fn kill() {
    end(Stop::Kill, KILL_WAIT);
}

fn end(how: Stop, limit: Duration) {
    SUPERVISOR.state().stop = how;
    wake();
    let some = |state: &mut State| state.running > 0;
    // A wait that was poisoned waited as well.
    let _ = (SUPERVISOR.changed).wait_timeout_while(SUPERVISOR.state(), limit, some);
}

/// Does what is asked, for as long as the daemon lives.
fn supervise(mut woken: PipeReader) {
    let mut programs: Vec<Running> = Vec::new();
    loop {
        let (orders, stop) = {
            let mut state = SUPERVISOR.state();
            (std::mem::take(&mut state.orders), state.stop)
        };
        for Order {
            config,
            run,
            answer,
        } in orders
        {
            // What nobody waits for any more is dropped, and thereby ended.
            answer.send(add(&mut programs, &config, run, stop));
        }
        let now = Instant::now();
        programs.retain_mut(|program| !program.go_on(now, stop != Stop::No, stop == Stop::Kill));
        SUPERVISOR.state().running = programs.len();
        SUPERVISOR.changed.notify_all();
        wait(&mut woken, &mut programs);
    }
}

fn add(programs: &mut Vec<Running>, config: &Arc<ExecConfig>, run: Run, stop: Stop) -> Started {
    if stop != Stop::No {
        return Err(io::Error::other("the daemon is stopping"));
    }
    // The programs of the configuration before a reload count as well.
    let runs = programs.iter().filter(|program| program.config == *config);
    if runs.count() >= config.max_processes {
        let most = config.max_processes;
        let why = format!("it runs {most} times already ('maxprocesses')");
        return Err(io::Error::other(why));
    }
    let (running, theirs) = Running::start(config, run)?;
    programs.push(running);
    Ok(theirs)
}

/// Waits until something is asked, a program writes to standard error, or it is time to look at
/// those that are ending.
fn wait(woken: &mut PipeReader, programs: &mut [Running]) {
    let limit = match programs.iter().any(Running::is_ending) {
        true => PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::ZERO),
        false => PollTimeout::NONE,
    };
    let mut fds = vec![PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
    let errors = programs.iter().filter_map(Running::errors);
    fds.extend(errors.map(|errors| PollFd::new(errors, PollFlags::POLLIN)));
    // An interrupted wait is one that has ended.
    let _ = poll(&mut fds, limit);
    let mut ready = fds.iter().map(|fd| fd.any() == Some(true));
    let is_woken = ready.next() == Some(true);
    let ready: Vec<bool> = ready.collect();
    if is_woken {
        let _ = woken.read(&mut [0; 64]);
    }
    let now = Instant::now();
    let with_errors = programs
        .iter_mut()
        .filter(|program| program.errors().is_some());
    for (program, _) in with_errors.zip(ready).filter(|(_, ready)| *ready) {
        program.read_errors(now);
    }
}
