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
use crate::system::epoll::{Descriptor, Socket};
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
}

/// A direction, as `pump::side` has it: what it reads is all that it does.
struct Side {
    shared: Arc<Shared>,
    socket: Socket,
    read: Vec<u8>,
    is_ready: bool,
    is_awaited: bool,
}

impl Side {
    fn run(mut self: Box<Self>, place: &mut Place) {
        let mut patience = Patience::new(place, true, std::mem::take(&mut self.is_ready));
        while patience.may_read(|| true, || self.socket.is_readable()) {
            match self.socket.read() {
                PONG => {}
                END => {
                    patience.end();
                    return self.end();
                }
                byte => self.read.push(byte),
            }
        }
        let shared = Arc::clone(&self.shared);
        assert!(shared.parking.park(self).is_ok(), "the set takes it");
    }

    fn end(self) {
        self.shared.over.lock().expect("no panic").push(self.read);
        self.shared.changed.notify_all();
    }
}

impl Parked for Side {
    fn descriptor(&self) -> Descriptor<'_> {
        &self.socket
    }

    fn wakes(&mut self) -> bool {
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

/// Each byte that comes while a direction goes to sleep or wakes is read, in its order, once.
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
        for bytes in sent {
            let socket = Socket::default();
            let side = Box::new(Side {
                shared: Arc::clone(&shared),
                socket: socket.clone(),
                read: Vec::new(),
                is_ready: false,
                is_awaited: thread_rng().gen_bool(0.3),
            });
            let work: Work = Box::new(move |place| side.run(place));
            let started = shared.workers.start(work, Place::new(&shared.workers));
            assert!(started.is_ok(), "threads can be created");
            drop(thread::spawn(move || {
                for byte in bytes {
                    socket.send(*byte);
                    thread::yield_now();
                }
            }));
        }
        let mut over = shared.over.lock().expect("no panic");
        while over.len() < sent.len() {
            over = shared.changed.wait(over).expect("no panic");
        }
        over.sort();
        assert_eq!(*over, [&[1, 2][..], &[3, 4], &[5]]);
    };
    shuttle::check_random(events, ORDERS);
    shuttle::check_pct(events, ORDERS, DEPTH);
}
