//! The roofline: a plain two-thread blocking relay that also converts frames.
//!
//! It does what no relay of this shape can avoid, and nothing a gateway must do besides: no checks,
//! no limits, no UTF-8, no pings. One thread reads the client and writes the backend, one the
//! reverse: four system calls an echo.

mod shared;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustls::ServerConfig;

use crate::tls::Session;
use crate::wire::{self, BINARY, CLOSE, Header, MAX_HEADER};

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;
/// Stack of each thread, in bytes.
const STACK: usize = 64 * 1024;

/// How messages that arrived together go to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Each message is a write of its own.
    PerMessage,
    /// All that one read brought is one write.
    Merged,
}

/// Serves for ever: each request's path names a UNIX socket beneath `sockets`.
pub fn serve(
    listeners: Vec<(TcpListener, Writes)>,
    sockets: &Path,
    tls: Option<&Arc<ServerConfig>>,
) -> io::Result<()> {
    thread::scope(|scope| {
        for (listener, writes) in &listeners {
            scope.spawn(move || accept(listener, *writes, sockets, tls));
        }
    });
    Ok(())
}

fn accept(listener: &TcpListener, writes: Writes, sockets: &Path, tls: Option<&Arc<ServerConfig>>) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            continue;
        };
        let (sockets, tls) = (sockets.to_owned(), tls.cloned());
        let relay = move || one(client, writes, &sockets, tls);
        // A client that went away, or a thread that could not start, ends itself alone.
        let _ = thread::Builder::new().stack_size(STACK).spawn(relay);
    }
}

/// One connection, from its first byte to its last.
fn one(
    client: TcpStream,
    writes: Writes,
    sockets: &Path,
    tls: Option<Arc<ServerConfig>>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(config) = tls else {
        relay(&client, Some(&client), writes, sockets)?;
        return client.shutdown(Shutdown::Write);
    };
    let session = Session::accept(client, config)?;
    relay(&session, None, writes, sockets)?;
    session.finish()
}

/// One client, from its request to its close handshake; `plain` is its socket if it has no TLS.
fn relay<C: Sync>(
    client: &C,
    plain: Option<&TcpStream>,
    writes: Writes,
    sockets: &Path,
) -> io::Result<()>
where
    for<'a> &'a C: Read + Write,
{
    let mut opening = client;
    let head = wire::read_head(&mut opening)?;
    let name = head
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/');
    let key = wire::header_value(&head, "sec-websocket-key").unwrap_or_default();
    let shared = plain.filter(|_| name == shared::NAME);
    let backend = match shared {
        Some(_) => shared::backend(sockets)?,
        None => UnixStream::connect(sockets.join(name))?,
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        wire::accept_key(key)
    );
    opening.write_all(answer.as_bytes())?;
    drop((head, answer));
    if let Some(client) = shared {
        shared::join(client)?;
        bytes_from_frames(client, &backend, writes)?;
        return shared::leave(client);
    }
    thread::scope(|scope| {
        let down = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || frames_from_bytes(&backend, client))?;
        bytes_from_frames(client, &backend, writes)?;
        backend.shutdown(Shutdown::Write)?;
        let _ = down.join();
        let mut client = client;
        client.write_all(&[0x80 | CLOSE, 0])
    })
}

/// Copies backend to client: what one read returns becomes one frame, in one write.
fn frames_from_bytes(mut backend: &UnixStream, mut client: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; MAX_HEADER + BUFFER];
    loop {
        let n = backend.read(&mut buffer[MAX_HEADER..])?;
        if n == 0 {
            return Ok(());
        }
        let start = wire::put_header(&mut buffer[..MAX_HEADER], BINARY, n);
        client.write_all(&buffer[start..MAX_HEADER + n])?;
    }
}

/// Copies client to backend until the client's Close: payloads, unmasked in place.
fn bytes_from_frames(
    mut client: impl Read,
    mut backend: &UnixStream,
    writes: Writes,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut kept = 0; // bytes of an incomplete header at the front of the buffer
    let mut left: Option<(Header, usize)> = None; // the open frame, and how much of it has passed
    loop {
        let n = client.read(&mut buffer[kept..])?;
        if n == 0 {
            return Ok(());
        }
        let end = kept + n;
        let mut at = 0;
        let mut merged: Option<(usize, usize)> = None; // payload gathered, not yet written
        loop {
            let (header, passed) = match left.take() {
                Some(open) => open,
                None => match Header::parse(&buffer[at..end]) {
                    Some(header) => {
                        at += header.size;
                        (header, 0)
                    }
                    None => break,
                },
            };
            if header.opcode == CLOSE {
                return flush(backend, &buffer, merged);
            }
            let have = (header.payload as usize - passed).min(end - at);
            wire::unmask(
                &mut buffer[at..at + have],
                header.mask.unwrap_or_default(),
                passed,
            );
            match (writes, merged) {
                (Writes::Merged, Some((from, to))) => {
                    buffer.copy_within(at..at + have, to);
                    merged = Some((from, to + have));
                }
                (Writes::Merged, None) => merged = Some((at, at + have)),
                (Writes::PerMessage, _) => backend.write_all(&buffer[at..at + have])?,
            }
            at += have;
            if passed + have < header.payload as usize {
                left = Some((header, passed + have));
                break;
            }
        }
        flush(backend, &buffer, merged)?;
        buffer.copy_within(at..end, 0);
        kept = end - at;
    }
}

fn flush(
    mut backend: &UnixStream,
    buffer: &[u8],
    merged: Option<(usize, usize)>,
) -> io::Result<()> {
    merged.map_or(Ok(()), |(from, to)| backend.write_all(&buffer[from..to]))
}
