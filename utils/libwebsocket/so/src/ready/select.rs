//! select and pselect: as poll, with sets of bits.

use core::ffi::{c_int, c_ulong};

use libc::{c_long, fd_set, sigset_t};

use crate::connection::touch;
use crate::ready::{Deadline, Findings, Time, Truth, Word, ask, is_all_foreign, pointer};
use crate::sys::next;

/// Descriptors that a set has room for (FD_SETSIZE).
const SIZE: c_int = 1024;
const BITS: usize = c_ulong::BITS as usize;
const WORDS: usize = SIZE as usize / BITS;

next! {
    fn next_select = c"select"(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *mut Time<c_long>) -> c_int;
    fn next_pselect = c"pselect"(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

/// The sets of a call, in the order of its arguments.
const READS: usize = 0;
const WRITES: usize = 1;
const OTHERS: usize = 2;

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

    /// Takes back what the kernel said and is not true; how many bits.
    ///
    /// # Safety
    /// As for `new`.
    unsafe fn filter(&self, findings: &mut Findings) -> c_int {
        let mut cleared = 0;
        for fd in 0..self.n {
            let (word, bit) = place(fd);
            if self.asked[0][word] & bit != 0 {
                touch(fd);
            }
            // SAFETY: the sets have n places.
            let has_bit = |word: *mut c_ulong| unsafe { *word } & bit != 0;
            let is_set = |set: usize| self.word(set, word).is_some_and(has_bit);
            let (readable, writable) = (is_set(READS), is_set(WRITES));
            if !(readable || writable || is_set(OTHERS)) {
                continue;
            }
            let wrong: &[usize] = match findings.judge(fd, readable) {
                Truth::All => &[],
                Truth::NotReadable => &[READS],
                Truth::Nothing => &[READS, WRITES],
                Truth::Old => &[READS, WRITES, OTHERS],
            };
            for &set in wrong.iter().filter(|set| is_set(**set)) {
                if let Some(word) = self.word(set, word) {
                    // SAFETY: as above.
                    unsafe { *word &= !bit };
                }
                cleared += 1;
            }
        }
        cleared
    }

    /// A word of a set, if the server has given that set.
    fn word(&self, set: usize, word: usize) -> Option<*mut c_ulong> {
        let start: *mut c_ulong = self.sets[set].cast();
        (!start.is_null()).then(|| start.wrapping_add(word))
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
    #[inline(never)]
    unsafe fn wait(&self, deadline: Deadline, kernel: &mut dyn FnMut(Deadline) -> c_int) -> c_int {
        loop {
            let result = ask(deadline, &mut |time| {
                // SAFETY: the caller's promise; the wait before this one has cleared the sets.
                unsafe { self.restore() };
                kernel(time)
            });
            if result < 0 {
                return result;
            }
            let mut findings = Findings::new();
            // SAFETY: the caller's promise.
            let ready = result - unsafe { self.filter(&mut findings) };
            if ready > 0 || !findings.go_on(deadline) {
                return ready;
            }
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
    is_all_foreign() || !(1..=SIZE).contains(&n)
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

/// select of either width of time. As on Linux, the timeout becomes the time that is left.
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
        let result = sets.wait(deadline, &mut |time| {
            if let (Some(timeout), Some(left)) = (timeout.as_mut(), time.left(MICRO)) {
                *timeout = left;
            }
            kernel()
        });
        if let (Some(timeout), Some(rest)) = (timeout.as_mut(), Time::of(deadline.rest_ms(), MICRO))
        {
            *timeout = rest;
        }
        result
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
        sets.wait(deadline, &mut |time| kernel(pointer(&time.left(1))))
    }
}
