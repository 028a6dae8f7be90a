//! Running: the threads of a server's clients.
//!
//! Each opening client gets a thread at once. Where a direction of an open connection has something
//! to copy, it gets a thread in its turn: at most `maxthreads` copy at a time, of which some may
//! wait for more with a thread in hand, and the others leave as soon as there is nothing to read.
//! So no number of silent or slow clients keeps the turns from coming. A thread without work is
//! kept for a while, for the next.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::server::readers::{Reader, Readers};
use crate::system::sync::atomic::{AtomicUsize, Ordering};
use crate::system::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::system::threads;

/// Most threads without work that are kept.
const KEPT: usize = 16;

/// How long a thread without work is kept.
const KEEP: Duration = Duration::from_secs(5);

/// Longest wait of a turn until those that are being served count as stuck.
const STALL: Duration = Duration::from_millis(20);

/// Shortest pause between two times that the memory which threads leave is given back.
const CLEARING: Duration = Duration::from_secs(20);

/// The threads that may wait with a thread in hand are all but this part of `maxthreads`.
const TURNS: usize = 8;

/// What a thread is to do. The place is given up when it has done it.
pub(crate) type Work = Box<dyn FnOnce(&mut Place) + Send>;

/// The threads of a server.
#[derive(Default)]
pub(crate) struct Workers {
    state: Mutex<State>,
    /// Notified for a thread without work.
    given: Condvar,
    /// Places whose holders may wait with a thread in hand, and how many are taken.
    lingering_limit: AtomicUsize,
    lingering: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Work for threads that wait for it, or are being created for it: at most `idle`.
    given: VecDeque<(Work, Place)>,
    /// Threads that wait for work, or are being created for it.
    idle: usize,
    /// All threads.
    threads: usize,
    /// The same threads, and how long each may wait in its read.
    readers: Readers,
    /// What waits in turn.
    turns: VecDeque<Work>,
    /// How many may be served in turn at a time.
    limit: usize,
    /// How many are.
    serving: usize,
    /// How many of them are stuck, because somebody does not read, and do not count.
    stuck: usize,
    /// When the last turn began.
    last: Option<Instant>,
    /// A thread has ended since the heap was cleared.
    has_ended: bool,
    /// When the heap was cleared.
    cleared: Option<Instant>,
}

impl Workers {
    /// Sets how many threads may copy at a time; at least two.
    pub(crate) fn set_limit(&self, limit: usize) {
        let turns = limit.div_ceil(TURNS).max(1);
        let lingering = limit.saturating_sub(turns).max(1);
        self.lingering_limit.store(lingering, Ordering::Relaxed);
        self.state().limit = turns;
    }

    /// Gives work to a thread at once. If none can be created, it is the next whose turn comes.
    ///
    /// # Errors
    /// If no thread can be created and there is none; the work comes back.
    pub(crate) fn start(
        self: &Arc<Self>,
        work: Work,
        place: Place,
    ) -> Result<(), (Work, io::Error)> {
        let mut state = self.state();
        match self.give(&mut state, work, place) {
            Err((work, _)) if state.threads > 0 => {
                state.turns.push_front(work);
                Ok(())
            }
            given => given,
        }
    }

    /// Gives work to a thread when it is its turn.
    pub(crate) fn start_in_turn(self: &Arc<Self>, work: Work) {
        let mut state = self.state();
        state.turns.push_back(work);
        self.start_turns(&mut state);
    }

    /// Gives work to a thread at once if there is one. Otherwise it is the next whose turn comes.
    pub(crate) fn start_first(self: &Arc<Self>, work: Work) {
        let mut state = self.state();
        if let Err((work, _)) = self.give(&mut state, work, Place::new(self)) {
            state.turns.push_front(work);
        }
    }

    /// Sees to it that turns come. Threads that have had theirs for [`STALL`] while others wait are
    /// stuck and count no longer; and what failed because no thread could be created is tried
    /// again. Calls threads out of reads in which they have waited too long. Gives memory back that
    /// threads have left. Returns when to look again, if anything waits.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Duration> {
        let clearing = self.clear();
        let mut state = self.state();
        let looking = state.readers.watch();
        let is_stalled = state.last.is_none_or(|last| last.elapsed() >= STALL);
        if is_stalled && !state.turns.is_empty() {
            state.stuck = state.serving;
            self.start_turns(&mut state);
        }
        let waiting = (!state.turns.is_empty()).then_some(STALL);
        waiting.into_iter().chain(clearing).chain(looking).min()
    }

    /// Clears the heap some time after threads have ended: what a burst has taken is free then, but
    /// glibc keeps it. Returns when to look again.
    fn clear(&self) -> Option<Duration> {
        let mut state = self.state();
        if !state.has_ended {
            return None;
        }
        let since = *state.cleared.get_or_insert_with(Instant::now);
        let left = CLEARING.saturating_sub(since.elapsed());
        if !left.is_zero() {
            return Some(left);
        }
        state.has_ended = false;
        state.cleared = Some(Instant::now());
        drop(state);
        heap::give_back();
        None
    }

    fn start_turns(self: &Arc<Self>, state: &mut State) {
        while let Some((work, place)) = self.next_turn(state) {
            if let Err((work, _)) = self.give(state, work, place) {
                state.turns.push_front(work);
                return;
            }
        }
    }

    /// The work whose turn it is, and its place.
    fn next_turn(self: &Arc<Self>, state: &mut State) -> Option<(Work, Place)> {
        if state.serving >= state.limit + state.stuck {
            return None;
        }
        let work = state.turns.pop_front()?;
        state.serving += 1;
        state.last = Some(Instant::now());
        let mut place = Place::new(self);
        place.held = Held::Turn;
        Some((work, place))
    }

    fn give(
        self: &Arc<Self>,
        state: &mut State,
        work: Work,
        mut place: Place,
    ) -> Result<(), (Work, io::Error)> {
        if state.given.len() < state.idle {
            self.given.notify_one();
        } else {
            // The new thread finds the work below: it waits for the lock that we hold.
            let workers = Arc::clone(self);
            if let Err(error) = threads::spawn("client", move || workers.work()) {
                place.free(state);
                return Err((work, error));
            }
            state.idle += 1;
            state.threads += 1;
        }
        state.given.push_back((work, place));
        Ok(())
    }

    /// What a thread does: one work after the other.
    fn work(self: &Arc<Self>) {
        let mut state = self.state();
        let reader = state.readers.add();
        loop {
            let Some((work, mut place)) = state.given.pop_front() else {
                let none = |state: &mut State| state.given.is_empty();
                let waited = self.given.wait_timeout_while(state, KEEP, none);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                if state.given.is_empty() {
                    state.idle -= 1;
                    return state.count_end(&reader);
                }
                continue;
            };
            state.idle -= 1;
            drop(state);
            place.reader = Some(Arc::clone(&reader));
            // The panic is logged; it ends this work only.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| work(&mut place)));
            reader.begin(0);
            state = self.state();
            place.free(&mut state);
            match self.next_turn(&mut state) {
                Some(turn) => state.given.push_front(turn),
                None if state.idle >= state.given.len() + KEPT => return state.count_end(&reader),
                None => {}
            }
            state.idle += 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a thread ends.
    fn count_end(&mut self, reader: &Arc<Reader>) {
        self.threads -= 1;
        self.readers.remove(reader);
        self.has_ended = true;
    }
}

/// What a thread counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Nothing: its client opens or closes, or it cannot leave.
    Nothing,
    /// It is served in turn, and must leave when there is nothing to read.
    Turn,
    /// It may wait.
    Lingering,
}

/// A thread's place among `maxthreads`.
pub(crate) struct Place {
    workers: Arc<Workers>,
    held: Held,
    /// The thread, once it has one.
    reader: Option<Arc<Reader>>,
}

impl Place {
    /// No place among `maxthreads`.
    pub(crate) fn new(workers: &Arc<Workers>) -> Self {
        Self {
            workers: Arc::clone(workers),
            held: Held::Nothing,
            reader: None,
        }
    }

    /// Notes that the thread begins another read. When it has waited in it for so many looks, the
    /// read fails with `EINTR`; with 0 it may wait as long as it likes.
    pub(crate) fn begin_read(&self, looks: u32) {
        if let Some(reader) = &self.reader {
            reader.begin(looks);
        }
    }

    /// Notes that the read is over: nothing else that the thread waits for fails.
    pub(crate) fn end_read(&self) {
        self.begin_read(0);
    }

    /// Tries to have the holder wait with a thread in hand.
    pub(crate) fn linger(&mut self) -> bool {
        let workers = &self.workers;
        let limit = workers.lingering_limit.load(Ordering::Relaxed);
        let more = |taken: usize| (taken < limit).then_some(taken + 1);
        let order = Ordering::Relaxed;
        if workers.lingering.fetch_update(order, order, more).is_err() {
            return false;
        }
        self.give_up();
        self.held = Held::Lingering;
        true
    }

    /// Whether others wait for their turn.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.workers.state().turns.is_empty()
    }

    /// Gives the place up, since the thread will be held whatever others wait for.
    pub(crate) fn give_up(&mut self) {
        let workers = Arc::clone(&self.workers);
        let had_turn = self.held == Held::Turn;
        let mut state = workers.state();
        self.free(&mut state);
        if had_turn {
            workers.start_turns(&mut state);
        }
    }

    fn free(&mut self, state: &mut State) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Turn => {
                state.serving -= 1;
                state.stuck = state.stuck.min(state.serving);
            }
            Held::Lingering => {
                self.workers.lingering.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
