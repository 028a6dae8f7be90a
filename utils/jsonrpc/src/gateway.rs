//! Plugins of the C gateway: `jsonrpc_init` and `jsonrpc_release`, with jansson values between.
//!
//! The C gateway runs a process for each client, so its plugins need not be safe in threads. Here
//! only one of their calls runs at a time, for all clients.

// Functions of another library are called here.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libloading::os::unix::Library;
use rpcplugin::{Code, Error, Json};
use serde_json::{Map, Value as JsonValue};

use crate::jansson::{Jansson, RawJson, Value};
use crate::link::{LoadError, symbol};
use crate::methods::{Call, Methods};

/// Most entries of a table; a longer one has no end.
const MAX_METHODS: usize = 4096;

/// Held while a plugin runs, and while values of its library are used.
static RUNNING: Mutex<()> = Mutex::new(());

/// `struct jsonrpc_method_entry_t`.
#[repr(C)]
struct Entry {
    name: *const c_char,
    function: Option<unsafe extern "C" fn(*mut RawJson, *mut *mut RawJson, *mut c_void) -> c_int>,
    params_spec: *const c_char,
}

type Init = unsafe extern "C" fn(*mut *mut Entry, *mut c_char) -> *mut c_void;
type Release = unsafe extern "C" fn(*mut c_void);

/// A plugin of the C gateway.
#[derive(Debug)]
pub(crate) struct GatewayPlugin {
    jansson: Jansson,
    init: Init,
    release: Release,
}

impl GatewayPlugin {
    /// The plugin in a library, if it has this interface.
    pub(crate) fn find(
        library: &ManuallyDrop<Library>,
    ) -> Result<Option<GatewayPlugin>, LoadError> {
        // SAFETY: the C gateway gives the functions of these names these types.
        unsafe {
            let Some(init) = symbol(library, "jsonrpc_init") else {
                return Ok(None);
            };
            let release = symbol(library, "jsonrpc_release").ok_or_else(|| {
                let why = "a plugin of the C gateway, but without jsonrpc_release";
                LoadError::Incompatible(why.to_string())
            })?;
            let jansson = Jansson::find(library)?;
            Ok(Some(GatewayPlugin {
                jansson,
                init,
                release,
            }))
        }
    }

    /// Opens the plugin for one client.
    pub(crate) fn open(&self, config: &str) -> Result<Connection<'_>, Error> {
        let config =
            CString::new(config).map_err(|_| Error::internal("the option -C has a NUL"))?;
        let mut table = std::ptr::null_mut();
        // The plugin may keep or change the string, so it is the connection's.
        let config = config.into_raw();
        let running = run();
        // SAFETY: the place and the string are valid, the string for as long
        // as the connection.
        let context = unsafe { (self.init)(&raw mut table, config) };
        drop(running);
        if table.is_null() || context.is_null() {
            // Not released: a plugin would use the null as its context.
            // SAFETY: the string is ours, and the plugin has nothing that could keep it.
            drop(unsafe { CString::from_raw(config) });
            let why = "jsonrpc_init of the plugin returned NULL: it cannot use its -C";
            return Err(Error::internal(why));
        }
        Ok(Connection {
            plugin: self,
            table,
            context,
            config,
        })
    }
}

/// One client's plugin.
pub(crate) struct Connection<'a> {
    plugin: &'a GatewayPlugin,
    /// Ends with an entry without a name.
    table: *mut Entry,
    context: *mut c_void,
    config: *mut c_char,
}

impl Connection<'_> {
    fn entry(&self, method: &str) -> Option<&Entry> {
        let method = CString::new(method).ok()?;
        for index in 0..MAX_METHODS {
            // SAFETY: the table reaches to the entry without a name, where
            // this loop ends.
            let entry = unsafe { &*self.table.add(index) };
            if entry.name.is_null() {
                return None;
            }
            // SAFETY: what is not null is a C string of the plugin.
            if unsafe { CStr::from_ptr(entry.name) } == method.as_c_str() {
                return Some(entry);
            }
        }
        None
    }
}

impl Methods for Connection<'_> {
    fn call(
        &mut self,
        call: &mut Call<'_>,
        method: &str,
        params: Option<&str>,
    ) -> Result<Json, Error> {
        // Held until the values are freed: they may share parts with other values of the plugin.
        let _running = run();
        if !call.is_wanted() {
            return Err(Error::of(Code::InternalError));
        }
        let jansson = self.plugin.jansson;
        let entry = self
            .entry(method)
            .ok_or_else(|| Error::of(Code::MethodNotFound))?;
        let function = entry
            .function
            .ok_or_else(|| Error::of(Code::InternalError))?;
        if let Some(text) = params {
            call.reserve(tree_size(text))?;
        }
        let params = params.map(|text| jansson.parse(text)).transpose();
        let params = params.map_err(|why| Error::invalid_params(&why))?;
        if !entry.params_spec.is_null() {
            // SAFETY: what is not null is a C string of the plugin.
            validate(params.as_ref(), unsafe {
                CStr::from_ptr(entry.params_spec)
            })?;
        }
        let borrowed = params.as_ref().map_or(std::ptr::null_mut(), Value::as_ptr);
        let mut result = std::ptr::null_mut();
        // SAFETY: the parameters outlive the call, which borrows them; init
        // made the context, and `&mut self` keeps calls apart.
        let failed = unsafe { function(borrowed, &raw mut result, self.context) } != 0;
        // SAFETY: the function leaves a new reference, or null.
        let result = unsafe { jansson.own(result) };
        let text = match &result {
            Some(value) => value.to_text(&mut |bytes| call.reserve(bytes))?,
            None => None,
        };
        let json = text.as_deref().and_then(Json::parse);
        match json {
            // A function that returns an error code may leave a result: adduser of the C gateway
            // returns 101 and "user added".
            Some(json) => match failed.then(|| error_member(&json)).flatten() {
                Some(error) => Err(error),
                None => Ok(json),
            },
            None => Err(Error::of(Code::InternalError)),
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let _running = run();
        // SAFETY: init made the context, `open` the string; nobody uses them
        // after this.
        unsafe {
            (self.plugin.release)(self.context);
            drop(CString::from_raw(self.config));
        }
    }
}

/// The memory that jansson takes for the values in a text, roughly, in bytes: each begins after one
/// of these characters, a member of an object after two.
fn tree_size(text: &str) -> usize {
    const VALUE: usize = 96;
    let marks = text.bytes().filter(|byte| b"[{,:".contains(byte));
    text.len() + marks.count() * VALUE
}

fn run() -> MutexGuard<'static, ()> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `params_spec`: "" is none, else a format of json_unpack.
fn validate(params: Option<&Value>, spec: &CStr) -> Result<(), Error> {
    let Some(params) = params else {
        if spec.is_empty() {
            return Ok(());
        }
        return Err(Error::invalid_params("the method takes parameters"));
    };
    if spec.is_empty() {
        if params.is_empty_array() {
            return Ok(());
        }
        return Err(Error::invalid_params("the method takes no parameters"));
    }
    params
        .validate(spec)
        .map_err(|why| Error::invalid_params(&why))
}

/// The error object that the plugin left, if it is one (section 5.1).
fn error_member(json: &Json) -> Option<Error> {
    let object: Map<String, JsonValue> = serde_json::from_str(json.as_str()).ok()?;
    let code = object.get("code")?.as_i64()?;
    let message = object.get("message")?.as_str()?;
    Some(Error {
        code: i32::try_from(code).ok()?,
        message: message.to_string().into(),
        data: object.get("data").map(Json::of),
    })
}
