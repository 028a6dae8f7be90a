//! select and pselect: as poll, with sets of bits.

use core::ffi::{c_int, c_ulong};

use libc::{c_long, fd_set, sigset_t};

use crate::poll::{Deadline, Time, Word, pointer};
use crate::sys::next;
use crate::{lingering, ready, table};

/// Descriptors a set has place for (FD_SETSIZE).
const SIZE: c_int = 1024;
const BITS: usize = c_ulong::BITS as usize;
const WORDS: usize = SIZE as usize / BITS;

next! {
    fn next_select = c"select"(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *mut Time<c_long>) -> c_int;
    fn next_pselect = c"pselect"(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

type Words = [c_ulong; WORDS];

/// The three sets of a call, and what was asked of them.
struct Sets {
    n: c_int,
    sets: [*mut fd_set; 3],
    asked: [Words; 3],
}

impl Sets {
    /// # Safety
    /// The sets are null or the server's, with `n` places each.
    unsafe fn new(n: c_int, sets: [*mut fd_set; 3]) -> Self {
        let mut asked = [[0; WORDS]; 3];
        let used = words(n);
        for (set, copy) in sets.iter().zip(&mut asked) {
            if !set.is_null() {
                // SAFETY: the caller's promise; the copy has the room.
                unsafe { core::ptr::copy_nonoverlapping(set.cast(), copy.as_mut_ptr(), used) };
            }
        }
        Sets { n, sets, asked }
    }

    /// Clears readable connections that have no payload; how many.
    ///
    /// # Safety
    /// As for `new`.
    unsafe fn filter(&self) -> c_int {
        let mut cleared = 0;
        let reads: *mut c_ulong = self.sets[0].cast();
        if reads.is_null() {
            return 0;
        }
        for fd in 0..self.n {
            let (word, bit) = place(fd);
            if self.asked[0][word] & bit != 0 {
                table::touch(fd);
            }
            // SAFETY: the set has n places.
            let set = unsafe { &mut *reads.add(word) };
            if *set & bit != 0
                && let Some(connection) = table::find(fd)
                && !ready::is_readable(&connection, fd)
            {
                *set &= !bit;
                cleared += 1;
            }
        }
        cleared
    }

    /// Puts back what was asked, for another wait.
    ///
    /// # Safety
    /// As for `new`.
    unsafe fn restore(&self) {
        for (set, copy) in self.sets.iter().zip(&self.asked) {
            if !set.is_null() {
                // SAFETY: as in new, the other way round.
                unsafe {
                    core::ptr::copy_nonoverlapping(copy.as_ptr(), set.cast(), words(self.n));
                }
            }
        }
    }

    /// # Safety
    /// As for `new`.
    unsafe fn wait(&self, deadline: Deadline, mut kernel: impl FnMut() -> c_int) -> c_int {
        loop {
            lingering::tend();
            let result = kernel();
            if result < 0 {
                return result;
            }
            // SAFETY: the caller's promise.
            let ready = result - unsafe { self.filter() };
            if ready > 0 || deadline.is_past() {
                return ready;
            }
            // SAFETY: the caller's promise.
            unsafe { self.restore() };
        }
    }
}

fn place(fd: c_int) -> (usize, c_ulong) {
    let index = fd as usize;
    (index / BITS, 1 << (index % BITS))
}

fn words(n: c_int) -> usize {
    (n as usize).div_ceil(BITS)
}

/// A call that concerns no connection, or that the kernel should refuse.
fn is_foreign(n: c_int) -> bool {
    lingering::is_all_foreign() || !(1..=SIZE).contains(&n)
}

/// select(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    n: c_int,
    reads: *mut fd_set,
    writes: *mut fd_set,
    others: *mut fd_set,
    timeout: *mut Time<c_long>,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        select_with(n, [reads, writes, others], timeout, || {
            next_select(n, reads, writes, others, timeout)
        })
    }
}

/// select of either width of time. As on Linux, the timeout becomes the time
/// that is left.
///
/// # Safety
/// As select demands of its arguments.
pub(crate) unsafe fn select_with<W: Word>(
    n: c_int,
    sets: [*mut fd_set; 3],
    timeout: *mut Time<W>,
    mut kernel: impl FnMut() -> c_int,
) -> c_int {
    /// Nanoseconds in the part of a `timeval`.
    const MICRO: i32 = 1000;
    if is_foreign(n) {
        return kernel();
    }
    // SAFETY: the caller's promise.
    unsafe {
        let deadline = Deadline::of(timeout, i64::from(MICRO));
        let sets = Sets::new(n, sets);
        let mut first = true;
        sets.wait(deadline, || {
            if let (false, Some(time), Some(left)) = (first, timeout.as_mut(), deadline.left(MICRO))
            {
                *time = left;
            }
            first = false;
            kernel()
        })
    }
}

/// pselect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pselect(
    n: c_int,
    reads: *mut fd_set,
    writes: *mut fd_set,
    others: *mut fd_set,
    timeout: *const Time<c_long>,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        pselect_with(n, [reads, writes, others], timeout, |left| {
            next_pselect(n, reads, writes, others, left, mask)
        })
    }
}

/// pselect of either width of time.
///
/// # Safety
/// As pselect demands of its arguments.
pub(crate) unsafe fn pselect_with<W: Word>(
    n: c_int,
    sets: [*mut fd_set; 3],
    timeout: *const Time<W>,
    mut kernel: impl FnMut(*const Time<W>) -> c_int,
) -> c_int {
    if is_foreign(n) {
        return kernel(timeout);
    }
    // SAFETY: the caller's promise.
    unsafe {
        let deadline = Deadline::of(timeout, 1);
        let sets = Sets::new(n, sets);
        sets.wait(deadline, || kernel(pointer(&deadline.left(1))))
    }
}
