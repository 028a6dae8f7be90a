//! What every server must do under the library, scene by scene.
#![allow(unreachable_pub)]

mod arrival;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Client, Server, masked};

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;

/// Bytes that are no pattern a mistake could repeat.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}

/// A client sends the first `n` bytes of a frame; another is served; then the first goes on.
fn half_a_frame_stops_nobody(server: &Server, n: usize) {
    let mut slow = server.client();
    let frame = masked(BINARY, &noise(300));
    slow.raw(&frame[..n]);
    let mut other = server.client();
    other.send(TEXT, b"served");
    assert_eq!(other.frame(), (TEXT, b"served".to_vec()));
    slow.raw(&frame[n..]);
    assert_eq!(slow.frame(), (BINARY, noise(300)));
}

/// The next `len` bytes of messages, whatever their type, and no pongs.
fn data(client: &mut Client, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        match client.frame() {
            (0x8a, _) => {}
            (_, payload) => all.extend(payload),
        }
    }
    all
}

/// Sends frames without payload as fast as they are read until told to stop.
fn flood(mut stream: &TcpStream, frames: &[u8], stop: &AtomicBool) {
    let frames = frames.repeat(1000);
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&frames).expect("the server reads on");
    }
}

/// Tells [`flood`] to stop when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a client does, and what must come of it.
pub type Scene = (&'static str, fn(&Server));

/// All of them; each with clients of its own.
pub fn scenes() -> impl Iterator<Item = &'static Scene> {
    TALK.iter().chain(arrival::ARRIVALS)
}

/// Of clients that are there.
const TALK: &[Scene] = &[
    ("text and binary keep their type", |server| {
        let mut client = server.client();
        client.send(TEXT, "h\u{e9}llo".as_bytes());
        assert_eq!(client.frame(), (TEXT, "h\u{e9}llo".as_bytes().to_vec()));
        client.send(BINARY, &[0, 255, 1]);
        assert_eq!(client.frame(), (BINARY, vec![0, 255, 1]));
    }),
    ("70 000 bytes come back", |server| {
        let mut client = server.client();
        let data = noise(70_000);
        client.send(BINARY, &data);
        assert!(client.payload(BINARY, data.len()) == data);
    }),
    ("characters cut by the server's reads stay text", |server| {
        let mut client = server.client();
        let text = "\u{20ac}\u{1f600}x".repeat(9000);
        client.send(TEXT, text.as_bytes());
        let mut back = String::new();
        while back.len() < text.len() {
            let (kind, payload) = client.frame();
            assert_eq!(kind, TEXT);
            back.push_str(std::str::from_utf8(&payload).expect("whole characters"));
        }
        assert!(back == text);
    }),
    ("a ping alone is answered and stops nobody", |server| {
        let mut silent = server.client();
        silent.send(0x89, b"only this");
        assert_eq!(silent.frame(), (0x8a, b"only this".to_vec()));
        let mut other = server.client();
        other.send(TEXT, b"served");
        assert_eq!(other.frame(), (TEXT, b"served".to_vec()));
        silent.send(TEXT, b"me too");
        assert_eq!(silent.frame(), (TEXT, b"me too".to_vec()));
    }),
    ("half a header stops nobody", |server| {
        half_a_frame_stops_nobody(server, 3);
    }),
    ("half a message stops nobody", |server| {
        half_a_frame_stops_nobody(server, 100);
    }),
    ("a fragment alone stops nobody", |server| {
        let mut slow = server.client();
        slow.send(0x02, &noise(300)[..200]);
        let mut other = server.client();
        other.send(TEXT, b"served");
        assert_eq!(other.frame(), (TEXT, b"served".to_vec()));
        slow.send(0x80, &noise(300)[200..]);
        assert_eq!(slow.frame(), (BINARY, noise(300)));
    }),
    ("a frame comes byte by byte and goes back whole", |server| {
        let mut client = server.client();
        let data = noise(130);
        for byte in masked(BINARY, &data) {
            client.raw(&[byte]);
        }
        assert_eq!(client.frame(), (BINARY, data));
    }),
    (
        "fragments with a ping between them are one message",
        |server| {
            let mut client = server.client();
            client.send(0x01, b"frag");
            client.send(0x89, b"p");
            assert_eq!(client.frame(), (0x8a, b"p".to_vec()));
            client.send(0x00, b"");
            client.send(0x89, b"q");
            client.send(0x80, b"ment");
            assert_eq!(client.frame(), (0x8a, b"q".to_vec()));
            assert_eq!(client.frame(), (TEXT, b"fragment".to_vec()));
            client.send(0x89, b"r");
            assert_eq!(client.frame(), (0x8a, b"r".to_vec()));
        },
    ),
    ("fragments of a byte each are one message", |server| {
        let mut client = server.client();
        let data = noise(1000);
        let mut frames = masked(0x02, &data[..1]);
        frames.extend(data[1..].iter().flat_map(|byte| masked(0x00, &[*byte])));
        frames.extend(masked(0x80, b""));
        client.raw(&frames[..3333]);
        client.raw(&frames[3333..]);
        assert_eq!(client.frame(), (BINARY, data));
    }),
    ("messages in one segment all come back", |server| {
        let mut client = server.client();
        let frames: Vec<u8> = (0..50)
            .flat_map(|i| masked(TEXT, format!("message {i:02}").as_bytes()))
            .collect();
        client.raw(&frames);
        let expected: String = (0..50).map(|i| format!("message {i:02}")).collect();
        assert_eq!(client.payload(TEXT, expected.len()), expected.as_bytes());
    }),
    ("messages in one segment come back one by one", |server| {
        let mut client = server.client();
        let frames: Vec<u8> = (0..50)
            .flat_map(|i| masked(TEXT, format!("message {i:02}").as_bytes()))
            .collect();
        client.raw(&frames);
        for i in 0..50 {
            assert_eq!(
                client.frame(),
                (TEXT, format!("message {i:02}").into_bytes())
            );
        }
    }),
    ("empty messages are no bytes and stop nobody", |server| {
        let mut client = server.client();
        let mut frames = masked(TEXT, b"");
        frames.extend(masked(TEXT, b"one"));
        frames.extend(masked(TEXT, b""));
        client.raw(&frames);
        assert_eq!(client.frame(), (TEXT, b"one".to_vec()));
        client.send(TEXT, b"");
        client.send(TEXT, b"two");
        assert_eq!(client.frame(), (TEXT, b"two".to_vec()));
    }),
    (
        "messages behind frames without payload come back",
        |server| {
            let (a, b) = (masked(TEXT, b"a"), masked(TEXT, b"b"));
            for between in [
                masked(0x89, b""),
                masked(TEXT, b""),
                [masked(TEXT, b""), masked(0x89, b"")].concat(),
            ] {
                let mut client = server.client();
                client.raw(&[&a[..], &between, &b].concat());
                assert_eq!(data(&mut client, 2), b"ab");
            }
            let mut client = server.client();
            client.raw(&[masked(0x01, b"a"), masked(0x80, b""), b].concat());
            assert_eq!(data(&mut client, 2), b"ab");
        },
    ),
    ("a flood of frames without payload stops nobody", |server| {
        for (before, frames, after, back) in [
            (
                masked(0x8a, b""),
                [masked(0x8a, b""), masked(TEXT, b"")].concat(),
                masked(TEXT, b"and me"),
                &b"and me"[..],
            ),
            (
                masked(0x01, b"begun and "),
                masked(0x00, b""),
                masked(0x80, b"ended"),
                b"begun and ended",
            ),
        ] {
            let mut flooding = server.client();
            flooding.raw(&before);
            let mut other = server.client();
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let _stopped_by_a_panic_too = Stop(&stop);
                scope.spawn(|| flood(&flooding.stream, &frames, &stop));
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(100));
                    other.send(TEXT, b"served");
                    assert_eq!(other.frame(), (TEXT, b"served".to_vec()));
                }
            });
            flooding.raw(&after);
            assert_eq!(flooding.payload(TEXT, back.len()), back);
        }
    }),
    ("the client's Close is echoed after its data", |server| {
        let mut client = server.client();
        let mut bytes = masked(TEXT, b"last words");
        bytes.extend(masked(0x88, &1001u16.to_be_bytes()));
        client.raw(&bytes);
        assert_eq!(client.frame(), (TEXT, b"last words".to_vec()));
        assert_eq!(client.closed(), Some(1001));
        let mut client = server.client();
        client.send(0x88, b"");
        assert_eq!(client.closed(), None);
    }),
    ("the server's close is a Close 1000", |server| {
        let mut client = server.client();
        client.send(TEXT, b"quit");
        assert_eq!(client.frame(), (TEXT, b"quit".to_vec()));
        let (kind, payload) = client.frame();
        assert_eq!((kind, &payload[..2]), (0x88, &1000u16.to_be_bytes()[..]));
        client.send(0x88, &1000u16.to_be_bytes());
        client.at_end();
    }),
    (
        "a client that talks on gets the server's last words",
        |server| {
            let mut client = server.client();
            client.send(TEXT, b"quit");
            assert_eq!(client.frame(), (TEXT, b"quit".to_vec()));
            // The server has closed, or is about to: no reset may come of this.
            for _ in 0..50 {
                client.send(TEXT, b"and another thing");
            }
            assert_eq!(client.frame().0, 0x88);
            client.send(TEXT, b"and one more");
            client.send(0x88, &1000u16.to_be_bytes());
            client.at_end();
        },
    ),
    ("an unmasked frame closes with 1002", |server| {
        let mut client = server.client();
        client.raw(b"\x81\x05hello");
        assert_eq!(client.closed(), Some(1002));
    }),
    (
        "what came before a broken rule comes back first",
        |server| {
            // The rest of the segment is as long as a header, shorter, and longer.
            for bad in [&b"\x81\x04hell"[..], b"\x83\x80", b"\xc1\x85xxxxhello"] {
                let mut client = server.client();
                let mut bytes = masked(TEXT, b"good");
                bytes.extend(bad);
                client.raw(&bytes);
                assert_eq!(client.frame(), (TEXT, b"good".to_vec()));
                assert_eq!(client.closed(), Some(1002));
            }
        },
    ),
    ("a message cut off by a Close is dropped", |server| {
        let mut client = server.client();
        client.send(TEXT, b"whole");
        client.send(0x01, b"never ended");
        client.send(0x88, &1000u16.to_be_bytes());
        assert_eq!(client.frame(), (TEXT, b"whole".to_vec()));
        assert_eq!(client.closed(), Some(1000));
    }),
    ("a message cut off by the end comes back", |server| {
        let mut client = server.client();
        let frame = masked(BINARY, &noise(300));
        client.raw(&frame[..100]);
        client.stream.shutdown(Shutdown::Write).expect("our end");
        assert_eq!(client.payload(BINARY, 92), &noise(300)[..92]);
    }),
    ("text that is not UTF-8 closes with 1007", |server| {
        let mut client = server.client();
        client.send(TEXT, b"\xce\xba\xed\xa0");
        assert_eq!(client.closed(), Some(1007));
    }),
    (
        "no byte is handed out of a text from the first bad one on",
        |server| {
            // The last byte of this piece fills the buffers of most servers.
            let mut text = vec![b'x'; 16384];
            text[16383] = 0xff;
            let mut client = server.client();
            client.raw(&masked(TEXT, &vec![b'x'; 100_000])[..14]);
            client.raw(&masked(TEXT, &text)[8..]);
            let close = loop {
                match client.frame() {
                    (0x88, payload) => break payload,
                    (_, payload) => assert!(!payload.contains(&0xff)),
                }
            };
            assert_eq!(close, 1007u16.to_be_bytes());
        },
    ),
    ("a client may vanish", |server| {
        for bytes in [&b""[..], b"\x81", &masked(TEXT, b"hello")[..8]] {
            let mut client = server.client();
            client.raw(bytes);
        }
        let mut client = server.client();
        client.send(TEXT, b"still there?");
        assert_eq!(client.frame(), (TEXT, b"still there?".to_vec()));
    }),
    ("a slow reader gets every byte", |server| {
        let mut client = server.client();
        let data = noise(4 << 20);
        let mut stream = client.stream.try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for chunk in data.chunks(60_000) {
                    stream
                        .write_all(&masked(BINARY, chunk))
                        .expect("the server reads on");
                }
            });
            // Until the server has to stop, too: it has been given more than all buffers hold once
            // this client's own writes block.
            std::thread::sleep(Duration::from_millis(300));
            assert!(client.payload(BINARY, data.len()) == data);
        });
    }),
    ("a plain UNIX client is served as ever", |server| {
        let mut plain = server.plain();
        plain.write_all(b"no frames here").expect("a connection");
        let mut back = [0; 14];
        plain.read_exact(&mut back).expect("the echo");
        assert_eq!(&back, b"no frames here");
    }),
    ("fifty clients at a time", |server| {
        let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
        for round in 0..3 {
            for (i, client) in clients.iter_mut().enumerate() {
                client.send(TEXT, format!("{round}/{i}").as_bytes());
            }
            for (i, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.frame(), (TEXT, format!("{round}/{i}").into_bytes()));
            }
        }
        for client in &mut clients {
            client.send(0x88, &1000u16.to_be_bytes());
        }
        for client in &mut clients {
            assert_eq!(client.closed(), Some(1000));
        }
    }),
];
