//! Plugins of websocket_jsonrpc in Rust.
//!
//! A plugin is a `cdylib`: a type that implements [`Plugin`], functions that answer its methods,
//! and one [`export!`] that lists them. The C interface of `include/rpcplugin.h` stands in [`abi`],
//! and [`mod@export`] leads from it to the plugin: nobody else needs to know it. A panic of the
//! plugin ends its client's session with an internal error and leaves the server running.
//!
//! A handler that works for long asks [`is_wanted`] now and then; one that needs much memory asks
//! [`reserve`] first.
//!
//! ```
//! use rpcplugin::{Error, Json, Params, Plugin};
//!
//! struct Greeter(String);
//!
//! impl Plugin for Greeter {
//!     fn open(config: &str) -> Result<Self, Error> {
//!         Ok(Greeter(config.to_string()))
//!     }
//! }
//!
//! fn greet(greeter: &mut Greeter, params: Params<'_>) -> Result<Json, Error> {
//!     let [name] = params.members(["name"])?;
//!     let name = name.and_then(rpcplugin::text);
//!     let name = name.ok_or_else(|| Error::invalid_params("name is missing"))?;
//!     Ok(Json::of(&format!("{} {name}", greeter.0)))
//! }
//!
//! rpcplugin::export!(Greeter { "greet" => greet });
//! # fn main() {}
//! ```

#![deny(unsafe_code)]

pub mod abi;
mod call;
mod error;
pub mod export;
mod json;

pub use call::{client, is_wanted, reserve};
pub use error::{Code, Error};
pub use json::{Json, Params, members, text};

/// What a plugin keeps for one client.
pub trait Plugin: Sized + 'static {
    /// A client has come; `config` is the string of the option `-C`.
    ///
    /// # Errors
    /// Why this client cannot be served. Its calls get internal errors.
    fn open(config: &str) -> Result<Self, Error>;
}

/// A function that answers one method.
pub type Handler<P> = fn(&mut P, Params<'_>) -> Result<Json, Error>;

/// Exports a plugin: its type, and the function that answers each method.
#[macro_export]
macro_rules! export {
    ($plugin:ty { $($name:literal => $handler:path),+ $(,)? }) => {
        impl $crate::export::Exported for $plugin {
            const HANDLERS: &'static [$crate::Handler<Self>] = &[$($handler),+];
        }

        /// The names of the methods, in the order of their handlers.
        static RPCPLUGIN_METHODS: &[$crate::abi::Name] = &[
            $($crate::abi::Name::new(concat!($name, "\0"))),+,
            $crate::abi::Name::END,
        ];

        static RPCPLUGIN: $crate::abi::Table =
            $crate::abi::Table::of::<$plugin>(RPCPLUGIN_METHODS);

        /// The entry that websocket_jsonrpc looks for (rpcplugin.h).
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub extern "C" fn rpcplugin_entry(server_abi: u32) -> *const $crate::abi::Table {
            $crate::export::entry(server_abi, &RPCPLUGIN)
        }
    };
}
