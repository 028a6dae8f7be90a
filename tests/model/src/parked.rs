//! The hand-over of silent directions between the watching thread and those that copy, in many
//! orders of events.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::patience::Patience;
use crate::server::parking::{Parked, Parking};
use crate::server::workers::{Place, Work, Workers};
use crate::system::epoll::{Awaited, Descriptor, Socket};
use crate::system::threads;

/// Orders of events that each test tries, of both schedulers.
const ORDERS: usize = 2_000;

/// Events at which the second scheduler changes its mind within an order.
const DEPTH: usize = 4;

/// A byte that the watching thread eats, as it does pongs.
const PONG: u8 = 0;

/// The last byte of a direction.
const END: u8 = 255;

/// What all directions of a server share.
#[derive(Default)]
struct Shared {
    parking: Parking,
    workers: Arc<Workers>,
    /// Directions that are over, and what each has read.
    over: Mutex<Vec<Vec<u8>>>,
    changed: Condvar,
    /// How often a direction has given its thread up.
    left: Mutex<usize>,
}

/// A direction, as `pump::side` has it: it gives what it reads to the peer of another socket.
struct Side {
    shared: Arc<Shared>,
    socket: Socket,
    out: Socket,
    /// What the other socket has not taken.
    kept: Option<u8>,
    read: Vec<u8>,
    is_ready: bool,
    is_awaited: bool,
}

impl Side {
    fn run(mut self: Box<Self>, place: &mut Place) {
        let mut patience = Patience::new(
            place,
            Some(Duration::ZERO),
            std::mem::take(&mut self.is_ready),
        );
        while self.send_kept() && patience.may_read(|| true, || self.socket.is_readable()) {
            let read = self.socket.read();
            patience.has_read();
            match read {
                None if patience.is_over(|| true) => break,
                None | Some(PONG) => {}
                Some(END) => {
                    patience.end();
                    return self.end();
                }
                byte => self.kept = byte,
            }
        }
        if self.kept.is_some() && self.socket.has_left() {
            patience.end();
            return self.end();
        }
        let shared = Arc::clone(&self.shared);
        *shared.left.lock().expect("no panic") += 1;
        assert!(shared.parking.park(self).is_ok(), "the set takes it");
    }

    /// Gives what is kept to the other socket's peer. Returns whether nothing is left.
    fn send_kept(&mut self) -> bool {
        if let Some(byte) = self.kept.take_if(|byte| self.out.give(*byte)) {
            self.read.push(byte);
        }
        self.kept.is_none()
    }

    fn end(self) {
        self.shared.over.lock().expect("no panic").push(self.read);
        self.shared.changed.notify_all();
    }
}

impl Parked for Side {
    fn descriptor(&self) -> Descriptor<'_> {
        match self.kept {
            Some(_) => &self.out,
            None => &self.socket,
        }
    }

    fn awaited(&self) -> Awaited {
        match self.kept {
            Some(_) => Awaited::Space,
            None => Awaited::Input,
        }
    }

    fn leaves(&self) -> Option<Descriptor<'_>> {
        self.kept.map(|_| &self.socket)
    }

    fn wakes(&mut self) -> bool {
        if self.kept.is_some() {
            return true;
        }
        if self.socket.take(PONG) {
            return false;
        }
        self.is_ready = true;
        true
    }

    fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    fn resume(self: Box<Self>, place: &mut Place) {
        self.run(place);
    }

    fn passes(&self) -> Option<usize> {
        None
    }

    fn pass(&self, _server: &str, _to: BorrowedFd<'_>) -> io::Result<bool> {
        Ok(false)
    }
}

/// What of these bytes is to be given to the peer of the other socket.
fn data(bytes: &[u8]) -> Vec<u8> {
    let is_data = |byte: &u8| ![PONG, END].contains(byte);
    bytes.iter().copied().filter(is_data).collect()
}

/// Looks at the threads that read, a few times: whoever is in the same read at two is called out of
/// it.
fn start_looks(shared: &Arc<Shared>) {
    let workers = Arc::clone(&shared.workers);
    drop(thread::spawn(move || {
        for _ in 0..4 {
            workers.watch();
            thread::yield_now();
        }
    }));
}

/// Each byte that comes while a direction goes to sleep or wakes is read, in its order, once; and
/// one whose peer does not take what is written goes on when it does, or ends when its own leaves.
pub fn what_comes_at_any_moment_of_sleep_is_read_once_and_in_order() {
    let events = || {
        let shared = Arc::new(Shared::default());
        shared.parking.open().expect("a set");
        // One has a turn at a time, and one may wait with a thread in hand.
        shared.workers.set_limit(2);
        let watched = Arc::clone(&shared);
        // Neither it nor the threads that are kept end: only the test does.
        let watch = threads::spawn("watch", move || {
            loop {
                let end = Instant::now() + Duration::from_secs(3600);
                watched.parking.wait_until(end, &watched.workers);
            }
        });
        watch.expect("threads can be created");
        let sent: [&[u8]; 3] = [&[1, PONG, 2, END], &[3, 4, END], &[PONG, 5, END]];
        // The first two are the directions of a connection: each writes where the other reads.
        let sockets: [Socket; 3] = Default::default();
        let outs = [&sockets[1], &sockets[0], &sockets[2]];
        for ((bytes, socket), out) in sent.into_iter().zip(&sockets).zip(outs) {
            let (socket, out) = (socket.clone(), out.clone());
            let (taking, count) = (out.clone(), data(bytes).len());
            // Its peer takes what is written, each byte when it likes.
            drop(thread::spawn(move || {
                for _ in 0..count {
                    taking.receive();
                    thread::yield_now();
                }
            }));
            start(&shared, socket.clone(), out, thread_rng().gen_bool(0.3));
            drop(thread::spawn(move || {
                for byte in bytes {
                    socket.send(*byte);
                    thread::yield_now();
                }
            }));
        }
        start_deaf(&shared);
        start_looks(&shared);
        let mut over = shared.over.lock().expect("no panic");
        while over.len() <= sent.len() {
            over = shared.changed.wait(over).expect("no panic");
        }
        over.sort();
        assert_eq!(*over, [&[1, 2][..], &[3, 4], &[5], &[6]]);
    };
    shuttle::check_random(events, ORDERS);
    shuttle::check_pct(events, ORDERS, DEPTH);
}

/// Starts a direction that reads one socket and writes to another.
fn start(shared: &Arc<Shared>, socket: Socket, out: Socket, is_awaited: bool) {
    let side = Box::new(Side {
        shared: Arc::clone(shared),
        socket,
        out,
        kept: None,
        read: Vec::new(),
        is_ready: false,
        is_awaited,
    });
    let work: Work = Box::new(move |place| side.run(place));
    let started = shared.workers.start(work, Place::new(&shared.workers));
    assert!(started.is_ok(), "threads can be created");
}

/// Starts a direction that writes where nobody takes more than a byte, and whose own peer leaves.
fn start_deaf(shared: &Arc<Shared>) {
    let socket = Socket::default();
    start(shared, socket.clone(), Socket::default(), false);
    drop(thread::spawn(move || {
        for byte in [6, 7] {
            socket.send(byte);
            thread::yield_now();
        }
        socket.leave();
    }));
}

/// A thread that waits in a read is called out of it, and again if the call came before the read.
pub fn a_thread_that_waits_in_a_read_is_called_out_of_it() {
    let events = || {
        let shared = Arc::new(Shared::default());
        shared.parking.open().expect("a set");
        shared.workers.set_limit(2);
        start(&shared, Socket::default(), Socket::default(), false);
        while *shared.left.lock().expect("no panic") == 0 {
            shared.workers.watch();
            thread::yield_now();
        }
    };
    shuttle::check_random(events, ORDERS);
}
