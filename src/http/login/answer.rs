//! What a program that checks logins answers: the head of an HTTP answer (RFC 9112, section 4).
//!
//! Nothing of it is believed before the head is complete, and its length, its headers and the time
//! for it are limited. Its content is dropped.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::socket::Socket;
use crate::system::reason::reason;

/// Longest head, interim answers before it included, in bytes (our limit).
const MAX_HEAD: usize = 16 << 10;
/// Most headers (our limit).
const MAX_HEADERS: usize = 64;
/// Longest content that is read for the sake of the connection, in bytes.
const MAX_CONTENT: usize = 16 << 10;
/// Longest wait for that content.
const CONTENT_WAIT: Duration = Duration::from_millis(100);
/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// A complete answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status: 200 to 599.
    pub status: u16,
    /// Names and values in order.
    headers: Vec<(String, Vec<u8>)>,
    /// The connection can be used for another request.
    pub is_kept: bool,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ended before the first byte.
    Gone,
    /// Anything else; the words for the log.
    Broken(String),
}

impl Answer {
    /// Reads an answer from a connection; interim ones (100 to 199) are skipped.
    ///
    /// # Errors
    /// What is wrong with it, or `Gone`.
    pub fn read(socket: &Socket, deadline: Instant) -> Result<Self, Fault> {
        let mut seen = Vec::new();
        let mut start = 0;
        loop {
            let end = find_end(socket, &mut seen, start, deadline)?;
            let head = Head::parse(&seen[start..end])?;
            if head.status >= 200 {
                let behind = seen.len() - end;
                return Ok(Self {
                    is_kept: head.drains(socket, behind, deadline),
                    status: head.status,
                    headers: head.headers,
                });
            }
            start = end;
        }
    }

    /// The values of a header, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (self.headers.iter())
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

/// Takes bytes until the head is complete that begins at `start`; returns where it ends. Looks at
/// each byte once.
fn find_end(
    socket: &Socket,
    seen: &mut Vec<u8>,
    start: usize,
    deadline: Instant,
) -> Result<usize, Fault> {
    let mut looked = start;
    loop {
        if let Some(at) = seen[looked..]
            .windows(END.len())
            .position(|four| four == END)
        {
            return Ok(looked + at + END.len());
        }
        looked = start.max(seen.len().saturating_sub(END.len() - 1));
        receive(socket, seen, deadline)?;
    }
}

/// Takes more bytes of a head.
fn receive(socket: &Socket, seen: &mut Vec<u8>, deadline: Instant) -> Result<(), Fault> {
    let filled = seen.len();
    if filled >= MAX_HEAD {
        return Err(broken("its head is longer than 16 KiB"));
    }
    seen.resize((filled + 2048).min(MAX_HEAD), 0);
    let count = match socket.receive(&mut seen[filled..], deadline) {
        Ok(0) if filled == 0 => Err(Fault::Gone),
        Ok(0) => Err(broken("it left in the middle of its answer")),
        Ok(count) => Ok(count),
        Err(error) if filled == 0 && error.kind() == ErrorKind::ConnectionReset => Err(Fault::Gone),
        Err(error) => Err(Fault::of(&error)),
    };
    seen.truncate(filled + count.as_ref().unwrap_or(&0));
    count.map(|_| ())
}

fn broken(why: &str) -> Fault {
    Fault::Broken(why.to_owned())
}

impl Fault {
    /// Returns the fault that an error of the socket stands for.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut => broken("no complete answer came in time"),
            _ => Self::Broken(reason(error).to_string()),
        }
    }
}

/// One head, interim or not.
struct Head {
    status: u16,
    version_minor: u8,
    headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(text) {
            Ok(httparse::Status::Complete(length)) if length == text.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(broken("it has over 64 headers")),
            _ => return Err(broken("it is no answer of HTTP/1.1")),
        }
        let status = head.code.unwrap_or_default();
        // We ask for no other protocol (RFC 9110, section 15.2.2).
        if status == 101 || !(100..600).contains(&status) {
            return Err(Fault::Broken(format!("it answers {status}")));
        }
        Ok(Self {
            status,
            version_minor: head.version.unwrap_or_default(),
            headers: (head.headers.iter())
                .map(|header| (header.name.to_owned(), header.value.to_vec()))
                .collect(),
        })
    }

    /// Reads the content of this answer, of which `behind` bytes have come; whether the connection
    /// can be used again then. It cannot where its end is the content's, or is not certain.
    fn drains(&self, socket: &Socket, behind: usize, deadline: Instant) -> bool {
        let length = match self.status {
            204 | 304 => Some(0),
            _ => self.content_length(),
        };
        let Some(mut left) = length.and_then(|length| length.checked_sub(behind)) else {
            return false;
        };
        let deadline = deadline.min(Instant::now() + CONTENT_WAIT);
        let mut buffer = [0; 1024];
        while left > 0 {
            let most = left.min(buffer.len());
            match socket.receive(&mut buffer[..most], deadline) {
                Ok(0) | Err(_) => return false,
                Ok(count) => left -= count,
            }
        }
        true
    }

    /// The length of the content if it is told, once and short, on a connection that stays (RFC
    /// 9112, sections 6.3 and 9.3).
    fn content_length(&self) -> Option<usize> {
        let mut values = self.values("Content-Length");
        let length = values.next()?;
        let closes = (self.values("Connection")).any(|value| {
            value
                .to_ascii_lowercase()
                .windows(5)
                .any(|five| five == b"close")
        });
        let is_certain = self.version_minor == 1
            && !closes
            && values.next().is_none()
            && self.values("Transfer-Encoding").next().is_none()
            && length.iter().all(u8::is_ascii_digit);
        let length: usize = str::from_utf8(length).ok()?.parse().ok()?;
        (is_certain && length <= MAX_CONTENT).then_some(length)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (self.headers.iter())
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}
