//! The server's side of rpcplugin.h.
//!
//! Checks what a plugin passes as far as possible: its version, that all its functions are there,
//! that its texts are UTF-8 and JSON.

// Functions of another library are called here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::net::IpAddr;

use libloading::os::unix::Library;
use rpcplugin::abi::{ABI, Answer, ENTRY, Entry, Table};
use rpcplugin::{Code, Error, Json};

use crate::budget::Budget;
use crate::link::{LoadError, symbol};
use crate::methods::{Call, Methods};

/// Most methods of a table; a longer one has no end.
const MAX_METHODS: usize = 4096;

/// Longest message and data of a plugin's error, in bytes.
const MAX_ERROR: usize = 16 * 1024;

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

    /// Opens the plugin for one client, with the address it is known to have.
    pub(crate) fn open(
        &self,
        config: &str,
        client: Option<IpAddr>,
        budget: &Budget,
    ) -> Result<Connection<'_>, Error> {
        let config =
            CString::new(config).map_err(|_| Error::internal("the option -C has a NUL"))?;
        // An address has no NUL.
        let client = client.and_then(|client| CString::new(client.to_string()).ok());
        let open = self.table.open.ok_or_else(incomplete)?;
        let mut connection = std::ptr::null_mut();
        let mut call = Call::of_server(budget);
        let mut pending = Pending::new(&mut call);
        let mut answer = pending.answer(client.as_deref());
        // SAFETY: the pointers are valid for the call, as rpcplugin.h asks.
        let opened = unsafe { open(config.as_ptr(), &raw mut connection, &raw mut answer) };
        if opened == 0 {
            return Ok(Connection {
                plugin: self,
                connection,
                client,
            });
        }
        Err(match pending.outcome {
            Some(Err(error)) => error,
            Some(Ok(_)) | None => Error::internal("the plugin does not open"),
        })
    }
}

/// One client's plugin.
pub(crate) struct Connection<'a> {
    plugin: &'a NativePlugin,
    connection: *mut c_void,
    /// The address of the client.
    client: Option<CString>,
}

impl Methods for Connection<'_> {
    fn call(
        &mut self,
        call: &mut Call<'_>,
        method: &str,
        params: Option<&str>,
    ) -> Result<Json, Error> {
        let methods = &self.plugin.methods;
        let Some(index) = methods.iter().position(|name| *name == method) else {
            return Err(Error::of(Code::MethodNotFound));
        };
        let function = self.plugin.table.call.ok_or_else(incomplete)?;
        // JSON text has no NUL, so the C string ends where the text does.
        let text = params.map(CString::new).transpose();
        let text = text.map_err(|_| Error::of(Code::InvalidParams))?;
        let (params, length) = match &text {
            Some(text) => (text.as_ptr(), text.as_bytes().len()),
            None => (std::ptr::null(), 0),
        };
        let mut pending = Pending::new(call);
        let mut answer = pending.answer(self.client.as_deref());
        // SAFETY: `open` made the connection, `&mut self` keeps calls apart,
        // and the other pointers are valid for the call.
        unsafe { function(self.connection, index, params, length, &raw mut answer) };
        let outcome = pending.outcome;
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

/// A call that a plugin is answering.
struct Pending<'a, 'b> {
    outcome: Option<Result<Json, Error>>,
    call: &'a mut Call<'b>,
}

impl<'a, 'b> Pending<'a, 'b> {
    fn new(call: &'a mut Call<'b>) -> Pending<'a, 'b> {
        Pending {
            outcome: None,
            call,
        }
    }

    /// What the plugin is given: it leads back to this value.
    fn answer(&mut self, client: Option<&CStr>) -> Answer {
        Answer {
            server: (&raw mut *self).cast(),
            result: take_result,
            error: take_error,
            wanted: is_wanted,
            reserve,
            client: client.map_or(std::ptr::null(), CStr::as_ptr),
        }
    }
}

/// The call behind an answer.
///
/// # Safety
/// `answer` comes from [`Pending::answer`]; its call has not returned, and nothing else uses it
/// meanwhile.
unsafe fn pending<'a>(answer: *mut Answer) -> &'a mut Pending<'a, 'a> {
    // SAFETY: the caller's promise.
    unsafe { &mut *(*answer).server.cast() }
}

/// `answer->result` of rpcplugin.h.
unsafe extern "C" fn take_result(answer: *mut Answer, json: *const c_char, length: usize) {
    // SAFETY: the plugin passes the answer it was given.
    let pending = unsafe { pending(answer) };
    // It may leave several: the last one counts.
    pending.outcome = None;
    if let Err(busy) = pending.call.reserve(length) {
        pending.outcome = Some(Err(busy));
        return;
    }
    let text = if json.is_null() {
        None
    } else {
        // SAFETY: the plugin passes `length` bytes.
        let bytes = unsafe { std::slice::from_raw_parts(json.cast::<u8>(), length) };
        std::str::from_utf8(bytes).ok()
    };
    let result = text.and_then(Json::parse);
    pending.outcome =
        Some(result.ok_or_else(|| Error::internal("the plugin's result is not JSON")));
}

/// `answer->error` of rpcplugin.h.
unsafe extern "C" fn take_error(
    answer: *mut Answer,
    code: i32,
    message: *const c_char,
    data: *const c_char,
) {
    // SAFETY: the plugin passes the answer it was given.
    let pending = unsafe { pending(answer) };
    // SAFETY: the plugin passes C strings, or null.
    let (message, data) = unsafe { (text(message), text(data)) };
    pending.outcome = Some(Err(Error {
        code,
        message: message.unwrap_or_default().into(),
        data: data.as_deref().and_then(Json::parse),
    }));
}

/// `answer->wanted` of rpcplugin.h.
unsafe extern "C" fn is_wanted(answer: *mut Answer) -> c_int {
    // SAFETY: the plugin passes the answer it was given.
    unsafe { pending(answer) }.call.is_wanted().into()
}

/// `answer->reserve` of rpcplugin.h.
unsafe extern "C" fn reserve(answer: *mut Answer, bytes: usize) -> c_int {
    // SAFETY: the plugin passes the answer it was given.
    unsafe { pending(answer) }
        .call
        .reserve(bytes)
        .is_ok()
        .into()
}

/// The start of a plugin's text: an error is a sentence.
///
/// # Safety
/// `text` is a C string or null.
unsafe fn text(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    let bytes = &bytes[..bytes.len().min(MAX_ERROR)];
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn incomplete() -> Error {
    Error::internal("the plugin's table lacks a function")
}
