//! What libwebsocket.so tells a server (`utils/libwebsocket`): a message is readable when the
//! kernel has it to its end, and not before, however it arrives and is read; each ping is answered
//! once; and the server reads what a reader of the whole stream would.
//!
//! The input is a script and a list of frames. The script's bytes make frames arrive, ask whether
//! there is something to read, and read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libwebsocket::ahead::{ENOUGH, LONGEST, Outlook};
use libwebsocket::receive::{Event, Receiver};
use libwebsocket::{Opcode, ProtocolError, frame};
use ouistiti_fuzz::stream::stream;

/// What a reader of the whole stream gets.
#[derive(Debug, Default)]
struct Got {
    messages: Vec<(Opcode, Vec<u8>)>,
    pings: Vec<Vec<u8>>,
    end: Option<Event>,
}

fn read_plainly(wire: &[u8]) -> Got {
    let mut got = Got::default();
    let mut rx = Receiver::new();
    let mut rest = wire;
    let mut message = Vec::new();
    loop {
        let event = rx.advance(|space| {
            let (now, later) = rest.split_at(space.len().min(rest.len()));
            space[..now.len()].copy_from_slice(now);
            rest = later;
            Ok::<_, ()>(now.len())
        });
        match event.expect("it never blocks") {
            Event::Payload => {
                let len = usize::try_from(rx.remaining()).map_or(rest.len(), |n| n.min(rest.len()));
                if len == 0 {
                    rx.stop();
                    continue;
                }
                let (now, later) = rest.split_at(len);
                rest = later;
                let mut bytes = now.to_vec();
                if rx.take_payload(&mut bytes).is_ok() {
                    message.extend(bytes);
                }
            }
            Event::MessageEnd => {
                rx.take_end();
                got.messages
                    .push((rx.opcode(), std::mem::take(&mut message)));
            }
            Event::Ping => got.pings.push(rx.control().to_vec()),
            Event::Pong => {}
            end => {
                got.end = Some(end);
                return got;
            }
        }
    }
}

/// There is nothing to read now.
struct Blocks;

/// The library, and below it a kernel that has `arrived` bytes of the client's, of which `read`
/// have been read.
struct Server<'a> {
    wire: &'a [u8],
    frames: &'a [(usize, bool)],
    arrived: usize,
    read: usize,
    eof: bool,
    rx: Receiver,
    got: Got,
    message: Vec<u8>,
    /// A wait has called the socket readable.
    promised: bool,
    /// Where the last wait was for bytes, and for how many.
    waited: (usize, usize),
}

impl<'a> Server<'a> {
    fn new(wire: &'a [u8], frames: &'a [(usize, bool)]) -> Self {
        Self {
            wire,
            frames,
            arrived: 0,
            read: 0,
            eof: false,
            rx: Receiver::new(),
            got: Got::default(),
            message: Vec::new(),
            promised: false,
            waited: (0, 0),
        }
    }

    fn arrive(&mut self, count: usize) {
        self.arrived = self.wire.len().min(self.arrived + count);
    }

    /// recv(2) that does not block.
    fn receive(&mut self, space: &mut [u8]) -> Result<usize, Blocks> {
        let count = space.len().min(self.arrived - self.read);
        if count == 0 && !self.eof {
            return Err(Blocks);
        }
        space[..count].copy_from_slice(&self.wire[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }

    /// The next event but pings and pongs; of the bytes that have been read, or of all.
    fn event(&mut self, reads: bool) -> Result<Event, Blocks> {
        loop {
            let mut rx = std::mem::take(&mut self.rx);
            let event = rx.advance(|space| match reads {
                true => self.receive(space),
                false => Err(Blocks),
            });
            self.rx = rx;
            match event? {
                Event::Ping => self.got.pings.push(self.rx.control().to_vec()),
                Event::Pong => {}
                event => return Ok(event),
            }
        }
    }

    /// Would a read return at once, and with a whole message?
    fn is_readable(&mut self) -> bool {
        let readable = loop {
            match self.event(true) {
                Ok(Event::Payload) => break self.is_whole(),
                Ok(Event::MessageEnd) => self.end_message(),
                Ok(_) => break true,
                Err(Blocks) => break false,
            }
        };
        self.promised |= readable;
        readable
    }

    fn is_whole(&mut self) -> bool {
        let there = self.arrived - self.read;
        let expected = self.eof || self.should_be_readable();
        let mut asked = 0;
        loop {
            let known = self.rx.known_ahead();
            assert!(known <= LONGEST + 1);
            let room = if self.rx.ends_ahead() { 0 } else { 2 * ENOUGH };
            if there == 0 && self.eof {
                return true;
            }
            let looked = there.min(known + room);
            let seen = &self.wire[self.read + known.min(looked)..self.read + looked];
            let pings = &mut self.got.pings;
            let outlook = self
                .rx
                .outlook(looked, seen, |ping| pings.push(ping.to_vec()));
            let Outlook::Short(needed) = outlook else {
                assert!(expected, "readable too early");
                return true;
            };
            assert!(needed > looked, "waits for what is there");
            if looked == known + room {
                continue;
            }
            assert!(
                needed <= self.end_of_wait(),
                "waits for what may never come"
            );
            let (place, bytes) = self.waited;
            assert!(
                place != self.read || bytes <= needed,
                "waits for less than before"
            );
            self.waited = (self.read, needed);
            if there < needed && !self.eof {
                assert!(!expected, "readable too late");
                return false;
            }
            if std::mem::replace(&mut asked, needed) == needed {
                return true;
            }
        }
    }

    /// The headers behind the payload that is next, told afresh: each with its place, counted from
    /// that payload, its size and what it says. The first that is not all there is none.
    fn headers(&self, have: usize) -> impl Iterator<Item = (usize, usize, Option<frame::Header>)> {
        let bytes = &self.wire[self.read..self.read + have];
        let mut place = usize::try_from(self.rx.remaining()).unwrap_or(usize::MAX);
        std::iter::from_fn(move || {
            let rest = bytes.get(place..)?;
            let size = match frame::Header::length_of([*rest.first()?, *rest.get(1)?]) {
                Ok(size) => size,
                Err(_) => return Some((place, 2, None)),
            };
            let mut head = [0; frame::MAX_HEADER];
            head[..size].copy_from_slice(rest.get(..size)?);
            let header = frame::Header::parse(&head).ok();
            let here = place;
            let len = header.map_or(0, |header| {
                usize::try_from(header.len).unwrap_or(usize::MAX)
            });
            place = place.saturating_add(size).saturating_add(len);
            Some((here, size, header))
        })
    }

    /// What there is of the message decides it: it is there to its end, too long, or broken.
    fn should_be_readable(&self) -> bool {
        let there = self.arrived - self.read;
        let (end, sure) = self.known_end(there);
        sure && there >= end
    }

    /// Bytes that must be there for the message to be readable, if `have` bytes tell.
    fn known_end(&self, have: usize) -> (usize, bool) {
        let mut end = usize::try_from(self.rx.remaining()).unwrap_or(usize::MAX);
        let begun = self.frames.iter().rfind(|(start, _)| *start <= self.read);
        let mut fin = begun.expect("payload is next").1;
        let mut headers = self.headers(have);
        loop {
            if end > LONGEST {
                return (1, true);
            }
            if fin {
                return (end, true);
            }
            let Some((place, size, header)) = headers.next() else {
                return (end, false);
            };
            let Some(header) = header else {
                return (place + size, true);
            };
            let len = usize::try_from(header.len).unwrap_or(usize::MAX);
            match header.opcode {
                Opcode::Continuation => fin = header.fin,
                Opcode::Ping | Opcode::Pong if place + size + len > have => return (end, false),
                Opcode::Ping | Opcode::Pong => {}
                _ => return (place + size, true),
            }
            end = (place + size).saturating_add(len);
        }
    }

    /// No wait may be for more than this.
    fn end_of_wait(&self) -> usize {
        match self.known_end(self.wire.len() - self.read) {
            // Too long, which is known from a header behind what is not; or the one payload left.
            (1, true) => LONGEST + frame::MAX_HEADER,
            (end, true) => end,
            // The stream ends within a frame.
            (end, false) => end + frame::MAX_HEADER + frame::MAX_CONTROL_PAYLOAD,
        }
    }

    /// A read of the server's that does not block.
    fn read(&mut self, size: usize) -> Result<(), Blocks> {
        let mut sure = std::mem::take(&mut self.promised);
        let mut total = 0;
        let result = loop {
            if !(sure || self.rx.is_whole() || self.is_readable()) {
                break Err(Blocks);
            }
            self.promised = false;
            sure = false;
            match self.read_message(size, &mut total) {
                Ok(false) if total == 0 => {}
                other => break other.map(|_| ()),
            }
        };
        while let Ok(event) = self.event(false) {
            match event {
                Event::MessageEnd => self.end_message(),
                _ => break,
            }
        }
        result
    }

    /// True at the end of the stream or with the buffer full.
    fn read_message(&mut self, size: usize, total: &mut usize) -> Result<bool, Blocks> {
        loop {
            match self.event(true)? {
                Event::Payload if *total == size => return Ok(true),
                Event::Payload => *total += self.payload(size - *total)?,
                Event::MessageEnd => {
                    self.end_message();
                    return Ok(false);
                }
                _ => return Ok(true),
            }
        }
    }

    /// Payload of one frame, and the first bytes of the next header.
    fn payload(&mut self, room: usize) -> Result<usize, Blocks> {
        let left = usize::try_from(self.rx.remaining()).unwrap_or(usize::MAX);
        let len = left.min(room);
        let next = if left <= room {
            self.rx.next_head().len()
        } else {
            0
        };
        let mut bytes = vec![0; len.min(self.wire.len()) + next];
        let count = self.receive(&mut bytes)?;
        if count == 0 {
            self.rx.stop();
            return Ok(0);
        }
        let own = count.min(len);
        let mut peeked = bytes[..own].to_vec();
        self.rx.peek_payload(&mut peeked);
        self.rx.next_head()[..count - own].copy_from_slice(&bytes[own..count]);
        if self.rx.take_payload(&mut bytes[..own]).is_ok() {
            assert_eq!(peeked, bytes[..own]);
            self.message.extend_from_slice(&bytes[..own]);
        }
        self.rx.head_read(count - own);
        Ok(own)
    }

    fn end_message(&mut self) {
        assert!(self.rx.take_end());
        let message = std::mem::take(&mut self.message);
        self.got.messages.push((self.rx.opcode(), message));
    }

    fn step(&mut self, order: u8) {
        let size = usize::from(order >> 2);
        match order & 3 {
            0 => self.arrive(1 + size),
            1 => self.arrive(size * size * 40),
            2 => {
                self.is_readable();
            }
            _ => {
                let _ = self.read(1 + size * size * 5);
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&len, rest)) = bytes.split_first() else {
        return;
    };
    let (script, list) = rest.split_at(rest.len().min(usize::from(len)));
    let (wire, frames) = stream(list);
    let wanted = read_plainly(&wire);
    let mut server = Server::new(&wire, &frames);
    for order in script {
        server.step(*order);
    }
    // Now all of it comes, and all is read.
    server.arrive(wire.len());
    server.eof = true;
    while !server.rx.is_over() {
        assert!(server.is_readable());
        let _ = server.read(4096);
    }
    assert_eq!(server.got.messages, wanted.messages);
    if wanted.end == Some(Event::Violation(ProtocolError::BadUtf8)) {
        // Pings behind a bad text are answered before it is read.
        server.got.pings.truncate(wanted.pings.len());
    }
    assert_eq!(server.got.pings, wanted.pings);
    assert_eq!(server.event(true).ok(), wanted.end);
});
