//! The load: raw frames from one client, and what they cost the program under it.

mod peer;
mod shared;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustls::{ClientConnection, StreamOwned};

pub use peer::Peer;

use crate::backend::Order;
use crate::programs::{Program, Service};
use crate::tls;
use crate::wire::{self, BINARY, CLOSE, Header, MAX_HEADER, TEXT};

/// Bytes of a small message: what a chat line or a sensor sends.
pub const SMALL: usize = 125;
/// Bytes of a large message.
const LARGE: usize = 64 * 1024;
/// No answer within this ends the benchmark.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How much of each work one sample is.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Length of a sample of small messages; of connections four times that.
    pub time: Duration,
    /// Bytes of a bulk sample.
    pub bytes: u64,
}

/// One kind of load.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Small messages to and fro.
    Echo {
        /// Clients at a time.
        connections: usize,
        /// Messages each sends before it waits for all their echoes.
        in_flight: usize,
        /// Where messages may share a write.
        merged: bool,
    },
    /// Large messages to and fro, both directions full.
    EchoLarge,
    /// Large messages to the backend.
    Upload,
    /// Bytes from the backend.
    Download,
    /// A small message of one client, and its echo to all who share the backend.
    Share {
        /// Clients that share it.
        clients: usize,
    },
    /// Handshake, one echo, close handshake.
    Connect {
        /// Clients at a time.
        at_a_time: usize,
    },
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A message and its echo.
    Message,
    /// A MiB of payload.
    Mebibyte,
    /// A whole connection.
    Connection,
}

/// What a work cost once.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// CPU time of the program a unit, in microseconds.
    pub cpu: f64,
    /// Units a second on the clock on the wall.
    pub rate: f64,
}

impl Work {
    /// What the rate and the cost of this work count.
    pub fn unit(self) -> Unit {
        match self {
            Work::Echo { .. } | Work::Share { .. } => Unit::Message,
            Work::EchoLarge | Work::Upload | Work::Download => Unit::Mebibyte,
            Work::Connect { .. } => Unit::Connection,
        }
    }

    /// Whether `program` does this work in the way that it is for.
    pub fn suits(self, program: &Program) -> bool {
        match self {
            Work::Echo { in_flight: 1, .. } => true,
            Work::Echo { merged: true, .. } => program.merges,
            Work::Echo { .. } => program.keeps_apart,
            _ => true,
        }
    }

    /// Does this work once through `program`.
    pub fn run(self, program: &Program, effort: Effort) -> io::Result<Sample> {
        match self {
            Work::Echo {
                connections,
                in_flight,
                merged,
            } => {
                let service = match merged {
                    true => Service::MergedEcho,
                    false => Service::Echo,
                };
                match program.tls {
                    Some(_) => echo_in_threads(program, connections, in_flight, effort.time),
                    None => echo(program, service, connections, in_flight, effort.time),
                }
            }
            Work::EchoLarge => echo_large(program, effort.bytes),
            Work::Upload => bulk(
                program,
                Order {
                    upload: effort.bytes,
                    download: 1,
                },
            ),
            Work::Download => bulk(
                program,
                Order {
                    upload: 0,
                    download: effort.bytes,
                },
            ),
            Work::Share { clients } => shared::share(program, clients, effort.time),
            Work::Connect { at_a_time } => connect(program, at_a_time, effort.time * 4),
        }
    }
}

/// Reads the program's CPU clock and the wall's, before and after.
pub struct Meter<'a>(&'a Program, Instant, Duration);

impl<'a> Meter<'a> {
    /// Begins to measure.
    pub fn start(program: &'a Program) -> io::Result<Self> {
        Ok(Meter(program, Instant::now(), program.cpu()?))
    }

    /// What so many units have cost since.
    pub fn stop(self, units: f64) -> io::Result<Sample> {
        let cpu = self.0.cpu()?.saturating_sub(self.2);
        let wall = self.1.elapsed();
        Ok(Sample {
            cpu: cpu.as_secs_f64() * 1e6 / units,
            rate: units / wall.as_secs_f64(),
        })
    }
}

/// Counts payload bytes in a stream of frames cut anywhere.
#[derive(Default)]
struct Counter {
    head: Vec<u8>,
    left: u64,
}

impl Counter {
    fn count(&mut self, mut bytes: &[u8]) -> io::Result<u64> {
        let mut payload = 0;
        while !bytes.is_empty() {
            let some = self.left.min(bytes.len() as u64);
            payload += some;
            self.left -= some;
            bytes = &bytes[some as usize..];
            let known = self.head.len();
            let more = bytes.len().min(MAX_HEADER - known);
            self.head.extend_from_slice(&bytes[..more]);
            let Some(header) = Header::parse(&self.head) else {
                return Ok(payload);
            };
            if header.opcode == CLOSE {
                return Err(io::Error::other("closed in the middle of the work"));
            }
            bytes = &bytes[header.size - known..];
            self.head.clear();
            self.left = header.payload;
        }
        Ok(payload)
    }
}

fn echo(
    program: &Program,
    service: Service,
    connections: usize,
    in_flight: usize,
    time: Duration,
) -> io::Result<Sample> {
    let batch = wire::client_frame(TEXT, &[b'x'; SMALL]).repeat(in_flight);
    let want = (SMALL * in_flight) as u64;
    let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut peers = Vec::with_capacity(connections);
    for i in 0..connections {
        let mut peer = Peer::open(program, service)?;
        peer.echo_once()?;
        poll.add(
            peer.stream.socket(),
            EpollEvent::new(EpollFlags::EPOLLIN, i as u64),
        )?;
        peers.push((peer, want));
    }
    let mut buffer = vec![0; LARGE];
    let mut events = vec![EpollEvent::empty(); connections];
    let (mut done, mut busy) = (0, connections);
    let meter = Meter::start(program)?;
    let end = Instant::now() + time;
    for (peer, _) in &mut peers {
        peer.stream.write_all(&batch)?;
    }
    let patience = EpollTimeout::try_from(PATIENCE).map_err(io::Error::other)?;
    while busy > 0 {
        let ready = poll.wait(&mut events, patience)?;
        if ready == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for event in &events[..ready] {
            let (peer, left) = &mut peers[event.data() as usize];
            *left = left.saturating_sub(peer.read(&mut buffer)?);
            if *left > 0 {
                continue;
            }
            done += in_flight;
            if Instant::now() < end {
                *left = want;
                peer.stream.write_all(&batch)?;
            } else {
                busy -= 1;
            }
        }
    }
    let sample = meter.stop(done as f64)?;
    peers.into_iter().try_for_each(|(peer, _)| peer.close())?;
    Ok(sample)
}

/// The same where readiness says nothing, because a session holds decrypted bytes back.
fn echo_in_threads(
    program: &Program,
    connections: usize,
    in_flight: usize,
    time: Duration,
) -> io::Result<Sample> {
    let batch = wire::client_frame(TEXT, &[b'x'; SMALL]).repeat(in_flight);
    let want = (SMALL * in_flight) as u64;
    let open = |_| {
        let mut peer = Peer::open(program, Service::Echo)?;
        peer.echo_once()?;
        Ok(peer)
    };
    let mut peers = (0..connections).map(open).collect::<io::Result<Vec<_>>>()?;
    let meter = Meter::start(program)?;
    let end = Instant::now() + time;
    let client = |peer: &mut Peer| -> io::Result<usize> {
        let (mut done, mut buffer) = (0, [0; 4096]);
        while Instant::now() < end {
            peer.stream.write_all(&batch)?;
            peer.expect(want, &mut buffer)?;
            done += in_flight;
        }
        Ok(done)
    };
    let done = all(peers.iter_mut().map(|peer| || client(peer)))?;
    let sample = meter.stop(done as f64)?;
    peers.into_iter().try_for_each(Peer::close)?;
    Ok(sample)
}

/// Runs each of the clients in a thread; the sum of what they did.
fn all<F: FnOnce() -> io::Result<usize> + Send>(
    clients: impl Iterator<Item = F>,
) -> io::Result<usize> {
    thread::scope(|scope| {
        let clients: Vec<_> = clients.map(|client| scope.spawn(client)).collect();
        let failed = |_| Err(io::Error::other("a client thread failed"));
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(failed))
            .sum()
    })
}

fn echo_large(program: &Program, bytes: u64) -> io::Result<Sample> {
    let mut peer = Peer::open(program, Service::Echo)?;
    peer.echo_once()?;
    let mut writer = peer.stream.socket().try_clone()?;
    let frame = wire::client_frame(BINARY, &vec![b'x'; LARGE]);
    let messages = bytes / LARGE as u64;
    let meter = Meter::start(program)?;
    thread::scope(|scope| {
        let send = scope.spawn(move || (0..messages).try_for_each(|_| writer.write_all(&frame)));
        peer.expect(messages * LARGE as u64, &mut vec![0; LARGE])?;
        send.join()
            .unwrap_or_else(|_| Err(io::Error::other("the sending thread failed")))
    })?;
    let sample = meter.stop(mebibytes(messages * LARGE as u64))?;
    peer.close()?;
    Ok(sample)
}

fn bulk(program: &Program, order: Order) -> io::Result<Sample> {
    let mut peer = Peer::open(program, Service::Bulk)?;
    let frame = wire::client_frame(BINARY, &vec![b'x'; LARGE]);
    let meter = Meter::start(program)?;
    peer.stream
        .write_all(&wire::client_frame(BINARY, &order.to_bytes()))?;
    for _ in 0..order.upload / LARGE as u64 {
        peer.stream.write_all(&frame)?;
    }
    peer.expect(order.download, &mut vec![0; LARGE])?;
    let sample = meter.stop(mebibytes(order.upload.max(order.download)))?;
    peer.close()?;
    Ok(sample)
}

fn connect(program: &Program, at_a_time: usize, time: Duration) -> io::Result<Sample> {
    let meter = Meter::start(program)?;
    let end = Instant::now() + time;
    let client = || -> io::Result<usize> {
        let mut done = 0;
        while Instant::now() < end {
            let mut peer = Peer::open(program, Service::Echo)?;
            peer.echo_once()?;
            peer.close()?;
            done += 1;
        }
        Ok(done)
    };
    let done = all((0..at_a_time).map(|_| client))?;
    meter.stop(done as f64)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_counted_wherever_the_stream_is_cut() {
        let frames = [
            [0x81, 3].as_slice(),
            b"abc",
            &[0x82, 126, 0, 130],
            &[7; 130],
        ]
        .concat();
        for cut in 0..frames.len() {
            let mut counter = Counter::default();
            let (one, two) = frames.split_at(cut);
            let counted = counter.count(one).and_then(|n| Ok(n + counter.count(two)?));
            assert_eq!(counted.expect("no close"), 133, "cut at {cut}");
        }
    }
}
