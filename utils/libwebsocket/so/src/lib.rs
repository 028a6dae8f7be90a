//! libwebsocket.so: a stream server becomes a WebSocket server.
//!
//! Linked before libc or preloaded, the library stands in front of the calls
//! that a server makes on its sockets. A client that the gateway hands over
//! takes the place of the connection that `accept` gave; from then on `read`
//! yields payload and `write` makes frames, and everything else of RFC 6455
//! happens inside. Any other descriptor goes straight to libc.
//!
//! Floors, from the lowest; a module uses what stands above it in this list:
//!
//! - `sys`: the C library's own functions, errno, locks, the process
//! - `table`: which descriptors are known, and to what each leads
//! - `watchers`, `connection`: the epolls that watch a connection, and its state
//! - `handover`: is it the gateway's or a plain client's, and the client's arrival
//! - `hold`: answers that share a TCP segment
//! - `output`, `control`, `transmit`: one system call's bytes, pongs and Close, the server's writes
//! - `events`, `lookahead`, `receive`: the client's frames, whole messages, the server's reads
//! - `lingering`, `closing`, `fork`: the end of a connection, of a process, and a new one
//! - `ready`: poll, select, epoll
//! - `calls`: what the program sees, websocket.h too
//!
//! No std and no allocation but two blocks a connection: the library lives
//! inside programs that it knows nothing about, in their children after fork,
//! and in small flash. Every file here is FFI, and every `unsafe` says why.
#![no_std]

mod calls;
mod closing;
mod connection;
mod control;
mod events;
mod fork;
mod handover;
mod hold;
mod lingering;
mod lookahead;
mod output;
mod ready;
mod receive;
mod sys;
mod table;
mod told;
mod transmit;
mod watchers;

/// Nothing here panics by intent; if it does, the program ends as by abort(3).
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}
