//! What a program asks about its socket. The client's socket answers as the gateway's connection
//! does, which is a UNIX one; only who asks for a peer without insisting on a UNIX address gets the
//! client's own.

use core::ffi::c_int;

use libc::{SOL_SOCKET, c_void, sockaddr, sockaddr_un, socklen_t};

use crate::connection::Ref;
use crate::handover;
use crate::sys::{self, next};

next! {
    fn next_getpeername = c"getpeername"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn next_getsockname = c"getsockname"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
}

/// SO_PEERPIDFD, which not every C library knows.
const SO_PEERPIDFD: c_int = 77;

/// Asks the gateway's connection; where that is not to be had, an unnamed UNIX address.
///
/// # Safety
/// As getpeername demands of its arguments.
unsafe fn unix_name(
    client: &Ref,
    address: *mut sockaddr,
    len: *mut socklen_t,
    ask: unsafe fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int,
) -> c_int {
    let arrival = client.arrival.lock();
    // SAFETY: the caller's promise; a family alone is an unnamed address.
    unsafe {
        if let Some(gateway) = arrival.gateway.as_ref().and_then(|gateway| gateway.get()) {
            return ask(gateway, address, len);
        }
        let family = libc::AF_UNIX as libc::sa_family_t;
        let size = size_of_val(&family);
        if *len as usize >= size {
            (*address).sa_family = family;
        }
        *len = size as socklen_t;
        0
    }
}

/// The client's own address, of which the buffer at `address` gets what it has room for.
///
/// # Safety
/// As getpeername demands of its arguments.
pub(crate) unsafe fn own_name(client: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { next_getpeername(client, address, len) }
}

/// getpeername(2): a buffer of exactly a `sockaddr_un` gets a UNIX address, any other the client's
/// own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: null or the program's.
    let is_unix =
        unsafe { len.as_ref() }.is_some_and(|len| *len as usize == size_of::<sockaddr_un>());
    let client = handover::for_asking(fd);
    // SAFETY: passed on; what the kernel could write to, so can this.
    unsafe {
        match client {
            Some(client) if is_unix && !address.is_null() => {
                unix_name(&client, address, len, next_getpeername)
            }
            _ => own_name(fd, address, len),
        }
    }
}

/// getsockname(2): where the program listens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: passed on; what the kernel could write to, so can this.
    unsafe {
        match handover::for_asking(fd) {
            Some(client) if !address.is_null() && !len.is_null() => {
                unix_name(&client, address, len, next_getsockname)
            }
            _ => next_getsockname(fd, address, len),
        }
    }
}

/// getsockopt(2): the gateway's connection tells the kind of socket and who is at its other end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    option: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    let is_of_unix = level == SOL_SOCKET
        && matches!(
            option,
            libc::SO_DOMAIN
                | libc::SO_PROTOCOL
                | libc::SO_PEERCRED
                | libc::SO_PEERSEC
                | libc::SO_PEERGROUPS
                | SO_PEERPIDFD
        );
    let mut asked = fd;
    if is_of_unix && let Some(client) = handover::for_asking(fd) {
        let arrival = client.arrival.lock();
        if let Some(gateway) = arrival.gateway.as_ref().and_then(|gateway| gateway.get()) {
            asked = gateway;
        }
    }
    // SAFETY: passed on.
    unsafe { sys::getsockopt(asked, level, option, value, len) }
}
