//! What plugins of both interfaces have in common: methods to call.

use rpcplugin::{Error, Json};

use crate::budget::{Budget, Share};
use crate::watch::Watch;

/// The methods that one client can call, with what they remember of it.
pub trait Methods {
    /// Calls a method. `params` is the text of a JSON array or object.
    ///
    /// # Errors
    /// The error member of the answer; "Method not found" among others.
    fn call(
        &mut self,
        call: &mut Call<'_>,
        method: &str,
        params: Option<&str>,
    ) -> Result<Json, Error>;
}

/// What a method may ask of the server while it runs.
pub struct Call<'a> {
    watch: Option<&'a Watch<'a>>,
    share: Share<'a>,
}

impl<'a> Call<'a> {
    /// A call whose answer `watch` knows to be wanted.
    pub fn new(watch: &'a Watch<'a>, budget: &'a Budget) -> Call<'a> {
        Call {
            watch: Some(watch),
            share: Share::new(budget),
        }
    }

    /// A call of the server's own, which always wants the answer.
    pub fn of_server(budget: &'a Budget) -> Call<'a> {
        Call {
            watch: None,
            share: Share::new(budget),
        }
    }

    /// Whether the answer is still wanted.
    pub fn is_wanted(&self) -> bool {
        self.watch.is_none_or(Watch::is_wanted)
    }

    /// Takes memory, in bytes, until the end of the call.
    ///
    /// # Errors
    /// [`Error::busy`] where there is not so much left.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        let all = self.share.bytes().checked_add(bytes);
        if all.is_some_and(|all| self.share.resize(all)) {
            Ok(())
        } else {
            Err(Error::busy())
        }
    }
}
