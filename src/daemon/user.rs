//! Giving privileges up: the user the daemon becomes, for good.

use std::ffi::CString;
use std::io;

use nix::sys::prctl;
use nix::unistd::{Uid, User, geteuid, initgroups, setresgid, setresuid, setuid};

/// Looks a user up.
///
/// # Errors
/// An unknown user, or a list of users that cannot be read.
pub fn find_user(name: &str) -> io::Result<User> {
    User::from_name(name)?.ok_or_else(|| {
        let reason = format!("there is no user '{name}' on this machine");
        io::Error::new(io::ErrorKind::NotFound, reason)
    })
}

/// Becomes `user` for good: its groups, its group, its user, all ids of each, and neither
/// they nor a program that is run later get privileges again (prctl(2), PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// No right to become it.
pub fn become_user(user: &User) -> io::Result<()> {
    if geteuid().is_root() {
        let name = CString::new(user.name.as_str())?;
        initgroups(&name, user.gid)?;
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
    } else if geteuid() != user.uid {
        let reason = format!("only root can become '{}'", user.name);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    prctl::set_no_new_privs()?;
    if !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("the way back to root is still open"));
    }
    Ok(())
}
