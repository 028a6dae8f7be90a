//! A file on its way to a client, at a least speed and so with an end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::client::Client;

/// Most bytes held of a file.
const PIECE: usize = 16 * 1024;

/// The least speed of a client: it holds a slot among `maxclients`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The time in which a client must take `bytes`.
    pub(super) stall: Duration,
    /// What it must take in that time.
    pub(super) bytes: u64,
}

impl Pace {
    /// 64 KiB in 10 s, which the slowest of mobile networks can. A client that reads nothing is let
    /// go after 10 s, a file of 1 MiB has an end after 160 s.
    pub(super) const LEAST: Self = Self {
        stall: Duration::from_secs(10),
        bytes: 64 * 1024,
    };
}

/// Writes `head` and what `range` has of the file, a small file and its head in one write. Returns
/// the bytes written.
///
/// # Errors
/// As read(2) and write(2); `WouldBlock` or `TimedOut` for a client slower than `pace`; any if the
/// file becomes shorter: its length has been promised, so the connection must end.
pub(super) fn send(
    client: &Client,
    head: &str,
    mut file: File,
    range: Range<u64>,
    pace: Pace,
) -> io::Result<u64> {
    if range.end - range.start > pace.bytes {
        // What the kernel holds is not yet read: with more of it a client that reads nothing would
        // have a minute, and with many clients it is memory.
        client.limit_send_buffer(pace.bytes as usize);
    }
    file.seek(SeekFrom::Start(range.start))?;
    let mut content = file.take(range.end - range.start);
    let mut piece = Vec::with_capacity(PIECE);
    piece.extend_from_slice(head.as_bytes());
    let (mut sent, mut counted) = (0, 0);
    let mut deadline = Instant::now() + pace.stall;
    while !piece.is_empty() || content.limit() > 0 {
        let room = PIECE.saturating_sub(piece.len()) as u64;
        if content.by_ref().take(room).read_to_end(&mut piece)? == 0 && piece.is_empty() {
            return Err(io::Error::other(
                "the file became shorter while it was sent",
            ));
        }
        client.write_all_until(&piece, deadline)?;
        sent += piece.len() as u64;
        piece.clear();
        if sent - counted >= pace.bytes {
            counted = sent;
            deadline = Instant::now() + pace.stall;
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::tests::pair;
    use std::thread;

    /// 64 KiB in a quarter of a second.
    const PACE: Pace = Pace {
        stall: Duration::from_millis(250),
        bytes: 64 * 1024,
    };

    /// A pace that every machine keeps.
    const PATIENT: Pace = Pace {
        stall: Duration::from_secs(60),
        bytes: 64 * 1024,
    };

    /// Sends 64 MiB at this pace to a client that reads like this; the bytes written, or the error.
    fn send_to(
        pace: Pace,
        read: impl FnOnce(std::net::TcpStream) + Send + 'static,
    ) -> io::Result<u64> {
        let scratch = crate::system::beneath::tests::Scratch::new();
        let path = scratch.0.join("large");
        let file = File::create(&path).expect("a file");
        file.set_len(64 << 20).expect("a sparse file");
        let (client, far) = pair();
        let reader = thread::spawn(move || read(far));
        let file = File::open(path).expect("it is there");
        let sent = send(&client, "head", file, 0..64 << 20, pace);
        drop(client);
        reader.join().expect("no panic");
        sent
    }

    #[test]
    fn a_client_that_reads_nothing_is_let_go_after_one_stall() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let start = Instant::now();
        let sent = send_to(PACE, move |far| {
            // It holds its end until the sender has given up.
            thread::spawn(move || (wait.recv(), far));
        });
        drop(done);
        assert!(sent.is_err(), "{sent:?}");
        assert!(start.elapsed() >= PACE.stall);
    }

    #[test]
    fn a_client_slower_than_the_pace_is_let_go() {
        let sent = send_to(PACE, |mut far| {
            // 1 KiB each 20 ms is a fifth of the pace, and a slow machine makes it less.
            while far.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {
                thread::sleep(Duration::from_millis(20));
            }
        });
        assert!(sent.is_err(), "{sent:?}");
    }

    #[test]
    fn a_client_that_reads_gets_all() {
        let sent = send_to(PATIENT, |mut far| {
            io::copy(&mut far, &mut io::sink()).expect("all of it");
        });
        assert_eq!(sent.expect("all of it"), (64 << 20) + 4);
    }
}
