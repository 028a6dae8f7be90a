//! The C interface of `rpcplugin.h`, word for word.
//!
//! These types are what both sides compile against: the server reads a [`Table`], and
//! [`export!`](crate::export!) makes one. The functions behind the table of a Rust plugin are in
//! [`mod@crate::export`].

// Only the two Sync impls for tables of constants are unsafe here.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

/// The version of this interface (`RPCPLUGIN_ABI`).
pub const ABI: u32 = 2;

/// Where a call leaves its answer (`struct rpcplugin_answer`).
#[repr(C)]
#[derive(Debug)]
pub struct Answer {
    /// The server's own.
    pub server: *mut c_void,
    /// Takes a result: JSON and its length in bytes.
    pub result: unsafe extern "C" fn(*mut Answer, *const c_char, usize),
    /// Takes an error: code, message, and data (JSON) or null.
    pub error: unsafe extern "C" fn(*mut Answer, i32, *const c_char, *const c_char),
    /// Whether the answer is still wanted: 1 or 0.
    pub wanted: unsafe extern "C" fn(*mut Answer) -> c_int,
    /// Asks for memory in bytes: 1 if it is granted, else 0.
    pub reserve: unsafe extern "C" fn(*mut Answer, usize) -> c_int,
    /// The network address of the client as text, or null.
    pub client: *const c_char,
}

/// What a plugin exports (`struct rpcplugin`). The pointers are `None` only in the table of a
/// faulty plugin.
#[repr(C)]
#[derive(Debug)]
pub struct Table {
    /// The version of the interface the plugin was built for.
    pub abi: u32,
    /// The names of the methods, ended by a null.
    pub methods: *const Name,
    /// A client has come.
    pub open: Option<unsafe extern "C" fn(*const c_char, *mut *mut c_void, *mut Answer) -> c_int>,
    /// The client calls a method, by its index.
    pub call: Option<unsafe extern "C" fn(*mut c_void, usize, *const c_char, usize, *mut Answer)>,
    /// The client has gone.
    pub close: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: a table and what it points to are constants of the plugin.
unsafe impl Sync for Table {}

/// The name of a method: a C string, or the null that ends the list.
#[repr(transparent)]
#[derive(Debug, Clone, Copy)]
pub struct Name(pub *const c_char);

// SAFETY: a name points to a constant of the plugin.
unsafe impl Sync for Name {}

impl Name {
    /// The end of a list of names.
    pub const END: Name = Name(std::ptr::null());

    /// A name from a literal that ends with its NUL.
    pub const fn new(text: &'static str) -> Name {
        let bytes = text.as_bytes();
        assert!(
            bytes[bytes.len() - 1] == 0,
            "a method's name ends with a NUL"
        );
        Name(text.as_ptr().cast())
    }
}

/// The type of the function a plugin exports as [`ENTRY`].
pub type Entry = unsafe extern "C" fn(u32) -> *const Table;

/// The name of that function.
pub const ENTRY: &str = "rpcplugin_entry";
