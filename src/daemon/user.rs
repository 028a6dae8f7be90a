//! Giving privileges up: the user the daemon becomes, and its capabilities, for good.

use std::ffi::CString;
use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::unistd::{Uid, User, geteuid, initgroups, setresgid, setresuid, setuid};

/// Looks a user up.
///
/// # Errors
/// An unknown user, or a list of users that cannot be read.
pub(crate) fn find(name: &str) -> io::Result<User> {
    User::from_name(name)?.ok_or_else(|| {
        let reason = format!("there is no user '{name}' on this machine");
        io::Error::new(io::ErrorKind::NotFound, reason)
    })
}

/// The name of the user that this process is, or its number where the list of users has none.
pub(crate) fn own_name() -> String {
    let uid = geteuid();
    let known = User::from_uid(uid).ok().flatten();
    known.map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// Becomes `user`, if one is given, with its groups, its group and all ids of each; then gives
/// every capability up, as root too (capabilities(7)). Neither this process nor a program it runs
/// gets any of it again (prctl(2), PR_SET_NO_NEW_PRIVS).
///
/// Call it before any thread is made: capabilities are a thread's own, and inherited.
///
/// # Errors
/// No right to become the user.
pub(crate) fn give_up_privileges(user: Option<&User>) -> io::Result<()> {
    // First, since it is itself a privilege; who has not got it has none to pass on.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(other)? {
        caps::clear(None, CapSet::Bounding).map_err(other)?;
    }
    if let Some(user) = user {
        become_user(user)?;
    }
    prctl::set_no_new_privs()?;
    // The ambient set goes with the permitted one.
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(other)?;
    }
    Ok(())
}

fn become_user(user: &User) -> io::Result<()> {
    if geteuid().is_root() {
        let name = CString::new(user.name.as_str())?;
        initgroups(&name, user.gid)?;
        setresgid(user.gid, user.gid, user.gid)?;
        setresuid(user.uid, user.uid, user.uid)?;
    } else if geteuid() != user.uid {
        let reason = format!("only root can become '{}'", user.name);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    if !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other("the way back to root is still open"));
    }
    Ok(())
}

fn other(error: CapsError) -> io::Error {
    io::Error::other(error.to_string())
}
