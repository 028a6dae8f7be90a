//! Giving privileges up: the user the daemon becomes, and its capabilities, for good.

use std::ffi::CString;
use std::io;

use nix::sys::prctl;
use nix::unistd::{Uid, User, geteuid, initgroups, setresgid, setresuid, setuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

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
    if capabilities(None)?
        .effective
        .contains(CapabilitySet::SETPCAP)
    {
        clear_bounding_set()?;
    }
    if let Some(user) = user {
        become_user(user)?;
    }
    prctl::set_no_new_privs()?;
    // The ambient set goes with the permitted one.
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

/// Takes every capability the kernel knows from what this thread's programs can ever have.
fn clear_bounding_set() -> io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel's last capability was the one before.
            Err(Errno::INVAL) if number > 0 => break,
            Err(error) => return Err(error.into()),
        }
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
