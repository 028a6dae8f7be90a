//! What a plugin of either kind is to the rest: methods to call.

use rpcplugin::{Error, Json};

/// The methods that one client can call, with what they remember of it.
pub trait Methods {
    /// Calls a method. `params` is the text of a JSON array or object.
    ///
    /// # Errors
    /// The error member of the answer; "Method not found" among others.
    fn call(&mut self, method: &str, params: Option<&str>) -> Result<Json, Error>;
}
