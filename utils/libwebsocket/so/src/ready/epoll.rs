//! epoll: as poll, with events that carry the server's data.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM,
    c_long, epoll_event, sigset_t,
};

use crate::connection::{CONNECTIONS, Connection, Kind};
use crate::ready::{Deadline, Findings, Time, Truth, Word, ask, is_all_foreign, pointer};
use crate::sys::{self, next};
use crate::watchers::{Registration, descriptor};

next! {
    fn next_epoll_wait = c"epoll_wait"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: c_int) -> c_int;
    fn next_epoll_pwait = c"epoll_pwait"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: c_int, mask: *const sigset_t) -> c_int;
    fn next_epoll_pwait2 = c"epoll_pwait2"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

/// epoll_ctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: passed on.
    let kernel = || unsafe { sys::epoll_ctl(epoll, operation, fd, event) };
    let Some(connection) = CONNECTIONS.find(fd) else {
        return kernel();
    };
    let mut known = connection.watchers.lock();
    if connection.kind() == Kind::Plain {
        return kernel();
    }
    // SAFETY: null or the server's; the kernel only reads it.
    match (operation, unsafe { event.as_ref() }) {
        (EPOLL_CTL_ADD | EPOLL_CTL_MOD, Some(wanted)) => {
            let Some(place) = known.place(epoll, fd) else {
                known.set_unknown();
                return kernel();
            };
            let wanted = Registration::new(epoll, fd, *wanted);
            let result = wanted.register(operation);
            if result == 0 {
                *place = Some(wanted);
                if wanted.is_edge() {
                    connection.edge.store(true, Ordering::Relaxed);
                }
            }
            result
        }
        _ => {
            if operation == EPOLL_CTL_DEL {
                known.remove(epoll, fd);
            }
            kernel()
        }
    }
}

/// What is left of one event: none if nothing of it is true.
fn judge(epoll: c_int, event: epoll_event, findings: &mut Findings) -> Option<epoll_event> {
    let Some(fd) = descriptor(event.u64) else {
        return Some(event);
    };
    // Not there: a child still has the socket open that this process has closed.
    let connection = CONNECTIONS.find(fd)?;
    let readable = (EPOLLIN | EPOLLRDNORM) as u32;
    let writable = (EPOLLOUT | EPOLLWRNORM) as u32;
    let hidden = match findings.judge(fd, event.events & readable != 0) {
        Truth::All => 0,
        Truth::NotReadable => readable,
        Truth::Nothing => readable | writable,
        Truth::Old => return None,
    };
    if connection.kind() == Kind::Plain {
        // The kernel reports it again, with the server's data.
        findings.changed = true;
        return None;
    }
    let events = event.events & !hidden;
    if events == 0 {
        arm_again(&connection, epoll, fd, hidden & writable != 0);
        return None;
    }
    let u64 = connection.watchers.lock().get(epoll, fd)?.data;
    Some(epoll_event { events, u64 })
}

/// An event has been dropped: if there was to be only one, there is to be another. Another thread
/// may have asked for other events meanwhile: what it wants is read under the lock.
fn arm_again(connection: &Connection, epoll: c_int, fd: c_int, held_back: bool) {
    let known = connection.watchers.lock();
    if let Some(ours) = known.get(epoll, fd)
        && ours.is_used_up()
        && (held_back || !ours.is_edge())
    {
        ours.register(EPOLL_CTL_MOD);
    }
}

/// Judges the events that the kernel wrote; returns how many are left.
///
/// # Safety
/// The server's array has `n` events.
unsafe fn filter(
    epoll: c_int,
    events: *mut epoll_event,
    n: c_int,
    findings: &mut Findings,
) -> c_int {
    let mut kept = 0;
    for at in 0..n as usize {
        // SAFETY: within the array, and kept <= at.
        unsafe {
            if let Some(event) = judge(epoll, events.add(at).read_unaligned(), findings) {
                events.add(kept).write_unaligned(event);
                kept += 1;
            }
        }
    }
    kept as c_int
}

/// # Safety
/// As epoll_wait demands of its arguments.
#[inline(never)]
unsafe fn wait(
    epoll: c_int,
    events: *mut epoll_event,
    deadline: Deadline,
    kernel: &mut dyn FnMut(Deadline) -> c_int,
) -> c_int {
    loop {
        let n = ask(deadline, kernel);
        if n < 0 {
            return n;
        }
        let mut findings = Findings::new();
        // SAFETY: the kernel wrote n events.
        let kept = unsafe { filter(epoll, events, n, &mut findings) };
        if kept > 0 || !findings.go_on(deadline) {
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
        wait(epoll, events, deadline, &mut |time| {
            next_epoll_wait(epoll, events, n, time.left_ms())
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
        wait(epoll, events, deadline, &mut |time| {
            next_epoll_pwait(epoll, events, n, time.left_ms(), mask)
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
        if is_all_foreign() {
            let n = kernel(timeout);
            // Another thread may have accepted a client meanwhile.
            let mut findings = Findings::new();
            let kept = if n > 0 {
                filter(epoll, events, n, &mut findings)
            } else {
                n
            };
            if kept == n || kept > 0 {
                return kept;
            }
        }
        let deadline = Deadline::of(timeout, 1);
        wait(epoll, events, deadline, &mut |time| {
            kernel(pointer(&time.left(1)))
        })
    }
}
