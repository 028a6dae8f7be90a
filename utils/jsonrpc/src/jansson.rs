//! The eight functions of libjansson that its plugins make us need.
//!
//! They are looked up in the plugin itself, which is linked with libjansson, or else in what was
//! loaded for it: this program is not linked with it, and so runs where there is none.

// Functions of libjansson are called here.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use libloading::os::unix::Library;
use rpcplugin::Error;

use crate::link::{LoadError, load_jansson, symbol};

/// Only check; store nothing (jansson.h).
const JSON_VALIDATE_ONLY: usize = 0x1;
/// No spaces (jansson.h).
const JSON_COMPACT: usize = 0x20;
/// Any value, not only arrays and objects (jansson.h).
const JSON_ENCODE_ANY: usize = 0x200;

/// The head of a `json_t`.
#[repr(C)]
pub(crate) struct RawJson {
    kind: c_int,
    /// Counts the owners; all ones in the constants true, false and null.
    references: AtomicUsize,
}

/// `json_error_t`.
#[repr(C)]
struct RawError {
    line: c_int,
    column: c_int,
    position: c_int,
    source: [c_char; 80],
    text: [c_char; 160],
}

type Sink = unsafe extern "C" fn(*const c_char, usize, *mut c_void) -> c_int;

/// libjansson, as far as it is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jansson {
    loadb: unsafe extern "C" fn(*const c_char, usize, usize, *mut RawError) -> *mut RawJson,
    dump: unsafe extern "C" fn(*const RawJson, Sink, *mut c_void, usize) -> c_int,
    delete: unsafe extern "C" fn(*mut RawJson),
    unpack: unsafe extern "C" fn(*mut RawJson, *mut RawError, usize, *const c_char, ...) -> c_int,
    object: unsafe extern "C" fn() -> *mut RawJson,
    integer: unsafe extern "C" fn(c_longlong) -> *mut RawJson,
    string: unsafe extern "C" fn(*const c_char) -> *mut RawJson,
    set_new: unsafe extern "C" fn(*mut RawJson, *const c_char, *mut RawJson) -> c_int,
}

/// The library of the loaded plugin, for the two functions that it calls.
static LOADED: OnceLock<Jansson> = OnceLock::new();

/// One reference to a jansson value.
pub(crate) struct Value {
    jansson: Jansson,
    raw: NonNull<RawJson>,
}

impl Jansson {
    /// Finds libjansson behind a plugin.
    pub(crate) fn find(plugin: &ManuallyDrop<Library>) -> Result<Jansson, LoadError> {
        // SAFETY: these are the types jansson.h gives the functions.
        unsafe {
            let jansson = Jansson {
                loadb: function(plugin, "json_loadb")?,
                dump: function(plugin, "json_dump_callback")?,
                delete: function(plugin, "json_delete")?,
                unpack: function(plugin, "json_unpack_ex")?,
                object: function(plugin, "json_object")?,
                integer: function(plugin, "json_integer")?,
                string: function(plugin, "json_string")?,
                set_new: function(plugin, "json_object_set_new")?,
            };
            Ok(*LOADED.get_or_init(|| jansson))
        }
    }

    /// Parses an array or object.
    ///
    /// # Errors
    /// What jansson says: it takes no NUL in strings and no huge numbers.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        let mut error = RawError::new();
        // SAFETY: the text and the error outlive the call.
        let raw = unsafe { (self.loadb)(text.as_ptr().cast(), text.len(), 0, &raw mut error) };
        // SAFETY: json_loadb returns a new reference.
        unsafe { self.own(raw) }.ok_or_else(|| error.text())
    }

    /// Takes over a new reference; `None` if it is null.
    ///
    /// # Safety
    /// `raw` is null or a value of this library; its reference is ours.
    pub(crate) unsafe fn own(self, raw: *mut RawJson) -> Option<Value> {
        NonNull::new(raw).map(|raw| Value { jansson: self, raw })
    }
}

impl Value {
    /// The value, for as long as this reference lives.
    pub(crate) fn as_ptr(&self) -> *mut RawJson {
        self.raw.as_ptr()
    }

    /// Checks the value against a format of json_unpack (`params_spec`).
    ///
    /// # Errors
    /// What does not fit, in jansson's words.
    pub(crate) fn validate(&self, format: &CStr) -> Result<(), String> {
        let mut error = RawError::new();
        // SAFETY: only validating, json_unpack_ex reads further arguments for
        // nothing but the names in an object format. No caller has those; at
        // the null instead of the first it gives up.
        let fits = unsafe {
            (self.jansson.unpack)(
                self.as_ptr(),
                &raw mut error,
                JSON_VALIDATE_ONLY,
                format.as_ptr(),
                std::ptr::null::<c_char>(),
            )
        };
        if fits == 0 { Ok(()) } else { Err(error.text()) }
    }

    /// The JSON of the value; `None` if it has none. `reserve` is asked for the memory, in bytes.
    ///
    /// # Errors
    /// What `reserve` says.
    pub(crate) fn to_text(
        &self,
        reserve: &mut dyn FnMut(usize) -> Result<(), Error>,
    ) -> Result<Option<String>, Error> {
        let mut collected = Collected {
            bytes: Vec::new(),
            reserve,
            refused: None,
        };
        let flags = JSON_COMPACT | JSON_ENCODE_ANY;
        let into = (&raw mut collected).cast();
        // SAFETY: `collect` gets `collected`, which outlives the call.
        let dumped = unsafe { (self.jansson.dump)(self.as_ptr(), collect, into, flags) };
        match collected.refused {
            Some(error) => Err(error),
            None if dumped != 0 => Ok(None),
            None => Ok(String::from_utf8(collected.bytes).ok()),
        }
    }

    /// Whether the value is `[]`.
    pub(crate) fn is_empty_array(&self) -> bool {
        // Nothing longer is written out.
        let mut short = |bytes| {
            if bytes > 2 {
                Err(Error::busy())
            } else {
                Ok(())
            }
        };
        matches!(self.to_text(&mut short), Ok(Some(text)) if text == "[]")
    }
}

/// The text of a value, as jansson writes it piece by piece.
struct Collected<'a> {
    bytes: Vec<u8>,
    reserve: &'a mut dyn FnMut(usize) -> Result<(), Error>,
    refused: Option<Error>,
}

impl Collected<'_> {
    fn push(&mut self, piece: &[u8]) -> Result<(), Error> {
        let length = self.bytes.len() + piece.len();
        if length > self.bytes.capacity() {
            let capacity = length.max(self.bytes.capacity() * 2);
            (self.reserve)(capacity - self.bytes.capacity())?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, so the value still lives.
        let references = unsafe { &(*self.as_ptr()).references };
        if references.load(Ordering::Acquire) == usize::MAX {
            return;
        }
        if references.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last reference.
            unsafe { (self.jansson.delete)(self.as_ptr()) };
        }
    }
}

impl RawError {
    fn new() -> RawError {
        RawError {
            line: 0,
            column: 0,
            position: 0,
            source: [0; 80],
            text: [0; 160],
        }
    }

    fn text(&self) -> String {
        let bytes: Vec<u8> = self
            .text
            .iter()
            .map(|byte| *byte as u8)
            .take_while(|byte| *byte != 0)
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A function that the plugin has from libjansson.
///
/// # Safety
/// `T` is the type of the function of this name.
unsafe fn function<T: Copy>(plugin: &ManuallyDrop<Library>, name: &str) -> Result<T, LoadError> {
    // SAFETY: the caller's promise.
    let found = unsafe { symbol(plugin, name) };
    // SAFETY: as above.
    let found = found.or_else(|| unsafe { symbol(&load_jansson()?, name) });
    found.ok_or_else(|| {
        LoadError::Incompatible(format!(
            "a plugin of the C gateway, but without {name} (is libjansson installed?)"
        ))
    })
}

/// The callback of json_dump_callback: appends to what `to_text` passes.
unsafe extern "C" fn collect(text: *const c_char, length: usize, into: *mut c_void) -> c_int {
    // SAFETY: `to_text` passes its own value, and its lifetime is longer.
    let collected: &mut Collected<'_> = unsafe { &mut *into.cast() };
    // SAFETY: jansson passes `length` bytes.
    let piece = unsafe { std::slice::from_raw_parts(text.cast(), length) };
    match collected.push(piece) {
        Ok(()) => 0,
        Err(error) => {
            collected.refused = Some(error);
            -1
        }
    }
}

/// Makes an error object for a plugin and takes over the reference to `data`.
///
/// # Safety
/// As the C gateway's header says: `message` is a C string or null, `data` a value or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jsonrpc_error_object(
    code: c_int,
    message: *const c_char,
    data: *mut c_void,
) -> *mut c_void {
    let Some(jansson) = LOADED.get() else {
        return std::ptr::null_mut();
    };
    let message = if message.is_null() {
        c"".as_ptr()
    } else {
        message
    };
    // SAFETY: the caller's promise; json_object_set_new takes over the new
    // values, and null objects and values are errors to it, not accesses.
    unsafe {
        let object = (jansson.object)();
        (jansson.set_new)(object, c"code".as_ptr(), (jansson.integer)(code.into()));
        (jansson.set_new)(object, c"message".as_ptr(), (jansson.string)(message));
        if !data.is_null() {
            (jansson.set_new)(object, c"data".as_ptr(), data.cast());
        }
        object.cast()
    }
}

/// Makes the error object of one of the specification's codes.
///
/// # Safety
/// As [`jsonrpc_error_object`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn jsonrpc_error_object_predefined(
    code: c_int,
    data: *mut c_void,
) -> *mut c_void {
    let message = match code {
        -32700 => c"Parse Error",
        -32600 => c"Invalid Request",
        -32601 => c"Method not found",
        -32602 => c"Invalid params",
        -32603 => c"Internal error",
        _ => c"Server error",
    };
    // SAFETY: the caller's promise.
    unsafe { jsonrpc_error_object(code, message.as_ptr(), data) }
}
