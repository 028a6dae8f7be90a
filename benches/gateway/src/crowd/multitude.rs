//! As many silent clients as the gateway takes: whether each gets its pings, and how long a stop
//! takes when none of them answers.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::load::Peer;
use crate::programs::{Program, Service};
use crate::wire::{self, Header};

/// Settings of the gateway for it.
pub const SETTINGS: &str = "park = 1; ping = 5;";
/// How long pings are counted: twice what a client's silence may last before one.
const WATCHED: Duration = Duration::from_secs(11);
/// Opcodes of a ping and a pong (RFC 6455, section 5.5).
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a multitude of silent clients has cost the gateway.
#[derive(Debug, Clone, Copy)]
pub struct Multitude {
    /// How many.
    pub clients: usize,
    /// PSS of the daemon, in bytes.
    pub memory: u64,
    /// Clients that were pinged twice in 11 s, where `ping` is 5.
    pub pinged: usize,
    /// Clients whose connection ended meanwhile.
    pub lost: usize,
    /// CPU time of the daemon for these seconds, in microseconds.
    pub watching: f64,
    /// From SIGTERM to the daemon's end, in seconds, while no client answers its Close.
    pub stop: f64,
}

/// Has the gateway serve so many clients, which answer its pings, and stops it.
pub fn multitude(program: &mut Program, clients: usize) -> io::Result<Multitude> {
    let open = |_| {
        let mut peer = Peer::open(program, Service::Crowd)?;
        peer.echo_once()?;
        Ok(peer)
    };
    let mut peers = (0..clients).map(open).collect::<io::Result<Vec<Peer>>>()?;
    thread::sleep(Duration::from_secs(2));
    let before = program.cpu()?;
    let pings = answer_pings(&mut peers)?;
    let watching = (program.cpu()? - before).as_secs_f64() * 1e6;
    let memory = program.memory()?;
    let stop = program.stop()?;
    Ok(Multitude {
        clients,
        memory,
        pinged: pings.iter().flatten().filter(|&&n| n >= 2).count(),
        lost: pings.iter().filter(|pings| pings.is_none()).count(),
        watching,
        stop: stop.as_secs_f64(),
    })
}

/// Answers pings for a while; how many each client had, or none if its connection has ended.
fn answer_pings(peers: &mut [Peer]) -> io::Result<Vec<Option<usize>>> {
    let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (number, peer) in peers.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        poll.add(peer.socket(), event)?;
    }
    let mut pings = vec![Some(0); peers.len()];
    let mut events = vec![EpollEvent::empty(); 256];
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        let ready = poll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in &events[..ready] {
            let number = event.data() as usize;
            let peer = &mut peers[number];
            match pong(peer)? {
                true => pings[number] = pings[number].map(|n| n + 1),
                false => {
                    pings[number] = None;
                    poll.delete(peer.socket())?;
                }
            }
        }
    }
    Ok(pings)
}

/// Answers the ping that has come; false if it is something else, or the end.
fn pong(peer: &mut Peer) -> io::Result<bool> {
    let mut buffer = [0; 256];
    let n = peer.socket().read(&mut buffer).unwrap_or(0);
    let header = Header::parse(&buffer[..n]).filter(|header| header.opcode == PING);
    let payload = header.and_then(|header| buffer[..n].get(header.size..));
    payload.map_or(Ok(false), |payload| {
        peer.send(&wire::client_frame(PONG, payload)).map(|()| true)
    })
}
