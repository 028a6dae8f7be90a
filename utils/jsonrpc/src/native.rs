//! The server's side of rpcplugin.h.
//!
//! What a plugin hands over is checked as far as it can be: its version, that
//! its functions are there, that its texts are UTF-8 and JSON.

// Functions of another library are called here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::ManuallyDrop;

use libloading::os::unix::Library;
use rpcplugin::abi::{ABI, Answer, ENTRY, Entry, Table};
use rpcplugin::{Code, Error, Json};

use crate::link::{LoadError, symbol};
use crate::methods::Methods;

/// Most methods a table may have: beyond that it lacks its end.
const MAX_METHODS: usize = 4096;

/// A plugin with the interface of rpcplugin.h.
#[derive(Debug)]
pub(crate) struct NativePlugin {
    table: &'static Table,
    methods: Vec<&'static str>,
}

impl NativePlugin {
    /// The plugin in a library, if it has this interface.
    pub(crate) fn find(library: &ManuallyDrop<Library>) -> Result<Option<NativePlugin>, LoadError> {
        // SAFETY: rpcplugin.h gives the function of this name this type.
        let Some(entry) = (unsafe { symbol::<Entry>(library, ENTRY) }) else {
            return Ok(None);
        };
        // SAFETY: the function takes any version and returns a table or null.
        let table = unsafe { entry(ABI).as_ref() };
        let incompatible = |why: String| Err(LoadError::Incompatible(why));
        let Some(table) = table else {
            return incompatible(format!("it does not support version {ABI} of rpcplugin.h"));
        };
        if table.abi != ABI {
            return incompatible(format!("it is for version {} of rpcplugin.h", table.abi));
        }
        if table.open.is_none() || table.call.is_none() || table.close.is_none() {
            return incompatible("its table lacks a function".to_string());
        }
        match methods(table) {
            Some(methods) => Ok(Some(NativePlugin { table, methods })),
            None => incompatible("its table of methods is not valid".to_string()),
        }
    }

    /// Opens the plugin for one client.
    pub(crate) fn open(&self, config: &str) -> Result<Connection<'_>, Error> {
        let config =
            CString::new(config).map_err(|_| Error::internal("the option -C has a NUL"))?;
        let open = self.table.open.ok_or_else(incomplete)?;
        let mut connection = std::ptr::null_mut();
        let mut outcome = None;
        let mut answer = answer_into(&mut outcome);
        // SAFETY: the pointers are valid for the call, as rpcplugin.h asks.
        let opened = unsafe { open(config.as_ptr(), &raw mut connection, &raw mut answer) };
        if opened == 0 {
            return Ok(Connection {
                plugin: self,
                connection,
            });
        }
        Err(match outcome {
            Some(Err(error)) => error,
            Some(Ok(_)) | None => Error::internal("the plugin does not open"),
        })
    }
}

/// One client's plugin.
pub(crate) struct Connection<'a> {
    plugin: &'a NativePlugin,
    connection: *mut c_void,
}

impl Methods for Connection<'_> {
    fn call(&mut self, method: &str, params: Option<&str>) -> Result<Json, Error> {
        let methods = &self.plugin.methods;
        let Some(index) = methods.iter().position(|name| *name == method) else {
            return Err(Error::of(Code::MethodNotFound));
        };
        let call = self.plugin.table.call.ok_or_else(incomplete)?;
        // JSON has no NUL, so none is in the way of the one that ends it.
        let text = params.map(CString::new).transpose();
        let text = text.map_err(|_| Error::of(Code::InvalidParams))?;
        let (params, length) = match &text {
            Some(text) => (text.as_ptr(), text.as_bytes().len()),
            None => (std::ptr::null(), 0),
        };
        let mut outcome = None;
        let mut answer = answer_into(&mut outcome);
        // SAFETY: `open` made the connection, `&mut self` keeps calls apart,
        // and the other pointers are valid for the call.
        unsafe { call(self.connection, index, params, length, &raw mut answer) };
        outcome.unwrap_or_else(|| Err(Error::internal("the plugin gave no answer")))
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(close) = self.plugin.table.close {
            // SAFETY: `open` made the connection; nobody uses it after this.
            unsafe { close(self.connection) };
        }
    }
}

/// The names in a table, if they are UTF-8 and end.
fn methods(table: &'static Table) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    if table.methods.is_null() {
        return None;
    }
    while names.len() < MAX_METHODS {
        // SAFETY: the list reaches to its null, where this loop ends.
        let name = unsafe { (*table.methods.add(names.len())).0 };
        if name.is_null() {
            return Some(names);
        }
        // SAFETY: what is not null is a C string, valid for ever.
        names.push(unsafe { CStr::from_ptr(name) }.to_str().ok()?);
    }
    None
}

type Outcome = Option<Result<Json, Error>>;

/// An answer that is left in `outcome`.
fn answer_into(outcome: &mut Outcome) -> Answer {
    Answer {
        server: (&raw mut *outcome).cast(),
        result: take_result,
        error: take_error,
    }
}

/// `answer->result` of rpcplugin.h.
unsafe extern "C" fn take_result(answer: *mut Answer, json: *const c_char, length: usize) {
    let text = if json.is_null() {
        None
    } else {
        // SAFETY: the plugin passes `length` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(json.cast::<u8>(), length) };
        std::str::from_utf8(bytes).ok()
    };
    let result = text.and_then(Json::parse);
    let result = result.ok_or_else(|| Error::internal("the plugin's result is not JSON"));
    // SAFETY: the plugin passes the answer it was given.
    unsafe { leave(answer, result) };
}

/// `answer->error` of rpcplugin.h.
unsafe extern "C" fn take_error(
    answer: *mut Answer,
    code: i32,
    message: *const c_char,
    data: *const c_char,
) {
    // SAFETY: the plugin passes C strings, or null.
    let (message, data) = unsafe { (text(message), text(data)) };
    let error = Error {
        code,
        message: message.unwrap_or_default().into(),
        data: data.as_deref().and_then(Json::parse),
    };
    // SAFETY: the plugin passes the answer it was given.
    unsafe { leave(answer, Err(error)) };
}

/// # Safety
/// `answer` comes from [`answer_into`], whose outcome still lives.
unsafe fn leave(answer: *mut Answer, result: Result<Json, Error>) {
    // SAFETY: the caller's promise.
    let outcome: &mut Outcome = unsafe { &mut *(*answer).server.cast() };
    *outcome = Some(result);
}

/// # Safety
/// `text` is a C string or null.
pub(crate) unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}

fn incomplete() -> Error {
    Error::internal("the plugin's table lacks a function")
}
