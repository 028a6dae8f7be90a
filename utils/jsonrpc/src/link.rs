//! Links a shared library into this program, and finds its functions.

// Linking runs code of the library; a function of it is trusted to have its type.
#![allow(unsafe_code)]

use std::error::Error;
use std::ffi::{OsStr, c_int};
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

/// The name of libjansson since its version 2.0, which all systems have.
const JANSSON: &str = "libjansson.so.4";

/// Loads a plugin. It is never unloaded, since a thread may be running its code.
///
/// Plugins of the C gateway need not be linked with libjansson, since that gateway is: where a
/// plugin lacks its functions, they are loaded for all.
pub(crate) fn link(path: &Path) -> Result<ManuallyDrop<Library>, LoadError> {
    open(path.as_os_str(), RTLD_LOCAL)
        .or_else(|error| {
            if error.contains("json_") && load_jansson().is_some() {
                open(path.as_os_str(), RTLD_LOCAL)
            } else {
                Err(error)
            }
        })
        .map_err(LoadError::Link)
}

/// Loads libjansson, where the system has it, for the plugins that lack it.
pub(crate) fn load_jansson() -> Option<ManuallyDrop<Library>> {
    open(JANSSON.as_ref(), RTLD_GLOBAL).ok()
}

fn open(name: &OsStr, scope: c_int) -> Result<ManuallyDrop<Library>, String> {
    // SAFETY: loading runs the library's constructors. The administrator named
    // it or installed it, and nobody else can have changed it.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | scope) };
    library
        .map(ManuallyDrop::new)
        .map_err(|error| reason(&error))
}

/// The message of dlerror(3), if there is one.
fn reason(error: &dyn Error) -> String {
    error.source().unwrap_or(error).to_string()
}

/// The function of this name in a library, if it is there.
///
/// # Safety
/// `T` is the type of the function of this name.
pub(crate) unsafe fn symbol<T: Copy>(library: &ManuallyDrop<Library>, name: &str) -> Option<T> {
    // SAFETY: the caller's promise.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    symbol.ok().map(|symbol| *symbol)
}

/// Why a plugin cannot be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be read.
    Open(io::Error),
    /// It is a directory, a pipe or a device.
    NotAFile,
    /// It belongs to this user, who is neither root nor the one that runs us.
    Owner(u32),
    /// Its permissions let others change it.
    WritableByOthers(u32),
    /// The dynamic linker cannot load it.
    Link(String),
    /// It has neither of the two interfaces.
    NotAPlugin,
    /// Its table is of another version, or incomplete.
    Incompatible(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Open(error) => write!(f, "{error}"),
            LoadError::NotAFile => f.write_str("not a regular file"),
            LoadError::Owner(owner) => write!(
                f,
                "it belongs to user {owner}; a plugin must belong to root or to the user \
                 that starts this program"
            ),
            LoadError::WritableByOthers(mode) => write!(
                f,
                "its mode {mode:04o} lets others than its owner write to it (try chmod go-w)"
            ),
            LoadError::Link(error) => f.write_str(error),
            LoadError::NotAPlugin => {
                f.write_str("not a plugin: it exports neither rpcplugin_entry nor jsonrpc_init")
            }
            LoadError::Incompatible(why) => f.write_str(why),
        }
    }
}

impl Error for LoadError {}
