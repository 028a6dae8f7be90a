//! Is an accepted connection the gateway's, which brings a client, or a plain UNIX client's?
//!
//! The gateway connects and sends one message: the client's `sockaddr`, what else it says of the
//! client, and the client's descriptor. A connection without such a message is a plain client's and
//! stays as it is, whatever it sends. Which of the two it is shows at its first use, never by a
//! wait in accept: a read waits for bytes in any case, and only a write has to know before there
//! are any.
//!
//! The client takes the descriptor over, with all its duplicates and its places in epolls; the
//! gateway's connection gets a number of the library's own.

use core::ffi::c_int;
use core::mem::zeroed;
use core::sync::atomic::Ordering;

use common::handover;
use libc::{
    AF_INET, AF_INET6, EAGAIN, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK,
    SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, iovec, msghdr, socklen_t,
};

use crate::connection::{CONNECTIONS, Connection, Kind, Ref};
use crate::sys::hidden::Hidden;
use crate::sys::{self, Errno, KeepErrno, from_c};
use crate::told::Told;

/// How long a fresh connection may keep silent before it counts as a plain client's where that has
/// to be known, in milliseconds. The gateway sends at once.
const SILENCE: i64 = 300;

/// What tells the gateway that the client has arrived: any one byte does.
const ANSWER: u8 = b'\x06';

/// Puts a connection into the table that was just accepted; None without memory or place.
pub(crate) fn expect(fd: c_int, nonblocking: bool) -> Option<Ref> {
    let connection = Connection::new(sys::now_ms() + SILENCE, nonblocking);
    CONNECTIONS.insert(fd, connection)
}

/// What the connection is, as far as that shows now; the descriptor is the client's if it is one.
/// Keeps errno, and never waits.
pub(crate) fn look(connection: &Ref, fd: c_int) -> Kind {
    if connection.kind() != Kind::Unknown {
        return connection.kind();
    }
    let _errno = KeepErrno::new();
    let mut arrival = connection.arrival.lock();
    if connection.kind() == Kind::Unknown {
        match first_message(fd) {
            First::None => {}
            First::Other => refuse_or_leave(connection, fd),
            First::HandOver => match receive_client(fd) {
                Ok(client) => {
                    connection.message_type.set_code(client.code);
                    arrival.told = client.told;
                    arrival.gateway = take_over(connection, fd, client.fd);
                }
                // The client is lost: to the server it is one that has left.
                Err(_) => {
                    // SAFETY: a plain system call.
                    unsafe { sys::shutdown(fd, libc::SHUT_RDWR) };
                    refuse_or_leave(connection, fd);
                }
            },
        }
    }
    connection.kind()
}

/// What a call that reads has to do with: a client, or, for None, something that is the kernel's.
/// Waits as the call itself would.
///
/// # Errors
/// EAGAIN where the call must not block, or that of the wait.
pub(crate) fn for_reading(fd: c_int, flags: c_int) -> Result<Option<Ref>, Errno> {
    let Some(connection) = CONNECTIONS.find(fd) else {
        return Ok(None);
    };
    loop {
        match look(&connection, fd) {
            Kind::Client => return Ok(Some(connection)),
            Kind::Plain => return Ok(None),
            Kind::Unknown if connection.must_not_block(flags) => return Err(Errno(EAGAIN)),
            Kind::Unknown => {
                let _use = connection.in_use();
                // A read, for the socket's own timeout and the program's signals.
                sys::receive(fd, &mut [0], MSG_PEEK)?;
            }
        }
    }
}

/// The same for a call that writes, or has to know for another reason. It waits for the gateway's
/// message no longer than the gateway takes.
///
/// # Errors
/// EAGAIN where the call must not block.
pub(crate) fn for_writing(fd: c_int, flags: c_int) -> Result<Option<Ref>, Errno> {
    let Some(connection) = CONNECTIONS.find(fd) else {
        return Ok(None);
    };
    loop {
        match look(&connection, fd) {
            Kind::Client => return Ok(Some(connection)),
            Kind::Plain => return Ok(None),
            Kind::Unknown => {}
        }
        let left = silence_left(&connection);
        if left <= 0 {
            let _arrival = connection.arrival.lock();
            if connection.kind() == Kind::Unknown {
                refuse_or_leave(&connection, fd);
            }
        } else if connection.must_not_block(flags) {
            return Err(Errno(EAGAIN));
        } else {
            let _use = connection.in_use();
            sys::wait_for(fd, libc::POLLIN, left);
        }
    }
}

/// The client that a question about a descriptor is about, if it has come. Never waits.
pub(crate) fn for_asking(fd: c_int) -> Option<Ref> {
    let connection = CONNECTIONS.find(fd)?;
    (look(&connection, fd) == Kind::Client).then_some(connection)
}

/// How long a write to a connection that has said nothing is held back yet, in milliseconds; 0 or
/// less if it is not.
#[inline(never)]
pub(crate) fn silence_left(connection: &Connection) -> i64 {
    let until = connection.arrival.lock().silent_until;
    until - sys::now_ms()
}

/// What came over a connection first.
enum First {
    None,
    HandOver,
    Other,
}

/// Looks at the first message without taking it. The gateway's has a client's IP address, and
/// control data, of which the kernel can only say that it was cut, with no room for any. A plain
/// client's own control data may be descriptors, or credentials if the server asks for them.
fn first_message(fd: c_int) -> First {
    let mut data = [0u8; handover::SHOWN];
    let mut part = iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: an all-zero msghdr is an empty one; the bytes are this call's.
    let (result, is_cut) = unsafe {
        let mut message: msghdr = zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        let n = from_c(sys::recvmsg(fd, &mut message, MSG_PEEK | MSG_DONTWAIT));
        (n, message.msg_flags & MSG_CTRUNC != 0)
    };
    match result {
        Err(Errno(EAGAIN | libc::EINTR)) => First::None,
        Ok(n) if is_cut && address_len(&data[..n]).is_some() => First::HandOver,
        _ => First::Other,
    }
}

/// The length of the address in a hand-over's first bytes, if they are one's.
fn address_len(data: &[u8]) -> Option<usize> {
    handover::address_len(data, AF_INET as u16, AF_INET6 as u16)
}

/// What came with the gateway's message.
struct Client {
    /// Its socket, close-on-exec.
    fd: c_int,
    /// The code of its messages' type, 0 for none.
    code: u8,
    told: Option<Told>,
}

/// Takes the gateway's message.
fn receive_client(fd: c_int) -> Result<Client, Errno> {
    let mut data = [0; handover::MAX_DATA];
    let (client, n) = receive_descriptor(fd, &mut data)?;
    let behind = address_len(&data[..n]).map_or(&[][..], |len| &data[len..n]);
    let code = match handover::find(behind, handover::MESSAGE_TYPE) {
        Some(&[code]) => code,
        _ => 0,
    };
    if sys::socket_option(client, libc::SO_TYPE) == Some(libc::SOCK_STREAM) {
        return Ok(Client {
            fd: client,
            code,
            told: Told::of(behind),
        });
    }
    // SAFETY: the descriptor has just come and is known to nobody else.
    unsafe { sys::close(client) };
    Err(Errno(libc::ECONNABORTED))
}

/// The descriptor, and how many bytes of data came with it.
fn receive_descriptor(fd: c_int, data: &mut [u8]) -> Result<(c_int, usize), Errno> {
    /// Room for more descriptors than the one there should be. The kernel gives out no more than
    /// there is room for, and the further ones are closed here. As words, for their alignment.
    type Control = [usize; 16];
    let mut control: Control = [0; 16];
    let mut part = iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    let mut found = None;
    // SAFETY: an all-zero msghdr is an empty one; data and control are this
    // call's and as long as it says; the CMSG macros stay within them.
    let n = unsafe {
        let mut message: msghdr = zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let n = from_c(sys::recvmsg(
            fd,
            &mut message,
            MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
        ))?;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(part) = header.as_ref() {
            if part.cmsg_level == SOL_SOCKET && part.cmsg_type == libc::SCM_RIGHTS {
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
        n
    };
    found
        .map(|client| (client, n))
        .ok_or(Errno(libc::ECONNABORTED))
}

/// Puts the client's socket in the place of the gateway's connection; gives the latter under its
/// new number, unless that is not to be had.
fn take_over(connection: &Ref, fd: c_int, client: c_int) -> Option<Hidden> {
    copy_settings(fd, client);
    let gateway = {
        let watchers = connection.watchers.lock();
        // What watches the old socket unknown to the library is to lose it.
        let gateway = match watchers.have_unknown() {
            true => None,
            false => Hidden::of(fd),
        };
        watchers.move_to_new_socket(false);
        if connection.descriptors() > 1 {
            CONNECTIONS.for_each_of(connection, |fd| replace(fd, client));
        } else {
            replace(fd, client);
        }
        connection.set_kind(Kind::Client);
        watchers.move_to_new_socket(true);
        gateway
    };
    // SAFETY: nobody else knows this descriptor.
    unsafe { sys::close(client) };
    if let Some(gateway) = &gateway {
        let fd = gateway.get().unwrap_or(-1);
        answer(fd);
        // Threads that wait for this socket are woken to wait for the client's.
        // SAFETY: a plain system call.
        unsafe { sys::shutdown(fd, libc::SHUT_RD) };
    }
    gateway
}

/// Tells the gateway that its client has arrived. A gateway that does not listen for that may have
/// closed its side, which is of no concern.
fn answer(gateway: c_int) {
    let flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    let byte = [ANSWER];
    // SAFETY: a plain system call; the byte is this call's.
    unsafe { sys::send(gateway, byte.as_ptr().cast(), byte.len(), flags) };
}

/// websocket_receive: the client, whose descriptor is blocking and close-on-exec. Waits for the
/// gateway's message no longer than the gateway takes, and not at all on a socket that does not
/// block.
///
/// # Errors
/// EAGAIN where nothing has come, EPROTO for what is not the gateway's message, ENOMEM, or what
/// recvmsg(2) says.
pub(crate) fn receive(gateway: c_int) -> Result<c_int, Errno> {
    if sys::file_flags(gateway) & libc::O_NONBLOCK == 0 {
        sys::wait_for(gateway, libc::POLLIN, SILENCE);
    }
    match first_message(gateway) {
        First::None => return Err(Errno(EAGAIN)),
        First::Other => return Err(Errno(libc::EPROTO)),
        First::HandOver => {}
    }
    let Client {
        fd: client,
        code,
        told,
    } = receive_client(gateway)?;
    let flags = sys::file_flags(client) & !libc::O_NONBLOCK;
    // SAFETY: a plain system call, with a number as argument.
    unsafe { sys::fcntl(client, libc::F_SETFL, flags as usize) };
    sys::set_no_delay(client);
    let Some(connection) = expect(client, false) else {
        // SAFETY: the descriptor has just come and is known to nobody else.
        unsafe { sys::close(client) };
        return Err(Errno(libc::ENOMEM));
    };
    connection.messages.store(true, Ordering::Relaxed);
    connection.message_type.set_code(code);
    connection.arrival.lock().told = told;
    connection.set_kind(Kind::Client);
    answer(gateway);
    Ok(client)
}

/// Makes `fd` the client's, close-on-exec as it was.
fn replace(fd: c_int, client: c_int) {
    // SAFETY: plain system calls.
    unsafe {
        let is_cloexec = sys::fcntl(fd, libc::F_GETFD, 0) & libc::FD_CLOEXEC != 0;
        sys::dup3(client, fd, if is_cloexec { libc::O_CLOEXEC } else { 0 });
    }
}

/// Gives the client what the server has set on the connection so far, and no delay for small
/// messages.
fn copy_settings(fd: c_int, client: c_int) {
    // SAFETY: a plain system call, with a number as argument.
    unsafe { sys::fcntl(client, libc::F_SETFL, sys::file_flags(fd) as usize) };
    sys::set_no_delay(client);
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        let mut time = [0i64; 2];
        let mut len = size_of_val(&time) as socklen_t;
        // SAFETY: the buffer is as long as the longest timeval, and the kernel
        // says how much of it is one.
        unsafe {
            let value = (&raw mut time).cast();
            if sys::getsockopt(fd, SOL_SOCKET, option, value, &mut len) == 0 && time != [0; 2] {
                libc::setsockopt(client, SOL_SOCKET, option, value, len);
            }
        }
    }
}

/// What becomes of a plain client, with the arrival locked: to a server of messages it is a client
/// that has left.
fn refuse_or_leave(connection: &Ref, fd: c_int) {
    if !connection.messages.load(Ordering::Relaxed) {
        return make_plain(connection, fd);
    }
    // SAFETY: a plain system call.
    unsafe { sys::shutdown(fd, libc::SHUT_RDWR) };
    connection.rx.lock().stop();
    connection.set_kind(Kind::Client);
}

/// From here on the connection is the kernel's alone.
fn make_plain(connection: &Ref, fd: c_int) {
    let mut watchers = connection.watchers.lock();
    connection.set_kind(Kind::Plain);
    watchers.give_back();
    drop(watchers);
    if connection.descriptors() > 1 {
        CONNECTIONS.for_each_of(connection, |fd| drop(CONNECTIONS.remove(fd)));
    } else {
        drop(CONNECTIONS.remove(fd));
    }
}
