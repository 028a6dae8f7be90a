//! What the gateway has said of a client beside its address (docs/behaviour.md, section 5), as C
//! strings that the program may keep for as long as the client.

use core::ffi::{c_char, c_int};
use core::ptr::{self, NonNull};

use common::handover;

/// Types and values, as C has strings: a byte of type, the value, a NUL. A NUL ends them.
pub(crate) struct Told(NonNull<u8>);

// SAFETY: what it points to is its own, and only read.
unsafe impl Send for Told {}

impl Told {
    /// What stands behind the address; `None` where that is nothing, or without memory.
    pub(crate) fn of(behind: &[u8]) -> Option<Told> {
        let mut fields = handover::fields(behind).peekable();
        fields.peek()?;
        // SAFETY: a plain call. A string takes one byte less than its TLV, and there is the mark.
        let start = NonNull::new(unsafe { libc::malloc(behind.len()) }.cast::<u8>())?;
        let mut end = start.as_ptr();
        for (kind, value) in fields {
            // SAFETY: type, value and NUL have room, as above. A value with a NUL ends there.
            unsafe {
                *end = kind;
                end = end.add(1);
                ptr::copy_nonoverlapping(value.as_ptr(), end, value.len());
                *end.add(value.len()) = 0;
                end = end.add(libc::strlen(end.cast()) + 1);
            }
        }
        // SAFETY: the mark has left room.
        unsafe { *end = 0 };
        Some(Told(start))
    }

    /// The value of a type.
    pub(crate) fn find(&self, wanted: c_int) -> Option<*const c_char> {
        let mut field = self.0.as_ptr().cast_const();
        // SAFETY: `of` has made the fields, each ended by NUL, and a NUL behind the last.
        unsafe {
            while *field != 0 {
                let value = field.add(1).cast();
                if c_int::from(*field) == wanted {
                    return Some(value);
                }
                field = field.add(2 + libc::strlen(value));
            }
        }
        None
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // SAFETY: malloc made it, and nothing else frees it.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }
}
