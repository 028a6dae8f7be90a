//! Many silent clients: what each costs in memory, how long one takes to be woken, and what it
//! takes to send something to all of them.

mod multitude;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit};

pub use multitude::{Multitude, SETTINGS as MOST, multitude};

use crate::backend::FOR_ALL;
use crate::load::{Meter, PATIENCE, Peer};
use crate::programs::{Program, Service, kernel_memory};
use crate::quantile::quantile;
use crate::wire::{self, TEXT};

/// Setting of the gateway: a client silent for a second gives its threads up.
pub const PARK: &str = "park = 1;";
/// Until a client is silent, and the threads kept for the next one are gone.
const QUIET: Duration = Duration::from_secs(7);
/// Until those that were woken are silent again.
const CALM: Duration = Duration::from_millis(2500);
/// Clients over which the cost of an opening is measured.
const OPENED: usize = 200;
/// Bytes of a message to all.
const BROADCAST: usize = 100;
/// Messages to all.
const BROADCASTS: usize = 5;
/// Descriptors of a process that are not for clients.
const OWN_DESCRIPTORS: usize = 64;

/// What a crowd of silent clients has cost a program.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// The program, and how it is spoken to.
    pub name: String,
    /// How many.
    pub clients: usize,
    /// PSS of each, in bytes.
    pub memory: f64,
    /// The kernel's memory for each beyond that for its two sockets, in bytes.
    pub kernel: f64,
    /// CPU time of an opening around the 200th and at the last, in microseconds.
    pub opening: [f64; 2],
    /// From a message of a silent client to its echo, in microseconds: half of them take less, and
    /// nine tenths.
    pub waking: [f64; 2],
    /// From a message for all to its last arrival, in milliseconds.
    pub broadcast: f64,
    /// Resident memory at its peak meanwhile, in bytes, and before.
    pub peak: [u64; 2],
}

/// How many clients of these, each with so many descriptors here or in a program, the limit allows.
pub fn possible(clients: usize, descriptors: f64) -> io::Result<usize> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let most = (soft as usize).saturating_sub(OWN_DESCRIPTORS) as f64 / descriptors;
    Ok(clients.min(most as usize))
}

/// Has `program` serve a crowd. `bare` is what the kernel takes for the sockets alone, each.
pub fn crowd(program: &Program, suffix: &str, clients: usize, bare: f64) -> io::Result<Crowd> {
    let idle = program.memory()?;
    let kernel = kernel_memory()?;
    let mut peers = Vec::with_capacity(clients);
    open(program, &mut peers, OPENED / 2)?;
    let early = open(program, &mut peers, OPENED)?;
    open(program, &mut peers, clients - OPENED)?;
    let late = open(program, &mut peers, clients)?;
    thread::sleep(QUIET);
    let each = |now: u64, then: u64| (now as f64 - then as f64) / clients as f64;
    let memory = each(program.memory()?, idle);
    let kernel = each(kernel_memory()?, kernel) - bare;
    let waking = wake(&mut peers)?;
    let before = program.take_peak()?;
    let (broadcast, peak) = broadcast(program, &mut peers)?;
    peers.into_iter().try_for_each(Peer::close)?;
    Ok(Crowd {
        name: format!("{}{suffix}", program.name),
        clients,
        memory,
        kernel,
        opening: [early, late],
        waking,
        broadcast,
        peak: [peak, before],
    })
}

/// What the kernel takes for the two sockets of a client, and for their other ends, in bytes.
pub fn bare_sockets(sockets: &Path, clients: usize) -> io::Result<f64> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let before = kernel_memory()?;
    let mut held = Vec::with_capacity(clients);
    for _ in 0..clients {
        let near = std::net::TcpStream::connect(address)?;
        let (far, _) = listener.accept()?;
        let mut backend = UnixStream::connect(sockets.join("crowd"))?;
        backend.write_all(b"x")?;
        io::Read::read_exact(&mut backend, &mut [0])?;
        held.push((near, far, backend));
    }
    thread::sleep(CALM);
    Ok((kernel_memory()? as f64 - before as f64) / clients as f64)
}

/// Opens clients until there are so many; CPU time of the program for each.
fn open(program: &Program, peers: &mut Vec<Peer>, until: usize) -> io::Result<f64> {
    let new = until.saturating_sub(peers.len());
    let meter = Meter::start(program)?;
    for _ in 0..new {
        let mut peer = Peer::open(program, Service::Crowd)?;
        peer.echo_once()?;
        peers.push(peer);
    }
    meter.stop(new as f64).map(|sample| sample.cpu)
}

/// Has some of the silent clients send a message, one after the other.
fn wake(peers: &mut [Peer]) -> io::Result<[f64; 2]> {
    let step = (peers.len() / OPENED).max(1);
    let mut times = Vec::new();
    for peer in peers.iter_mut().step_by(step) {
        let begin = Instant::now();
        peer.echo_once()?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok([0.5, 0.9].map(|part| quantile(times.clone(), part)))
}

/// Sends some messages to all; milliseconds until all have one, and the program's peak.
fn broadcast(program: &Program, peers: &mut [Peer]) -> io::Result<(f64, u64)> {
    let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (number, peer) in peers.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        poll.add(peer.socket(), event)?;
    }
    let patience = EpollTimeout::try_from(PATIENCE).map_err(io::Error::other)?;
    let message = wire::client_frame(TEXT, &[FOR_ALL; BROADCAST]);
    let (mut events, mut buffer) = (vec![EpollEvent::empty(); 256], vec![0; 4096]);
    let (mut times, mut peak) = (Vec::new(), 0);
    for _ in 0..BROADCASTS {
        thread::sleep(CALM);
        program.take_peak()?;
        let begin = Instant::now();
        let mut missing = (peers.len() * BROADCAST) as u64;
        peers
            .first_mut()
            .map_or(Ok(()), |first| first.send(&message))?;
        while missing > 0 {
            let ready = poll.wait(&mut events, patience)?;
            if ready == 0 {
                return Err(io::Error::other("a message to all does not reach all"));
            }
            for event in &events[..ready] {
                let read = peers[event.data() as usize].read(&mut buffer)?;
                missing = missing.saturating_sub(read);
            }
        }
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        peak = peak.max(program.take_peak()?);
    }
    Ok((quantile(times, 0.5), peak))
}
