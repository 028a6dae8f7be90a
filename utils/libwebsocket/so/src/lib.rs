//! libwebsocket.so: a stream server becomes a WebSocket server.
//!
//! Linked before libc or preloaded, the library stands in front of the calls
//! a server makes on its sockets. A client that the gateway hands over comes
//! out of `accept` as its TCP socket; from then on `read` yields payload and
//! `write` makes frames, and everything else of RFC 6455 happens inside.
//! Any other descriptor goes straight to libc.
//!
//! - `sys`: the C library's own functions, errno, locks
//! - `table`: which descriptors are WebSocket connections
//! - `connection`, `rx`, `ready`, `tx`, `control`, `closing`, `lingering`: one connection, over
//!   the state machines of the `libwebsocket` crate
//! - `accept`, `calls`, `descriptors`, `poll`, `select`, `epoll`, `fortify`, `time64`:
//!   the calls stepped into
//! - `api`: websocket.h
//!
//! No std and no allocation but one block a connection: the library lives
//! inside programs it knows nothing about, in their children after fork, and
//! in small flash. Every file here is FFI, and every `unsafe` says why.
#![no_std]

mod accept;
mod api;
mod calls;
mod closing;
mod connection;
mod control;
mod descriptors;
mod epoll;
mod fortify;
mod lingering;
mod poll;
mod ready;
mod rx;
mod select;
mod sys;
mod table;
#[cfg(target_pointer_width = "32")]
mod time64;
mod tx;

/// Nothing here panics by intent; if it does, the program ends as by abort(3).
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}
