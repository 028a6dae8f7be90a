//! Running: how messages meet the backend's bytes.
//!
//! [`ToBackend`] gives a client's messages to the backend, [`ToClient`] makes messages of the
//! backend's bytes (docs/behaviour.md, section 4). Neither knows of threads or of closing: `pump`
//! does.

mod ends;
mod kept;
mod to_backend;
mod to_client;

pub(crate) use ends::{Frames, Outlet, Own};
pub(crate) use to_backend::{Delivery, ToBackend, Undelivered};
pub(crate) use to_client::{Forward, Left, ToClient};

use crate::config::{Framing, ServiceConfig};

/// Smallest buffer, in bytes: what a connection keeps while it is quiet.
const SMALL_BUFFER: usize = 2 << 10;

/// Largest buffer, in bytes, unless a message must be held whole. Larger ones are hardly faster;
/// this one holds a message of 64 KiB with its header.
const LARGE_BUFFER: usize = 68 << 10;

/// Consecutive reads that would have fitted the smallest buffer, before a larger one is given back.
const SMALL_READS: u8 = 8;

/// The next size of a buffer after a read of `count` bytes into its free `space`: larger when the
/// read has filled it, small again after several small reads.
fn next_size(size: usize, count: usize, space: usize, small_reads: &mut u8) -> usize {
    if count == space {
        *small_reads = 0;
        return (size * 4).min(LARGE_BUFFER).max(size);
    }
    if count > SMALL_BUFFER / 2 || size == SMALL_BUFFER {
        *small_reads = 0;
        return size;
    }
    *small_reads += 1;
    if *small_reads < SMALL_READS {
        return size;
    }
    *small_reads = 0;
    SMALL_BUFFER
}

/// Length of a packet that does not end its message, in bytes (SEQPACKET backends).
pub(crate) const PACKET: usize = 32 << 10;

/// What separates messages towards the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    /// Nothing: bytes are bytes.
    None,
    /// This byte ends a message.
    Byte(u8),
    /// CR LF ends a message to the backend, LF or CR LF one to the client.
    CrLf,
    /// Four bytes of length and an opcode byte precede a message.
    Length,
    /// A packet shorter than [`PACKET`] ends a message.
    Packet,
}

impl Boundary {
    fn of(config: &ServiceConfig, is_packet: bool) -> Self {
        // A socket that keeps boundaries itself needs no framing.
        match config.framing {
            _ if is_packet => Self::Packet,
            Framing::Length => Self::Length,
            Framing::Line => Self::Byte(b'\n'),
            Framing::Crlf => Self::CrLf,
            Framing::Nul => Self::Byte(0),
            Framing::Stream => Self::None,
        }
    }
}

/// Opcode byte of a text message in `framing = "length"` (RFC 6455, section 5.2).
const TEXT: u8 = 1;

/// Opcode byte of a binary message in `framing = "length"`.
const BINARY: u8 = 2;

/// Length of the prefix in `framing = "length"`, in bytes.
const PREFIX: usize = 5;
