//! What a plugin may ask the server while it opens or answers a call.
//!
//! These are functions of the thread, not of a value that handlers pass on: a callback deep in a
//! library (SQLite's progress handler, say) can then ask them as well. Where the thread runs no
//! call, everything is wanted, granted and unknown.

// The answer of the server is called through its pointer.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::CStr;
use std::net::IpAddr;

use crate::Error;
use crate::abi::Answer;

thread_local! {
    /// The answer of the call that this thread runs, or null.
    static CURRENT: Cell<*mut Answer> = const { Cell::new(std::ptr::null_mut()) };
}

/// Whether the answer is still wanted: no longer once the client has left or its batch has had its
/// time. Asking costs little.
pub fn is_wanted() -> bool {
    let answer = CURRENT.get();
    // SAFETY: what is not null is valid, since its call has not returned.
    answer.is_null() || unsafe { ((*answer).wanted)(answer) } != 0
}

/// Asks for memory, in bytes, that the call is about to use; it is given back when the call
/// returns.
///
/// # Errors
/// [`Error::busy`] when the clients of the server have taken all there is.
pub fn reserve(bytes: usize) -> Result<(), Error> {
    let answer = CURRENT.get();
    // SAFETY: as in `is_wanted`.
    if answer.is_null() || unsafe { ((*answer).reserve)(answer, bytes) } != 0 {
        Ok(())
    } else {
        Err(Error::busy())
    }
}

/// The network address of the client, if the server knows it.
pub fn client() -> Option<IpAddr> {
    let answer = CURRENT.get();
    if answer.is_null() {
        return None;
    }
    // SAFETY: as in `is_wanted`; the address is a C string or null.
    let text = unsafe {
        let text = (*answer).client;
        (!text.is_null()).then(|| CStr::from_ptr(text))
    };
    text?.to_str().ok()?.parse().ok()
}

/// A call that this thread runs; dropping it ends the call.
pub(crate) struct Current;

impl Current {
    /// # Safety
    /// `answer` is valid for as long as the value returned lives.
    pub(crate) unsafe fn enter(answer: *mut Answer) -> Current {
        CURRENT.set(answer);
        Current
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(std::ptr::null_mut());
    }
}
