//! Locks that a forked child may take over, and values behind them.
//!
//! A child has one thread; what another thread of its parent had locked would stay locked in it for
//! ever, so a child resets its locks.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

use libc::pthread_mutex_t;

/// A lock that a forked child may take over.
pub(crate) struct Lock(UnsafeCell<pthread_mutex_t>);

// SAFETY: threads may share a mutex.
unsafe impl Sync for Lock {}

/// Holds a [`Lock`], and unlocks it when dropped.
pub(crate) struct Held<'a>(&'a Lock);

impl Lock {
    pub(crate) const fn new() -> Self {
        Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))
    }

    pub(crate) fn lock(&self) -> Held<'_> {
        // SAFETY: the mutex is initialised and never moves while in use; a
        // default mutex cannot fail to lock.
        unsafe { libc::pthread_mutex_lock(self.0.get()) };
        Held(self)
    }

    pub(crate) fn try_lock(&self) -> Option<Held<'_>> {
        // SAFETY: as above.
        let taken = unsafe { libc::pthread_mutex_trylock(self.0.get()) } == 0;
        // Made only where the lock was taken: a Held unlocks when it is dropped.
        taken.then(|| Held(self))
    }

    /// Unlocks a lock whose [`Held`] was forgotten.
    ///
    /// # Safety
    /// This thread holds it.
    pub(crate) unsafe fn release(&self) {
        // SAFETY: the caller's promise.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) };
    }

    /// Frees the lock whatever its state.
    ///
    /// # Safety
    /// Only where no other thread exists: in a child right after fork.
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: no thread is there to hold or wait for it.
        unsafe { *self.0.get() = libc::PTHREAD_MUTEX_INITIALIZER };
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.0.0.get()) };
    }
}

/// A value behind a [`Lock`].
pub(crate) struct Guarded<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: only the thread that holds the lock reaches the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

/// The value of a [`Guarded`], for as long as this lives.
pub(crate) struct Guard<'a, T> {
    _held: Held<'a>,
    value: *mut T,
}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded {
            lock: Lock::new(),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard {
            _held: self.lock.lock(),
            value: self.value.get(),
        }
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let held = self.lock.try_lock()?;
        Some(Guard {
            _held: held,
            value: self.value.get(),
        })
    }

    /// # Safety
    /// As [`Lock::reset`].
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.reset() };
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and this borrow is the only one.
        unsafe { &mut *self.value }
    }
}
