//! Which descriptors are known, and to what each leads. What that is and does the table does not
//! know.
//!
//! A look-up that finds nothing takes no lock, so that a signal handler may write to its pipe while
//! another call is inside the library.

use core::ffi::c_int;
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::sys::lock::Lock;

/// Descriptors a page holds, and pages there are: a million descriptors, the kernel's own default
/// limit (nr_open). A descriptor beyond it has no place.
const PAGE: usize = 1024;
const PAGES: usize = 1024;

/// A value with the counts of what leads to it.
struct Block<T> {
    /// Pointers to this, those of the table included.
    refs: AtomicUsize,
    /// Descriptors in the table.
    descriptors: AtomicUsize,
    value: T,
}

type Slot<T> = AtomicPtr<Block<T>>;
type Page<T> = [Slot<T>; PAGE];

/// From descriptors to values.
pub(crate) struct Table<T: 'static> {
    pages: [AtomicPtr<Page<T>>; PAGES],
    /// Descriptors in the table.
    count: AtomicUsize,
}

/// Guards changes of the table and the reference counts.
static LOCK: Lock = Lock::new();

/// A value in use; it lives at least as long as this.
pub(crate) struct Ref<T>(NonNull<Block<T>>);

// SAFETY: values are shared between threads, as T allows.
unsafe impl<T: Sync> Send for Ref<T> {}

impl<T> Deref for Ref<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.block().value
    }
}

impl<T> Ref<T> {
    fn block(&self) -> &Block<T> {
        // SAFETY: the reference was counted when this was made.
        unsafe { self.0.as_ref() }
    }

    /// How many descriptors lead to the value.
    pub(crate) fn descriptors(&self) -> usize {
        self.block().descriptors.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Ref<T> {
    // Every call has one: inlined, they make a tenth of the library.
    #[inline(never)]
    fn drop(&mut self) {
        let last = {
            let _held = LOCK.lock();
            self.block().refs.fetch_sub(1, Ordering::Relaxed) == 1
        };
        if last {
            // SAFETY: nothing else points to it any more; malloc made it in
            // `insert`.
            unsafe {
                self.0.drop_in_place();
                libc::free(self.0.as_ptr().cast());
            }
        }
    }
}

impl<T: Sync> Table<T> {
    pub(crate) const fn new() -> Self {
        Table {
            pages: [const { AtomicPtr::new(null_mut()) }; PAGES],
            count: AtomicUsize::new(0),
        }
    }

    fn slot(&self, fd: c_int) -> Option<&Slot<T>> {
        let index = usize::try_from(fd).ok()?;
        let page = self.pages.get(index / PAGE)?.load(Ordering::Acquire);
        // SAFETY: a page, once there, stays for ever.
        let page = unsafe { page.as_ref() }?;
        page.get(index % PAGE)
    }

    /// There is no descriptor at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// The descriptor is in the table.
    pub(crate) fn has(&self, fd: c_int) -> bool {
        self.slot(fd)
            .is_some_and(|slot| !slot.load(Ordering::Relaxed).is_null())
    }

    /// The value behind a descriptor.
    // Every call asks: inlined, the answer would make a tenth of the library.
    #[inline(never)]
    pub(crate) fn find(&self, fd: c_int) -> Option<Ref<T>> {
        let slot = self.slot(fd)?;
        if slot.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let _held = LOCK.lock();
        let block = NonNull::new(slot.load(Ordering::Relaxed))?;
        // SAFETY: what the table points to is alive while the lock is held.
        let known = unsafe { block.as_ref() };
        known.refs.fetch_add(1, Ordering::Relaxed);
        Some(Ref(block))
    }

    /// Makes a value for a descriptor; None without memory or place.
    pub(crate) fn insert(&self, fd: c_int, value: T) -> Option<Ref<T>> {
        self.make_page(fd)?;
        // SAFETY: the memory has the size and, as malloc's, the alignment of a
        // block; it is written before anything reads it.
        let made = unsafe {
            let block = NonNull::new(libc::malloc(size_of::<Block<T>>()).cast::<Block<T>>())?;
            block.write(Block {
                refs: AtomicUsize::new(1),
                descriptors: AtomicUsize::new(0),
                value,
            });
            Ref(block)
        };
        // The program may have closed this descriptor by a call that is not seen here.
        drop(self.remove(fd));
        self.share(fd, &made).then_some(made)
    }

    /// A further descriptor of the same value (dup).
    pub(crate) fn share(&self, fd: c_int, known: &Ref<T>) -> bool {
        let Some(slot) = self.make_page(fd).and_then(|()| self.slot(fd)) else {
            return false;
        };
        let _held = LOCK.lock();
        let block = known.block();
        block.refs.fetch_add(1, Ordering::Relaxed);
        block.descriptors.fetch_add(1, Ordering::Relaxed);
        let old = slot.swap(known.0.as_ptr(), Ordering::Release);
        debug_assert!(old.is_null(), "the old descriptor was taken out");
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes a descriptor out; tells whether it was the value's last.
    #[inline(never)]
    pub(crate) fn remove(&self, fd: c_int) -> Option<(Ref<T>, bool)> {
        let slot = self.slot(fd)?;
        let _held = LOCK.lock();
        // The table's own count passes on to this Ref.
        let known = Ref(NonNull::new(slot.swap(null_mut(), Ordering::Relaxed))?);
        self.count.fetch_sub(1, Ordering::Relaxed);
        let last = known.block().descriptors.fetch_sub(1, Ordering::Relaxed) == 1;
        Some((known, last))
    }

    /// Calls `visit` for every descriptor in the table.
    #[inline(never)]
    pub(crate) fn for_each(&self, visit: &mut dyn FnMut(c_int, &Ref<T>)) {
        if self.is_empty() {
            return;
        }
        for fd in self.numbers() {
            if let Some(known) = self.find(fd) {
                visit(fd, &known);
            }
        }
    }

    /// Calls `visit` for every descriptor that leads to this value.
    pub(crate) fn for_each_of(&self, known: &Ref<T>, mut visit: impl FnMut(c_int)) {
        self.for_each(&mut |fd, other| {
            if other.0 == known.0 {
                visit(fd);
            }
        });
    }

    /// Every descriptor number that has a place in the table.
    fn numbers(&self) -> impl Iterator<Item = c_int> {
        (0..PAGES)
            .filter(|page| !self.pages[*page].load(Ordering::Acquire).is_null())
            .flat_map(|page| (0..PAGE).map(move |at| (page * PAGE + at) as c_int))
    }

    fn make_page(&self, fd: c_int) -> Option<()> {
        let entry = self.pages.get(usize::try_from(fd).ok()? / PAGE)?;
        if entry.load(Ordering::Acquire).is_null() {
            let _held = LOCK.lock();
            if entry.load(Ordering::Relaxed).is_null() {
                // SAFETY: zeroed memory is a page of null pointers.
                let page = unsafe { libc::calloc(PAGE, size_of::<Slot<T>>()) };
                if page.is_null() {
                    return None;
                }
                entry.store(page.cast(), Ordering::Release);
            }
        }
        Some(())
    }
}

/// Before a fork: no other thread is inside the table, for its state in the child to be whole.
pub(crate) fn before_fork() {
    core::mem::forget(LOCK.lock());
}

/// After a fork, in the parent.
///
/// # Safety
/// [`before_fork`] was called by this thread.
pub(crate) unsafe fn after_fork() {
    // SAFETY: the caller's promise. It is unlocked, not reset: other threads
    // may wait for it.
    unsafe { LOCK.release() };
}

/// After a fork, in the child.
///
/// # Safety
/// No other thread exists.
pub(crate) unsafe fn in_child() {
    // SAFETY: the caller's promise.
    unsafe { LOCK.reset() };
}
