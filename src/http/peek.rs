//! Opening: looks at a client's bytes before they are taken off its socket.

use std::io::{self, ErrorKind};
use std::time::Instant;

use crate::client::Client;
use crate::http::refusal::Refusal;

/// Waits for bytes and looks at them; never returns 0.
pub(crate) fn peek(
    client: &Client,
    deadline: Instant,
    buffer: &mut [u8],
) -> Result<usize, Refusal> {
    loop {
        client.set_deadline(deadline).map_err(refusal)?;
        match client.peek(buffer) {
            Ok(0) => return Err(Refusal::Gone(ErrorKind::UnexpectedEof.into())),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(refusal(error)),
        }
    }
}

/// Takes the bytes that were peeked at off the socket.
pub(crate) fn consume(client: &Client, mut peeked: &mut [u8]) -> Result<(), Refusal> {
    while !peeked.is_empty() {
        match client.read(peeked) {
            Ok(0) => return Err(Refusal::Gone(ErrorKind::UnexpectedEof.into())),
            Ok(count) => peeked = &mut peeked[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(refusal(error)),
        }
    }
    Ok(())
}

fn refusal(error: io::Error) -> Refusal {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Refusal::Timeout,
        _ => Refusal::Gone(error),
    }
}
