//! Running: a silent connection goes over to another process of an upgrade, or has come from one.
//!
//! What the two directions of a parked connection need are two sockets and a few words: nothing is
//! half read, held or owed. The process that has the connection sends both in one packet, and the
//! other one answers whether it serves it from now on. Until then nobody writes to the client.

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::MessageType;

use super::side::{Reads, Side};
use super::{Last, Pump, Terms};
use crate::backend::Backend;
use crate::client::frames::FrameWriter;
use crate::config::{FrameType, Framing, ServiceConfig};
use crate::system::passing;

/// First line of a packet. A program that needs other words has another one, and takes no client of
/// this one.
const FORMAT: &str = "client 1";

/// Longest packet, in bytes.
pub(crate) const MAX_PACKET: usize = 4096;

/// The answer to a packet: the other process serves the client from now on, or it does not.
pub(crate) const TAKEN: u8 = b'+';
pub(crate) const NOT_TAKEN: u8 = b'-';

/// What stands for nothing, and what stands before something.
const NOTHING: &str = "-";
const SOMETHING: char = '=';

const FRAMINGS: [(&str, Framing); 5] = [
    ("stream", Framing::Stream),
    ("line", Framing::Line),
    ("crlf", Framing::Crlf),
    ("nul", Framing::Nul),
    ("length", Framing::Length),
];

const FRAME_TYPES: [(&str, FrameType); 3] = [
    ("auto", FrameType::Auto),
    ("text", FrameType::Text),
    ("binary", FrameType::Binary),
];

/// All that another process must know of a connection, beside its sockets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// An address of its server, as the configuration writes it.
    pub(crate) server: String,
    /// The client's number.
    pub(crate) number: usize,
    /// How long it has lasted.
    pub(crate) age: Duration,
    /// The address that `maxperip` counts it for.
    pub(crate) address: Option<IpAddr>,
    /// Where the client comes from.
    pub(crate) source: Option<SocketAddr>,
    /// The service's name.
    pub(crate) service: String,
    /// Who has logged in.
    pub(crate) user: Option<String>,
    to_backend: u64,
    to_client: u64,
    /// The type of the messages to the client, as [`MessageType::code`] tells it.
    kind: Option<u8>,
    /// The backend keeps packet boundaries.
    pub(crate) is_packet: bool,
    framing: Framing,
    frame_type: FrameType,
    max_message: usize,
    merge: bool,
}

impl Passed {
    fn of(pump: &Pump, server: &str) -> Self {
        let Terms { who, config, .. } = &pump.terms;
        let client = pump.writer.client();
        Self {
            server: server.to_owned(),
            number: client.number(),
            age: pump.begun.elapsed(),
            address: pump.terms.clients.address_of(client.number()),
            source: client.source(),
            service: who.service.as_ref().to_owned(),
            user: who.user.as_deref().map(str::to_owned),
            to_backend: client.traffic().to_backend.get(),
            to_client: client.traffic().to_client.get(),
            kind: pump.kind.code(),
            is_packet: pump.backend.is_packet(),
            framing: config.framing,
            frame_type: config.frame_type,
            max_message: config.max_message,
            merge: config.merge,
        }
    }

    /// Reads a packet; `None` if it is of another program.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let [
            FORMAT,
            server,
            number,
            age,
            address,
            source,
            service,
            user,
            to_backend,
            to_client,
            kind,
            is_packet,
            framing,
            frame_type,
            max_message,
            merge,
        ] = lines[..]
        else {
            return None;
        };
        Some(Self {
            server: server.to_owned(),
            number: number.parse().ok()?,
            age: Duration::from_millis(age.parse().ok()?),
            address: optional(address)?,
            source: optional(source)?,
            service: service.to_owned(),
            user: optional(user)?,
            to_backend: to_backend.parse().ok()?,
            to_client: to_client.parse().ok()?,
            kind: optional(kind)?,
            is_packet: is_packet.parse().ok()?,
            framing: value(&FRAMINGS, framing)?,
            frame_type: value(&FRAME_TYPES, frame_type)?,
            max_message: max_message.parse().ok()?,
            merge: merge.parse().ok()?,
        })
    }

    /// Whether a connection that begins with these settings goes on as this one does.
    pub(crate) fn fits(&self, config: &ServiceConfig) -> bool {
        self.framing == config.framing
            && self.frame_type == config.frame_type
            && self.max_message == config.max_message
            && self.merge == config.merge
    }

    /// The settings that this connection began with, as far as they still mean anything.
    pub(crate) fn settings(&self, other: &ServiceConfig) -> ServiceConfig {
        ServiceConfig {
            framing: self.framing,
            frame_type: self.frame_type,
            max_message: self.max_message,
            merge: self.merge,
            ..other.clone()
        }
    }

    /// When the connection began.
    pub(crate) fn begun(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.age).unwrap_or(now)
    }
}

impl Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FORMAT}\n{}\n{}", self.server, self.number)?;
        writeln!(f, "{}", self.age.as_millis())?;
        writeln!(f, "{}", Optional(&self.address))?;
        writeln!(f, "{}", Optional(&self.source))?;
        writeln!(f, "{}\n{}", self.service, Optional(&self.user))?;
        writeln!(f, "{}\n{}", self.to_backend, self.to_client)?;
        writeln!(f, "{}\n{}", Optional(&self.kind), self.is_packet)?;
        writeln!(f, "{}", word(&FRAMINGS, self.framing))?;
        writeln!(f, "{}", word(&FRAME_TYPES, self.frame_type))?;
        writeln!(f, "{}\n{}", self.max_message, self.merge)
    }
}

/// A value that may be missing, as a line.
struct Optional<'a, T>(&'a Option<T>);

impl<T: Display> Display for Optional<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{SOMETHING}{value}"),
            None => f.write_str(NOTHING),
        }
    }
}

/// Reads such a line; `None` if it is none.
fn optional<T: FromStr>(line: &str) -> Option<Option<T>> {
    match line.strip_prefix(SOMETHING) {
        Some(text) => text.parse().ok().map(Some),
        None => (line == NOTHING).then_some(None),
    }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    let found = words.iter().find(|(_, other)| *other == value);
    found.map_or("", |(word, _)| word)
}

fn value<T: Copy>(words: &[(&'static str, T)], word: &str) -> Option<T> {
    let found = words.iter().find(|(other, _)| *other == word);
    found.map(|(_, value)| *value)
}

impl Pump {
    /// Whether another process could serve the connection while both directions are parked.
    pub(super) fn passes(&self) -> bool {
        !self.writer.client().is_tls()
            && self.backend.is_passable()
            && !self.stays.load(Ordering::Relaxed)
    }

    /// Passes the connection, of which both directions are parked, to the process at the other end
    /// of `to`. Returns false if that one does not take it; then it is not asked again.
    ///
    /// # Errors
    /// If that process is gone: it has not taken the connection.
    pub(super) fn pass(&self, server: &str, to: BorrowedFd<'_>) -> io::Result<bool> {
        if !self.writer.suspend() {
            return Ok(false);
        }
        let text = Passed::of(self, server).to_string();
        let sockets = [self.writer.client().as_fd(), self.backend.as_fd()];
        let taken = match text.len() {
            ..=MAX_PACKET => offer(to, text.as_bytes(), &sockets),
            _ => Ok(false),
        };
        if let Ok(true) = taken {
            // The slot is free, and no line tells of an end.
            drop(self.end.lock().map(|mut end| end.last.take()));
        } else {
            self.stays.store(taken.is_ok(), Ordering::Relaxed);
            self.writer.resume();
        }
        taken
    }
}

/// Sends a packet and waits for the answer: whether it was taken.
///
/// # Errors
/// As sendmsg(2) and recvmsg(2); `UnexpectedEof` if the other process is gone.
pub(crate) fn offer(
    to: BorrowedFd<'_>,
    packet: &[u8],
    sockets: &[BorrowedFd<'_>],
) -> io::Result<bool> {
    passing::send(to, packet, sockets)?;
    let mut answer = [0];
    match passing::receive(to, &mut answer)? {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer[0] == TAKEN),
    }
}

/// Goes on with a connection that another process has passed.
pub(crate) fn go_on(
    writer: Arc<FrameWriter>,
    backend: Backend,
    terms: Terms,
    passed: &Passed,
    last: Last,
) {
    let kind = MessageType::unknown();
    if let Some(code) = passed.kind {
        // One that `set_code` does not take is that of a text client.
        kind.set(true);
        kind.set_code(code);
    }
    let pump = Arc::new(Pump {
        kind,
        begun: passed.begun(),
        ..Pump::new(writer, backend, terms, last)
    });
    pump.begin(|| Ok(()));
    let traffic = pump.writer.client().traffic();
    traffic.to_backend.set(passed.to_backend);
    traffic.to_client.set(passed.to_client);
    pump.writer.begin_silence();
    Side::go_on(&pump, Reads::Client, passed.to_backend);
    Side::go_on(&pump, Reads::Backend, passed.to_client);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed() -> Passed {
        Passed {
            server: "0.0.0.0:80".to_owned(),
            number: 7,
            age: Duration::from_millis(12_345),
            address: "2001:db8::1".parse().ok(),
            source: "[2001:db8::1]:4711".parse().ok(),
            service: String::new(),
            user: Some("-".to_owned()),
            to_backend: 1 << 40,
            to_client: 5,
            kind: Some(4),
            is_packet: true,
            framing: Framing::Length,
            frame_type: FrameType::Auto,
            max_message: 16 << 20,
            merge: true,
        }
    }

    #[test]
    fn what_is_passed_is_read_as_it_was() {
        let all = passed();
        assert_eq!(Passed::parse(&all.to_string()), Some(all));
        let (address, source, user, kind) = (None, None, None, None);
        let bare = Passed {
            address,
            source,
            user,
            kind,
            ..passed()
        };
        assert_eq!(Passed::parse(&bare.to_string()), Some(bare));
    }

    #[test]
    fn what_another_program_passes_is_not_read() {
        let text = passed().to_string();
        for (from, to) in [
            ("client 1", "client 2"),
            ("length", "datagram"),
            ("12345", "-1"),
            ("true\n", "true\nmore\n"),
        ] {
            assert_eq!(Passed::parse(&text.replacen(from, to, 1)), None, "{to}");
        }
        // A name with a line break in it: the connection stays where it is.
        let user = Some("a\nb".to_owned());
        assert_eq!(
            Passed::parse(&Passed { user, ..passed() }.to_string()),
            None
        );
    }
}
