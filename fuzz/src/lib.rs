//! What the fuzz targets share: frames of a few bytes of input, cuts of a stream, and tungstenite's
//! opinion of frames.

pub mod stream;

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

/// Numbers that follow from the input alone (FNV-1a, then xorshift64): the same input is always cut
/// in the same places, and every byte of it belongs to the stream.
pub struct Random(u64);

impl Random {
    /// The numbers of an input.
    pub fn of(input: &[u8]) -> Self {
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit as u64) as usize
    }

    /// The length of the next piece of a stream of which `left` bytes are left: often a few bytes,
    /// at times all.
    pub fn piece(&mut self, left: usize) -> usize {
        let most = match self.below(4) {
            0 => left,
            1 => 1,
            2 => 8,
            _ => 100,
        };
        1 + self.below(most.clamp(1, left.max(1)))
    }
}

/// What a reader makes of a client's stream: whole messages and control frames.
#[derive(Debug, PartialEq)]
pub struct Opinion {
    /// The messages; of pongs and Closes only that they came.
    pub messages: Vec<Message>,
    /// Whether the client broke a rule.
    pub fails: bool,
}

/// Bytes to read; what is written is dropped.
struct Recording<'a>(&'a [u8]);

impl Read for Recording<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Recording<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of a stream, read in a client's or a server's role.
pub fn tungstenite_says(bytes: &[u8], role: Role) -> Opinion {
    // Its default of 128 KiB a buffer would be most of the work.
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0);
    let mut reader = WebSocket::from_raw_socket(Recording(bytes), role, Some(config));
    let mut messages = Vec::new();
    let fails = loop {
        match reader.read() {
            Ok(Message::Close(_)) => {
                messages.push(Message::Close(None));
                break false;
            }
            Ok(Message::Pong(_)) => messages.push(Message::Pong(Vec::new().into())),
            Ok(message) => messages.push(message),
            // The bytes end.
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => break false,
            // It limits frames to 16 MiB; we do not, and wait for the rest.
            Err(Error::Capacity(_)) => break false,
            Err(_) => break true,
        }
    };
    Opinion { messages, fails }
}

/// Compares what we made of a client's stream with tungstenite's opinion.
///
/// It waits for whole frames and takes lengths in a longer form than needed, so where we fail it
/// may fail later, or never.
pub fn agrees_with_tungstenite(bytes: &[u8], ours: &Opinion) {
    let theirs = tungstenite_says(bytes, Role::Server);
    if ours.fails {
        assert!(
            theirs.messages.starts_with(&ours.messages),
            "{theirs:?} does not begin as {ours:?}"
        );
    } else {
        assert_eq!(*ours, theirs);
    }
}
