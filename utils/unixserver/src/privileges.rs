//! Start-up: from the user that may bind to the user that serves.

use std::ffi::CString;

use nix::unistd::{self, User};

use crate::Error;

/// Looks the user of `-u` up, so that an unknown one ends the start early.
///
/// # Errors
/// [`Error::UnknownUser`].
pub(crate) fn find(name: &str) -> Result<User, Error> {
    User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| Error::UnknownUser(name.to_owned()))
}

/// Becomes `user` with all its groups, and for good: real, effective and saved ids change.
///
/// Nothing changes if the process already runs as that user.
///
/// # Errors
/// [`Error::CannotBecome`] if the process is neither root nor that user.
pub(crate) fn become_user(user: &User) -> Result<(), Error> {
    if unistd::geteuid() == user.uid && !user.uid.is_root() {
        return Ok(());
    }
    let refused = |error| Error::CannotBecome(user.name.clone(), error);
    let name = CString::new(user.name.as_str()).map_err(|_| refused(nix::Error::EINVAL))?;
    unistd::initgroups(&name, user.gid).map_err(refused)?;
    unistd::setresgid(user.gid, user.gid, user.gid).map_err(refused)?;
    unistd::setresuid(user.uid, user.uid, user.uid).map_err(refused)
}
