//! Ground: words the reason of a failure for the log.

use std::fmt::Display;

use common::Reason;

/// Returns an error's text as part of a sentence: `Permission denied (os error 13)` becomes
/// `permission denied`.
pub(crate) fn reason(error: &impl Display) -> String {
    Reason(&error.to_string()).to_string()
}
