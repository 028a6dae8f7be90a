//! epoll: events of connections without payload are kept back.
//!
//! An event carries the server's data, not the descriptor. So a connection is
//! registered with data of ours, which leads back to the server's.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLONESHOT, EPOLLRDNORM,
    c_long, epoll_event, sigset_t,
};

use crate::connection::Connection;
use crate::poll::{Deadline, Time, Word, pointer};
use crate::sys::next;
use crate::{lingering, ready, table};

next! {
    fn next_epoll_ctl = c"epoll_ctl"(epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    fn next_epoll_wait = c"epoll_wait"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: c_int) -> c_int;
    fn next_epoll_pwait = c"epoll_pwait"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: c_int, mask: *const sigset_t) -> c_int;
    fn next_epoll_pwait2 = c"epoll_pwait2"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

/// Marks our data; no pointer, descriptor or small number looks like it.
const MARK: u64 = 0x5753_4b54 << 32;
const LOW: u64 = 0xffff_ffff;

/// Epolls that may watch one connection with our help; a further one sees
/// the kernel's events as they are.
const PLACES: usize = 4;

#[derive(Clone, Copy)]
struct Registration {
    epoll: c_int,
    fd: c_int,
    events: u32,
    data: u64,
    /// Who made it; a child shares the epoll and is not to change it.
    process: c_int,
}

impl Registration {
    fn is_ours(&self) -> bool {
        self.process == table::process()
    }
}

/// Where a connection is registered.
pub(crate) struct Registrations {
    places: [Option<Registration>; PLACES],
    overflown: bool,
}

impl Registrations {
    pub(crate) const fn new() -> Self {
        Registrations {
            places: [None; PLACES],
            overflown: false,
        }
    }

    /// Some epoll watches the socket of which nothing is known here.
    pub(crate) fn is_beyond_us(&self) -> bool {
        self.overflown
    }

    /// This process watches the socket.
    pub(crate) fn has_ours(&self) -> bool {
        self.places.iter().flatten().any(Registration::is_ours)
    }

    fn find(&mut self, epoll: c_int, fd: c_int) -> Option<&mut Option<Registration>> {
        self.places
            .iter_mut()
            .find(|place| place.is_some_and(|known| known.epoll == epoll && known.fd == fd))
    }

    /// The registration an event of `epoll` is due to; if that was made under
    /// another number of the same epoll (dup), the descriptor's own.
    fn get(&self, epoll: c_int, fd: c_int) -> Option<Registration> {
        let mut of_fd = self.places.iter().flatten().filter(|known| known.fd == fd);
        of_fd
            .clone()
            .find(|known| known.epoll == epoll)
            .or_else(|| of_fd.next())
            .copied()
    }

    fn place(&mut self, epoll: c_int, fd: c_int) -> Option<&mut Option<Registration>> {
        if self.find(epoll, fd).is_some() {
            return self.find(epoll, fd);
        }
        self.places.iter_mut().find(|place| place.is_none())
    }
}

/// epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: null or the server's; the kernel only reads it.
    let wanted = unsafe { event.as_ref() }.copied();
    let Some(connection) = table::find(fd) else {
        // SAFETY: passed on.
        return unsafe { next_epoll_ctl(epoll, operation, fd, event) };
    };
    let mut known = connection.epolls.lock();
    match (operation, wanted) {
        (EPOLL_CTL_ADD | EPOLL_CTL_MOD, Some(wanted)) => {
            let Some(place) = known.place(epoll, fd) else {
                known.overflown = true;
                // SAFETY: passed on.
                return unsafe { next_epoll_ctl(epoll, operation, fd, event) };
            };
            let ours = Registration {
                epoll,
                fd,
                events: wanted.events,
                data: wanted.u64,
                process: table::process(),
            };
            let result = register(operation, ours);
            if result == 0 {
                *place = Some(ours);
                if is_edge(ours.events) {
                    connection.edge.store(true, Ordering::Relaxed);
                }
            }
            result
        }
        _ => {
            if operation == EPOLL_CTL_DEL
                && let Some(place) = known.find(epoll, fd)
            {
                *place = None;
            }
            // SAFETY: passed on.
            unsafe { next_epoll_ctl(epoll, operation, fd, event) }
        }
    }
}

fn register(operation: c_int, ours: Registration) -> c_int {
    let mut event = epoll_event {
        events: ours.events,
        u64: MARK | ours.fd as u64 & LOW,
    };
    // SAFETY: the event is ours.
    unsafe { next_epoll_ctl(ours.epoll, operation, ours.fd, &mut event) }
}

/// Edge-triggered, and not disarmed by its first event.
fn is_edge(events: u32) -> bool {
    events & (EPOLLET | EPOLLONESHOT) as u32 == EPOLLET as u32
}

/// Something is left that the server may not look for: where one event a
/// change of the socket is all there is, it gets another one.
pub(crate) fn more_is_there(connection: &Connection) {
    if connection.edge.load(Ordering::Relaxed) {
        for known in connection.epolls.lock().places.iter().flatten() {
            if is_edge(known.events) && known.is_ours() {
                register(EPOLL_CTL_MOD, *known);
            }
        }
    }
}

/// The descriptor is about to close. If a child has the socket still open,
/// the kernel would go on reporting it to us.
pub(crate) fn forget(connection: &Connection, fd: c_int) {
    for place in &mut connection.epolls.lock().places {
        if let Some(known) = place.filter(|known| known.fd == fd) {
            if known.is_ours() {
                register(EPOLL_CTL_DEL, known);
            }
            *place = None;
        }
    }
}

/// What becomes of one event.
enum Verdict {
    Keep(epoll_event),
    Drop,
}

fn judge(epoll: c_int, event: epoll_event) -> Verdict {
    let data = event.u64;
    if data & !LOW != MARK {
        return Verdict::Keep(event);
    }
    let fd = (data & LOW) as c_int;
    let Some(connection) = table::find(fd) else {
        // A child still has the socket open that we have closed.
        return Verdict::Drop;
    };
    let Some(ours) = connection.epolls.lock().get(epoll, fd) else {
        return Verdict::Drop;
    };
    let events = event.events & !hidden(&connection, fd, event.events);
    if events == 0 {
        if ours.events & EPOLLONESHOT as u32 != 0 {
            arm_again(&connection, epoll, fd);
        }
        return Verdict::Drop;
    }
    Verdict::Keep(epoll_event {
        events,
        u64: ours.data,
    })
}

/// The one event that was asked for has been dropped. Another thread may have
/// asked for others meanwhile: what it wants is read under the lock.
fn arm_again(connection: &Connection, epoll: c_int, fd: c_int) {
    let known = connection.epolls.lock();
    if let Some(ours) = known.get(epoll, fd) {
        register(EPOLL_CTL_MOD, ours);
    }
}

/// The bits that are not true of the payload.
fn hidden(connection: &Connection, fd: c_int, events: u32) -> u32 {
    let readable = (EPOLLIN | EPOLLRDNORM) as u32;
    if events & readable != 0 && !ready::is_readable(connection, fd) {
        readable
    } else {
        0
    }
}

/// Judges the events the kernel wrote; returns how many are left.
///
/// # Safety
/// The server's array has `n` events.
unsafe fn filter(epoll: c_int, events: *mut epoll_event, n: c_int) -> c_int {
    let mut kept = 0;
    for at in 0..n as usize {
        // SAFETY: within the array, and kept <= at.
        unsafe {
            if let Verdict::Keep(event) = judge(epoll, events.add(at).read_unaligned()) {
                events.add(kept).write_unaligned(event);
                kept += 1;
            }
        }
    }
    kept as c_int
}

/// # Safety
/// As epoll_wait demands of its arguments.
unsafe fn wait(
    epoll: c_int,
    events: *mut epoll_event,
    deadline: Deadline,
    mut kernel: impl FnMut() -> c_int,
) -> c_int {
    loop {
        lingering::tend();
        let n = kernel();
        if n < 0 || (n == 0 && deadline.is_past()) {
            return n;
        }
        // SAFETY: the kernel wrote n events.
        let kept = unsafe { filter(epoll, events, n) };
        if kept > 0 || deadline.is_past() {
            return kept;
        }
    }
}

/// epoll_wait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    epoll: c_int,
    events: *mut epoll_event,
    n: c_int,
    timeout: c_int,
) -> c_int {
    let deadline = Deadline::after_ms(i64::from(timeout));
    // SAFETY: passed on.
    unsafe {
        wait(epoll, events, deadline, || {
            next_epoll_wait(epoll, events, n, deadline.left_ms())
        })
    }
}

/// epoll_pwait(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait(
    epoll: c_int,
    events: *mut epoll_event,
    n: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    let deadline = Deadline::after_ms(i64::from(timeout));
    // SAFETY: passed on.
    unsafe {
        wait(epoll, events, deadline, || {
            next_epoll_pwait(epoll, events, n, deadline.left_ms(), mask)
        })
    }
}

/// epoll_pwait2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_pwait2(
    epoll: c_int,
    events: *mut epoll_event,
    n: c_int,
    timeout: *const Time<c_long>,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        pwait2_with(epoll, events, timeout, |left| {
            next_epoll_pwait2(epoll, events, n, left, mask)
        })
    }
}

/// epoll_pwait2 of either width of time.
///
/// # Safety
/// As epoll_pwait2 demands of its arguments.
pub(crate) unsafe fn pwait2_with<W: Word>(
    epoll: c_int,
    events: *mut epoll_event,
    timeout: *const Time<W>,
    mut kernel: impl FnMut(*const Time<W>) -> c_int,
) -> c_int {
    // SAFETY: the caller's promise; the kernel wrote n events.
    unsafe {
        if lingering::is_all_foreign() {
            let n = kernel(timeout);
            // Another thread may have accepted a client meanwhile.
            let kept = if n > 0 { filter(epoll, events, n) } else { n };
            if kept == n || kept > 0 {
                return kept;
            }
        }
        let deadline = Deadline::of(timeout, 1);
        wait(epoll, events, deadline, || {
            kernel(pointer(&deadline.left(1)))
        })
    }
}
