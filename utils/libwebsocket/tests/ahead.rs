//! Is a message there to its end? Asked of every prefix of random messages, as the kernel would
//! have them.

use libwebsocket::ahead::{ENOUGH, LONGEST, Outlook};
use libwebsocket::receive::{Event, Receiver};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(KEY);
    let masked = payload.iter().zip(KEY.iter().cycle());
    bytes.extend(masked.map(|(byte, key)| byte ^ key));
    bytes
}

/// What is in the kernel, of which the receiver has read `read` bytes.
struct Kernel<'a> {
    bytes: &'a [u8],
    read: usize,
    rx: Receiver,
    pongs: Vec<Vec<u8>>,
}

impl<'a> Kernel<'a> {
    /// Payload is next.
    fn new(bytes: &'a [u8]) -> Self {
        let mut kernel = Kernel {
            bytes,
            read: 0,
            rx: Receiver::new(),
            pongs: Vec::new(),
        };
        assert_eq!(kernel.advance(), Some(Event::Payload));
        kernel
    }

    /// The next event, pings answered; none if the bytes do not suffice.
    fn advance(&mut self) -> Option<Event> {
        loop {
            let (bytes, read) = (self.bytes, &mut self.read);
            let event = self.rx.advance(|space| {
                let n = space.len().min(bytes.len() - *read);
                space[..n].copy_from_slice(&bytes[*read..*read + n]);
                *read += n;
                if n > 0 { Ok(n) } else { Err(()) }
            });
            match event {
                Ok(Event::Ping) => self.pongs.push(self.rx.control().to_vec()),
                Ok(Event::Pong) => {}
                other => return other.ok(),
            }
        }
    }

    /// The outlook when the kernel has the bytes up to `end`, looked at in pieces as short as they
    /// may be.
    fn outlook(&mut self, end: usize) -> Outlook {
        loop {
            let known = self.rx.known_ahead();
            let there = end - self.read;
            let from = self.bytes.len().min(self.read + known).min(end);
            let to = end.min(from + ENOUGH);
            let there = there.min(known + ENOUGH);
            let pongs = &mut self.pongs;
            let seen = &self.bytes[from..to];
            let outlook = self
                .rx
                .outlook(there, seen, |ping| pongs.push(ping.to_vec()));
            if outlook == Outlook::Readable || there < known + ENOUGH {
                return outlook;
            }
        }
    }

    /// Reads the message to its end.
    fn read_message(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            match self.advance() {
                Some(Event::Payload) => {
                    let n = self.rx.remaining() as usize;
                    let mut payload = self.bytes[self.read..self.read + n].to_vec();
                    self.read += n;
                    self.rx.take_payload(&mut payload).expect("binary");
                    message.extend(payload);
                }
                Some(Event::MessageEnd) => return message,
                other => panic!("{other:?} within a message"),
            }
        }
    }
}

/// Random, but the same in every run (xorshift32).
struct Random(u32);

impl Random {
    fn below(&mut self, limit: u32) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 % limit) as usize
    }
}

/// A message in fragments, the pings between them, and its wire form.
fn message(random: &mut Random) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let (mut payload, mut pings, mut wire) = (Vec::new(), Vec::new(), Vec::new());
    let fragments = random.below(6);
    for at in 0..=fragments {
        let len = [0, 1, 5, 130][random.below(4)] + usize::from(at == 0);
        let part: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        let opcode = if at == 0 { 2 } else { 0 };
        let fin = if at == fragments { 0x80 } else { 0 };
        wire.extend(frame(fin | opcode, &part));
        payload.extend(part);
        if fin == 0 && random.below(2) == 0 {
            let ping = vec![at as u8; [0, 3, 125][random.below(3)]];
            wire.extend(frame(0x89, &ping));
            wire.extend(frame(0x8a, b"unasked"));
            pings.push(ping);
        }
    }
    (payload, pings, wire)
}

#[test]
fn a_message_is_readable_when_all_of_it_is_there_and_not_before() {
    let mut random = Random(1);
    for _ in 0..300 {
        let (payload, pings, mut wire) = message(&mut random);
        let end = wire.len();
        wire.extend(frame(0x82, b"the next message"));
        let mut kernel = Kernel::new(&wire);
        let start = kernel.read;
        for there in start..=end {
            match kernel.outlook(there) {
                Outlook::Readable => assert_eq!(there, end),
                Outlook::Short(needed) => {
                    assert!(start + needed > there, "waits for what is there");
                    assert!(start + needed <= end, "waits for what may never come");
                }
            }
        }
        assert_eq!(kernel.pongs, pings, "answered before the message is read");
        assert!(kernel.rx.is_whole());
        assert_eq!(kernel.read_message(), payload);
        assert_eq!(kernel.pongs, pings, "and not again when it is");
        assert!(!kernel.rx.is_whole());
    }
}

#[test]
fn a_ping_is_answered_once_when_a_message_is_read_in_parts() {
    let mut wire = frame(0x02, b"one ");
    wire.extend(frame(0x89, b"a"));
    wire.extend(frame(0x00, b"two "));
    wire.extend(frame(0x89, b"b"));
    let half = wire.len();
    wire.extend(frame(0x80, b"three"));
    let mut kernel = Kernel::new(&wire);
    assert!(matches!(kernel.outlook(half), Outlook::Short(_)));
    // A server that reads all the same: the first fragment goes.
    kernel.rx.take_payload(&mut [0; 4]).expect("binary");
    kernel.read += 4;
    assert_eq!(kernel.advance(), Some(Event::Payload));
    assert!(matches!(kernel.outlook(half), Outlook::Short(_)));
    assert_eq!(kernel.outlook(wire.len()), Outlook::Readable);
    assert_eq!(kernel.read_message(), b"two three");
    assert_eq!(kernel.pongs, [b"a", b"b"]);
}

#[test]
fn what_will_never_be_whole_is_readable_at_once() {
    for end in [
        frame(0x88, &[]),
        frame(0x81, b"a message within"),
        frame(0x83, b"a reserved opcode"),
        b"\x80\x05bare!".to_vec(),
    ] {
        let mut wire = frame(0x02, b"begun");
        wire.extend(&end);
        let mut kernel = Kernel::new(&wire);
        let start = kernel.read;
        assert!(matches!(kernel.outlook(start + 5), Outlook::Short(_)));
        assert_eq!(kernel.outlook(wire.len()), Outlook::Readable, "{end:?}");
    }
}

#[test]
fn a_message_too_long_to_wait_for_is_readable_in_pieces() {
    let fits = frame(0x82, &[0; LONGEST]);
    let mut kernel = Kernel::new(&fits);
    let start = kernel.read;
    let all_but_one = kernel.outlook(start + LONGEST - 1);
    assert_eq!(all_but_one, Outlook::Short(LONGEST));
    assert_eq!(kernel.outlook(start + LONGEST), Outlook::Readable);
    let long = frame(0x82, &[0; LONGEST + 1]);
    let mut kernel = Kernel::new(&long);
    let start = kernel.read;
    assert_eq!(kernel.outlook(start), Outlook::Short(1));
    assert_eq!(kernel.outlook(start + 1), Outlook::Readable);
    let mut fragments = frame(0x02, &[0; LONGEST - 10]);
    fragments.extend(frame(0x00, &[0; 10]));
    let mut kernel = Kernel::new(&fragments);
    let start = kernel.read;
    assert_eq!(kernel.outlook(start), Outlook::Short(LONGEST - 8));
    assert_eq!(kernel.outlook(fragments.len()), Outlook::Readable);
}

#[test]
fn a_fragment_of_any_length_is_too_long_to_wait_for() {
    for len in [LONGEST as u64, u64::from(u32::MAX), 1 << 32, u64::MAX >> 1] {
        let mut wire = frame(0x02, b"begun");
        wire.extend([0x80, 0xff]);
        wire.extend(len.to_be_bytes());
        wire.extend(KEY);
        let mut kernel = Kernel::new(&wire);
        let start = kernel.read;
        assert_eq!(kernel.outlook(start), Outlook::Short(5 + 2));
        assert_eq!(kernel.outlook(wire.len()), Outlook::Readable, "{len}");
    }
}
