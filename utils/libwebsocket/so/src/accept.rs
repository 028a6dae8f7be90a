//! accept: the gateway's connection goes in, the client's socket comes out.
//!
//! The gateway connects and sends one message: the client's `sockaddr` with
//! the client's descriptor. A connection without such a message is a plain
//! UNIX client and comes out as it is, whatever it sends.

use core::ffi::c_int;
use core::mem::{MaybeUninit, zeroed};
use core::sync::atomic::Ordering;

use libc::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_PEEK, SOCK_CLOEXEC, SOCK_NONBLOCK, iovec,
    msghdr, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t,
};

use crate::sys::{self, Errno, KeepErrno, from_c, next};
use crate::{lingering, table};

/// How long a fresh connection may keep silent before it counts as a plain
/// client, in milliseconds. The gateway sends at once.
const SILENCE: i64 = 300;

next! {
    fn next_accept = c"accept"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn next_accept4 = c"accept4"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
    fn next_getpeername = c"getpeername"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
}

/// accept(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(
    listener: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        let room = if address.is_null() || len.is_null() {
            0
        } else {
            *len
        };
        let fd = next_accept(listener, address, len);
        step_in(fd, address, len, room, 0)
    }
}

/// accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    listener: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        let room = if address.is_null() || len.is_null() {
            0
        } else {
            *len
        };
        let fd = next_accept4(listener, address, len, flags);
        step_in(fd, address, len, room, flags)
    }
}

/// Swaps a connection of the gateway for its client.
///
/// # Safety
/// `address` and `len` are accept's own, `room` what `*len` said before it.
unsafe fn step_in(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    room: socklen_t,
    flags: c_int,
) -> c_int {
    lingering::tend();
    if fd < 0 || sys::socket_option(fd, libc::SO_DOMAIN) != Some(libc::AF_UNIX) {
        return fd;
    }
    let saved = KeepErrno::new();
    let client = match receive(fd, flags) {
        Ok(None) => {
            // Not one that was closed behind our back.
            drop(table::remove(fd));
            return fd;
        }
        Ok(Some(client)) => client,
        Err(Errno(error)) => {
            // SAFETY: the connection is ours alone and of no use to anyone.
            unsafe { sys::close(fd) };
            drop(saved);
            sys::set_errno(error);
            return -1;
        }
    };
    // SAFETY: accept promised the caller's memory to be good for `room` bytes.
    unsafe {
        sys::close(fd);
        give_address(client.fd, address, len, room);
    }
    client.fd
}

/// A client that the gateway handed over, already in the table.
pub(crate) struct Client {
    pub(crate) fd: c_int,
}

/// Receives the client over the gateway's connection `fd`; None for a plain
/// UNIX client, of which nothing has been read then.
pub(crate) fn receive(fd: c_int, flags: c_int) -> Result<Option<Client>, Errno> {
    if !sys::wait_for(fd, libc::POLLIN, SILENCE) || !is_hand_over(fd) {
        return Ok(None);
    }
    let client = receive_descriptor(fd, flags)?;
    prepare(client, flags);
    if sys::socket_option(client, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
        && let Some(connection) = table::insert(client)
    {
        let on = flags & SOCK_NONBLOCK != 0;
        connection.nonblocking.store(on, Ordering::Relaxed);
        return Ok(Some(Client { fd: client }));
    }
    // SAFETY: the descriptor has just come and is known to nobody else.
    unsafe { sys::close(client) };
    Err(Errno(libc::ECONNABORTED))
}

/// Looks whether the first message is the gateway's, without taking it: a
/// client's IP address, and control data, of which the kernel can only say
/// that it was cut, with no room for any. A plain client's own control data
/// may be descriptors, or credentials if the server asks for them.
fn is_hand_over(fd: c_int) -> bool {
    const SIZE_V4: usize = size_of::<sockaddr_in>();
    const SIZE_V6: usize = size_of::<sockaddr_in6>();
    /// Enough to see that there is more than an address.
    const ROOM: usize = SIZE_V6 + 1;
    let mut data = [0u8; ROOM];
    let mut part = iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: ROOM,
    };
    // SAFETY: an all-zero msghdr is an empty one; the bytes are ours.
    let (n, cut) = unsafe {
        let mut message: msghdr = zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        let n = sys::recvmsg(fd, &mut message, MSG_PEEK | MSG_DONTWAIT);
        (n, message.msg_flags & MSG_CTRUNC != 0)
    };
    let family = c_int::from(u16::from_ne_bytes([data[0], data[1]]));
    cut && matches!(
        (n as usize, family),
        (SIZE_V4, libc::AF_INET) | (SIZE_V6, libc::AF_INET6)
    )
}

fn receive_descriptor(fd: c_int, flags: c_int) -> Result<c_int, Errno> {
    /// Room for more descriptors than the one there should be, so that a
    /// wrong message cannot leave any behind; as words, for their alignment.
    type Control = [usize; 16];
    let mut data = MaybeUninit::<sockaddr_storage>::uninit();
    let mut control: Control = [0; 16];
    let mut part = iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: size_of::<sockaddr_storage>(),
    };
    let mut found = None;
    // SAFETY: an all-zero msghdr is an empty one; data and control are ours
    // and as long as it says; the CMSG macros stay within them.
    unsafe {
        let mut message: msghdr = zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let cloexec = if flags & SOCK_CLOEXEC != 0 {
            MSG_CMSG_CLOEXEC
        } else {
            0
        };
        from_c(sys::recvmsg(fd, &mut message, MSG_DONTWAIT | cloexec))?;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(part) = header.as_ref() {
            if part.cmsg_level == libc::SOL_SOCKET && part.cmsg_type == libc::SCM_RIGHTS {
                let bytes = part.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(header).cast::<c_int>();
                for at in 0..bytes / size_of::<c_int>() {
                    let descriptor = first.add(at).read_unaligned();
                    if let Some(extra) = found.replace(descriptor) {
                        sys::close(extra);
                    }
                }
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    found.ok_or(Errno(libc::ECONNABORTED))
}

/// Gives the socket the mode accept was asked for, and no delay for small
/// messages.
fn prepare(client: c_int, flags: c_int) {
    let mode = sys::file_flags(client);
    let wanted = if flags & SOCK_NONBLOCK != 0 {
        mode | libc::O_NONBLOCK
    } else {
        mode & !libc::O_NONBLOCK
    };
    let on: c_int = 1;
    // SAFETY: plain system calls; the option's value is ours.
    unsafe {
        if wanted != mode {
            sys::fcntl(client, libc::F_SETFL, wanted as usize);
        }
        libc::setsockopt(
            client,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const on).cast(),
            size_of::<c_int>() as socklen_t,
        );
    }
}

/// The peer's address, of the kind that the caller's buffer was made for: a
/// server that offers room for exactly a `sockaddr_un` insists on one (Rust's
/// std fails otherwise); any other gets the client's own, as from the C
/// gateway's library.
///
/// # Safety
/// `address` has `room` bytes, unless `room` is 0.
pub(crate) unsafe fn give_address(
    client: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    room: socklen_t,
) {
    if address.is_null() || len.is_null() {
        return;
    }
    let family = libc::AF_UNIX as libc::sa_family_t;
    // SAFETY: the caller's promise; a family alone is an unnamed address.
    unsafe {
        if room as usize == size_of::<sockaddr_un>() {
            (*address).sa_family = family;
            *len = size_of_val(&family) as socklen_t;
        } else {
            *len = room;
            if next_getpeername(client, address, len) != 0 {
                *len = 0;
            }
        }
    }
}
