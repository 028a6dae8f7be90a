//! The C functions of a Rust plugin, which lead from the interface to safe Rust.
//!
//! Each of them catches panics, since a panic must not unwind into the server. After a panic the
//! plugin's value is dropped, and its client gets internal errors.

// This file turns the server's pointers into references.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::abi::{ABI, Answer, Name, Table};
use crate::call::Current;
use crate::{Error, Handler, Json, Params, Plugin};

/// A plugin with the handlers of its methods; made by [`export!`](crate::export!).
pub trait Exported: Plugin {
    /// The handlers, in the order of the names.
    const HANDLERS: &'static [Handler<Self>];
}

/// One client's plugin; empty once it has panicked.
type Connection<P> = Option<P>;

impl Table {
    /// The table of a Rust plugin. `methods` ends with [`Name::END`].
    pub const fn of<P: Exported>(methods: &'static [Name]) -> Table {
        assert!(
            methods.len() == P::HANDLERS.len() + 1,
            "each name has a handler"
        );
        Table {
            abi: ABI,
            methods: methods.as_ptr(),
            open: Some(open::<P>),
            call: Some(call::<P>),
            close: Some(close::<P>),
        }
    }
}

/// What `rpcplugin_entry` returns: the table, or null to a server of another version of the
/// interface.
pub fn entry(server_abi: u32, table: &'static Table) -> *const Table {
    if server_abi == ABI {
        table
    } else {
        std::ptr::null()
    }
}

unsafe extern "C" fn open<P: Exported>(
    config: *const c_char,
    connection: *mut *mut c_void,
    answer: *mut Answer,
) -> c_int {
    // SAFETY: the server passes a string that outlives the call.
    let config = unsafe { CStr::from_ptr(config) };
    // SAFETY: the server passes its answer, valid for the call.
    let _current = unsafe { Current::enter(answer) };
    let opened = catch_unwind(AssertUnwindSafe(|| match config.to_str() {
        Ok(config) => P::open(config),
        Err(_) => Err(Error::internal("the option -C is not UTF-8")),
    }));
    match opened.unwrap_or_else(|_| Err(panicked())) {
        Ok(plugin) => {
            let plugin: Box<Connection<P>> = Box::new(Some(plugin));
            // SAFETY: the server passes a place for the pointer.
            unsafe { *connection = Box::into_raw(plugin).cast() };
            0
        }
        Err(error) => {
            // SAFETY: the server passes its answer, valid for the call.
            unsafe { send(answer, Err(error)) };
            -1
        }
    }
}

unsafe extern "C" fn call<P: Exported>(
    connection: *mut c_void,
    method: usize,
    params: *const c_char,
    length: usize,
    answer: *mut Answer,
) {
    // SAFETY: the server gives back what `open` made, and calls one at a time.
    let connection: &mut Connection<P> = unsafe { &mut *connection.cast() };
    let params = if params.is_null() {
        Ok(None)
    } else {
        // SAFETY: the server passes `length` bytes that outlive the call.
        let bytes = unsafe { std::slice::from_raw_parts(params.cast::<u8>(), length) };
        std::str::from_utf8(bytes).map(Some)
    };
    // SAFETY: the server passes its answer, valid for the call.
    let _current = unsafe { Current::enter(answer) };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let params = params.map_err(|_| Error::invalid_params("not UTF-8"))?;
        let plugin = connection.as_mut().ok_or_else(panicked)?;
        let handler = P::HANDLERS
            .get(method)
            .ok_or_else(|| Error::internal("no such index"))?;
        handler(plugin, Params::new(params))
    }));
    let outcome = outcome.unwrap_or_else(|_| {
        discard(connection.take());
        Err(panicked())
    });
    // SAFETY: the server passes its answer, valid for the call.
    unsafe { send(answer, outcome) };
}

unsafe extern "C" fn close<P: Exported>(connection: *mut c_void) {
    // SAFETY: the server gives back what `open` made, for the last time.
    let connection: Box<Connection<P>> = unsafe { Box::from_raw(connection.cast()) };
    discard(*connection);
}

/// Drops a plugin; its destructor may panic too.
fn discard<P>(connection: Connection<P>) {
    // The panic hook has already said what there is to say.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(connection)));
}

fn panicked() -> Error {
    Error::internal("the plugin panicked")
}

/// Hands an outcome to the server.
///
/// # Safety
/// `answer` is the server's, valid for the call.
unsafe fn send(answer: *mut Answer, outcome: Result<Json, Error>) {
    match outcome {
        Ok(json) => {
            let text = json.as_str();
            // SAFETY: the caller's promise; the text outlives the call.
            unsafe { ((*answer).result)(answer, text.as_ptr().cast(), text.len()) };
        }
        Err(error) => {
            let message = c_string(&error.message);
            let data = error.data.map(|data| c_string(data.as_str()));
            let data = data.as_ref().map_or(std::ptr::null(), |data| data.as_ptr());
            // SAFETY: the caller's promise; the strings outlive the call.
            unsafe { ((*answer).error)(answer, error.code, message.as_ptr(), data) };
        }
    }
}

/// The text without NULs, which a C string cannot hold (and JSON never has).
fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
    CString::new(bytes).unwrap_or_default()
}
