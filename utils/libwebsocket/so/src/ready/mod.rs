//! Waits: poll, select and epoll say "readable" when a read would return at once.
//!
//! The kernel sees bytes where there may be half a header or a ping. The waits deal with those, and
//! if no payload is behind them, go on waiting for the time that is left. A connection that nothing
//! is known of yet may become a client meanwhile, and is not called writable before that is
//! decided: a write would be held back.

pub(crate) mod epoll;
pub(crate) mod poll;
pub(crate) mod select;

use core::ffi::c_int;

use libc::POLLIN;

use crate::connection::{CONNECTIONS, Kind};
use crate::{handover, hold, lingering, lookahead, sys};

/// How long a wait pauses that has only a held-back connection to report, in milliseconds: the
/// kernel would call that writable at once, again and again.
const PAUSE: i64 = 2;

/// The calls concern no connection: a wait is the kernel's alone.
pub(crate) fn is_all_foreign() -> bool {
    CONNECTIONS.is_empty() && lingering::is_empty()
}

/// One wait of the kernel's, which takes the time that it may last: before one that blocks, answers
/// that are kept are sent.
#[inline(never)]
pub(crate) fn ask(deadline: Deadline, kernel: &mut dyn FnMut(Deadline) -> c_int) -> c_int {
    lingering::tend();
    if hold::is_any() {
        match kernel(Deadline::now()) {
            0 => hold::push_all(),
            result => return result,
        }
    }
    kernel(deadline)
}

/// What of the kernel's word on a descriptor is true.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    /// All of it.
    All,
    /// It has nothing to read.
    NotReadable,
    /// It has nothing to read, and may not be written to yet.
    Nothing,
    /// It was said of another socket, whose place the client has taken.
    Old,
}

/// What one wait has found.
pub(crate) struct Findings {
    /// Some descriptor has changed: the kernel is to be asked once more.
    pub(crate) changed: bool,
    /// A descriptor that may not be written to yet.
    held_back: Option<c_int>,
}

impl Findings {
    pub(crate) fn new() -> Self {
        Findings {
            changed: false,
            held_back: None,
        }
    }

    /// Judges what the kernel says of a descriptor.
    #[inline(never)]
    pub(crate) fn judge(&mut self, fd: c_int, readable: bool) -> Truth {
        let Some(connection) = CONNECTIONS.find(fd) else {
            return Truth::All;
        };
        connection.touch();
        let was = connection.kind();
        match handover::look(&connection, fd) {
            Kind::Client if was == Kind::Unknown => {
                self.changed = true;
                Truth::Old
            }
            Kind::Client if readable && !lookahead::is_readable(&connection, fd) => {
                Truth::NotReadable
            }
            Kind::Client | Kind::Plain => Truth::All,
            Kind::Unknown if handover::silence_left(&connection) <= 0 => Truth::NotReadable,
            Kind::Unknown => {
                self.held_back = Some(fd);
                Truth::Nothing
            }
        }
    }

    /// A wait that has nothing to report goes on, if there is time left; the client that a
    /// held-back connection waits for ends the pause.
    #[inline(never)]
    pub(crate) fn go_on(self, deadline: Deadline) -> bool {
        if self.changed {
            return true;
        }
        if deadline.is_past() {
            return false;
        }
        if let Some(fd) = self.held_back {
            sys::wait_for(fd, POLLIN, PAUSE);
        }
        true
    }
}

/// A `timespec` or `timeval`: with words of a C long, or, where those have 32 bits, of 64 bits for
/// the functions of the new time_t.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Time<W> {
    pub(crate) sec: W,
    pub(crate) part: W,
}

impl<W: Word> Time<W> {
    /// These milliseconds, with parts of so many nanoseconds; none if negative.
    pub(crate) fn of(ms: c_int, nanos: i32) -> Option<Self> {
        (ms >= 0).then(|| Time {
            sec: W::from(ms / 1000),
            part: W::from(ms % 1000 * (1_000_000 / nanos)),
        })
    }
}

/// What a [`Time`] is made of.
pub(crate) trait Word: Copy + From<i32> + Into<i64> {}
impl Word for i32 {}
impl Word for i64 {}

/// The pointer that a C function takes for an optional time.
pub(crate) fn pointer<W>(time: &Option<Time<W>>) -> *const Time<W> {
    time.as_ref().map_or(core::ptr::null(), |time| time)
}

/// The end of a wait, in milliseconds of the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<i64>);

impl Deadline {
    /// `ms` from now; none if negative.
    pub(crate) fn after_ms(ms: i64) -> Self {
        Deadline((ms >= 0).then(|| sys::now_ms().saturating_add(ms)))
    }

    /// The time to wait, with a part of so many nanoseconds, rounded up; none if null.
    ///
    /// # Safety
    /// The pointer is null or valid.
    #[inline(never)]
    pub(crate) unsafe fn of<W: Word>(timeout: *const Time<W>, nanos: i64) -> Self {
        // SAFETY: the caller's promise.
        let Some(time) = (unsafe { timeout.as_ref() }) else {
            return Deadline(None);
        };
        // On 32-bit targets half of a wide part is padding.
        let part = i64::from(Into::<i64>::into(time.part) as i32) * nanos;
        let ms = Into::<i64>::into(time.sec).saturating_mul(1000);
        Deadline::after_ms(ms.saturating_add((part + 999_999) / 1_000_000).max(0))
    }

    /// How long to wait at a time, in milliseconds as poll takes them.
    #[inline(never)]
    pub(crate) fn left_ms(self) -> c_int {
        lingering::slice(self.rest_ms())
    }

    /// How long to wait in all, likewise.
    pub(crate) fn rest_ms(self) -> c_int {
        self.0.map_or(-1, |end| {
            end.saturating_sub(sys::now_ms())
                .clamp(0, i64::from(c_int::MAX)) as c_int
        })
    }

    /// How long to wait at a time, in seconds and parts of so many nanoseconds.
    pub(crate) fn left<W: Word>(self, nanos: i32) -> Option<Time<W>> {
        Time::of(self.left_ms(), nanos)
    }

    /// One that has passed.
    pub(crate) fn now() -> Self {
        Deadline(Some(i64::MIN))
    }

    /// True once it has passed.
    #[inline(never)]
    pub(crate) fn is_past(self) -> bool {
        self.0.is_some_and(|end| end <= sys::now_ms())
    }
}
