//! The places of the clients: who is being served, and how it is ended from outside.
//!
//! A [`Place`] is a client's seat: no seat, no service; when it is dropped the seat is
//! free again, whatever ended the client.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::client::frames::{WATCHES, Wire};
use crate::config::ServerConfig;
use crate::http::trust::is_trusted;
use crate::system::threads;

/// Clients beyond `maxclients` that are told so by a thread of their own; as many again may be
/// on their way out when others take their places.
const SPARE_PLACES: usize = 16;

/// Pause between two tries to send a Close to clients without room for it.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A handshake younger than this does not give way to a new client.
const MIN_HANDSHAKE: Duration = Duration::from_millis(500);

/// The clients' places. The next configuration's server takes it over, with who is in it.
#[derive(Default)]
pub struct Room {
    seats: Mutex<Seats>,
    /// Told whenever a seat becomes free.
    freed: Condvar,
    /// The thread that watches silent clients, once there is one, and its pause.
    watch: Mutex<Option<Duration>>,
}

impl Room {
    /// Watches for clients that are silent for `ping`, from a thread of its own that ends with
    /// the room.
    ///
    /// # Errors
    /// When the thread cannot be created.
    pub fn watch(self: &Arc<Self>, ping: Duration) -> io::Result<()> {
        let pause = ping / u32::from(WATCHES);
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let room = Arc::downgrade(self);
            threads::spawn("watch", move || {
                while let Some(pause) = room.upgrade().and_then(|room| room.look_round()) {
                    thread::sleep(pause);
                }
            })?;
        }
        *watch = Some(pause);
        Ok(())
    }

    /// Looks at every client once; the pause until the next look.
    fn look_round(&self) -> Option<Duration> {
        for seat in &self.seats().taken {
            if let Hold::Wire(wire) = &seat.hold {
                wire.watch();
            }
        }
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is being served.
    pub fn is_empty(&self) -> bool {
        self.seats().taken.is_empty()
    }

    /// Sends Close 1001 to those that have come so far, and ends the others, those too that are
    /// just being let in.
    pub fn stop(&self) {
        let mut seats = self.seats();
        seats.is_stopping = true;
        for seat in &seats.taken {
            match &seat.hold {
                Hold::Wire(wire) => wire.stop(),
                Hold::Socket(_) => seat.cut(),
            }
        }
    }

    /// Ends everybody.
    pub fn cut(&self) {
        for seat in &self.seats().taken {
            seat.cut();
        }
    }

    /// Waits until nobody is being served. A client that had no room for its Close gets it as
    /// soon as it has some.
    pub fn wait_empty(&self, deadline: Instant) {
        let taken = |seats: &mut Seats| !seats.taken.is_empty();
        let mut seats = self.seats();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = left.min(SETTLE_PAUSE);
            let waited = self.freed.wait_timeout_while(seats, pause, taken);
            seats = waited.unwrap_or_else(PoisonError::into_inner).0;
            if seats.taken.is_empty() || left.is_zero() {
                return;
            }
            for seat in &seats.taken {
                if let Hold::Wire(wire) = &seat.hold {
                    wire.settle();
                }
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clients that are being served.
#[derive(Default)]
struct Seats {
    next: usize,
    /// In the order of their coming.
    taken: Vec<Seat>,
    /// Nobody is served any more.
    is_stopping: bool,
}

impl Seats {
    /// Whether an address has so many seats; 0 is no limit.
    fn is_crowded(&self, ip: IpAddr, limit: usize) -> bool {
        let of_ip = |seat: &&Seat| seat.ip == Some(ip);
        limit > 0 && self.taken.iter().filter(of_ip).count() >= limit
    }

    fn numbered(&mut self, number: usize) -> Option<&mut Seat> {
        self.taken.iter_mut().find(|seat| seat.number == number)
    }
}

struct Seat {
    number: usize,
    since: Instant,
    /// It is in the middle of an answer, before or without a 101.
    is_answered: bool,
    ip: Option<IpAddr>,
    /// To end it from outside: the wire, or the bare socket while it has none.
    hold: Hold,
}

enum Hold {
    /// Just accepted, or in the TLS handshake, which has a descriptor to cut; or given away.
    Socket(Option<TcpStream>),
    Wire(Arc<Wire>),
}

impl Seat {
    /// Whether its client has not come as far as an answer.
    fn is_opening(&self) -> bool {
        match &self.hold {
            _ if self.is_answered => false,
            Hold::Socket(socket) => socket.is_some(),
            Hold::Wire(wire) => !wire.is_open(),
        }
    }

    fn cut(&self) {
        match &self.hold {
            Hold::Socket(Some(socket)) => {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
            Hold::Socket(None) => {}
            Hold::Wire(wire) => wire.client().cut(),
        }
    }
}

/// A client's place among `maxclients`; dropping it makes room for the next.
pub struct Place {
    room: Arc<Room>,
    number: usize,
    spare: bool,
    trusted: bool,
}

impl Place {
    /// Finds a place for a client of the server with these settings; `None` when there are none
    /// left even for those who are refused.
    pub fn find(room: &Arc<Room>, config: &ServerConfig, socket: &TcpStream) -> Option<Place> {
        let peer = socket.peer_addr().ok();
        let trusted = is_trusted(&config.trusted, peer, socket.local_addr().ok());
        // Whom a proxy speaks for is known after the head: see `belongs_to`.
        let ip = peer
            .filter(|_| !trusted)
            .map(|address| address.ip().to_canonical());
        let now = Instant::now();
        let mut seats = room.seats();
        let count = seats.taken.len();
        let crowded = ip.is_some_and(|ip| seats.is_crowded(ip, config.max_per_ip));
        let mut spare = crowded;
        if count >= config.max_clients {
            // The oldest handshake that does not come to its end gives way, one that could only
            // be refused too.
            let late = |seat: &&Seat| seat.is_opening() && now - seat.since > MIN_HANDSHAKE;
            match seats.taken.iter_mut().find(|seat| late(&&**seat)) {
                Some(seat) if count < config.max_clients + 2 * SPARE_PLACES => {
                    seat.cut();
                    // It gives way to one client: the next one finds the next.
                    seat.since = now;
                }
                _ if count >= config.max_clients + SPARE_PLACES => return None,
                _ => spare = true,
            }
        }
        let number = seats.next;
        seats.next = number.wrapping_add(1);
        // Cut from outside, should it be stopped before it has a wire.
        let hold = Hold::Socket(match config.tls {
            Some(_) => socket.try_clone().ok(),
            None => None,
        });
        seats.taken.push(Seat {
            number,
            since: now,
            is_answered: false,
            ip,
            hold,
        });
        Some(Place {
            room: Arc::clone(room),
            number,
            spare,
            trusted,
        })
    }

    /// Whether the server is full, so that this client can only be told so.
    pub fn is_spare(&self) -> bool {
        self.spare
    }

    /// Whether its peer is believed about whom it speaks for.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Gives the place of a trusted peer to whom it speaks for, unless that address has `limit`
    /// places (`maxperip`; 0 is no limit).
    pub fn belongs_to(&self, ip: IpAddr, limit: usize) -> bool {
        let mut seats = self.room.seats();
        let ip = ip.to_canonical();
        if seats.is_crowded(ip, limit) {
            return false;
        }
        if let Some(seat) = seats.numbered(self.number) {
            seat.ip = Some(ip);
        }
        true
    }

    /// Its number, which no other client has.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Puts a client here.
    pub fn put(&self, client: Client) -> Arc<Wire> {
        let wire = Arc::new(Wire::new(client));
        let mut seats = self.room.seats();
        if seats.is_stopping {
            wire.stop();
        }
        if let Some(seat) = seats.numbered(self.number) {
            seat.hold = Hold::Wire(Arc::clone(&wire));
        }
        drop(seats);
        wire
    }

    /// Says that the client is being answered, however long that takes (a file, a backend that
    /// is waited for): it gives way to nobody. Or that it no longer is.
    pub fn is_answered(&self, is_answered: bool) {
        if let Some(seat) = self.room.seats().numbered(self.number) {
            seat.is_answered = is_answered;
        }
    }

    /// Takes the client away, to give it to somebody else.
    pub fn take(&self, wire: Arc<Wire>) -> Client {
        if let Some(seat) = self.room.seats().numbered(self.number) {
            seat.hold = Hold::Socket(None);
        }
        let wire = Arc::into_inner(wire).expect("only the seat has had it too");
        wire.into_client()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room
            .seats()
            .taken
            .retain(|seat| seat.number != self.number);
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
