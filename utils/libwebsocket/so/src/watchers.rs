//! Which epolls watch a connection, and what each asked for.
//!
//! An event carries the program's data, not the descriptor. So a connection is registered with data
//! of the library's, which leads back to the program's.

use core::ffi::c_int;

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLONESHOT, epoll_event};

use crate::sys::{self, process};

/// Marks the library's data; no pointer, descriptor or small number looks like it.
const MARK: u64 = 0x5753_4b54 << 32;
const LOW: u64 = 0xffff_ffff;

/// Epolls that may watch one connection with the library's help; a further one sees the kernel's
/// events as they are.
const PLACES: usize = 4;

/// What one epoll asked for.
#[derive(Clone, Copy)]
pub(crate) struct Registration {
    pub(crate) epoll: c_int,
    pub(crate) fd: c_int,
    pub(crate) events: u32,
    pub(crate) data: u64,
    /// The process that made it: a child shares the epoll and leaves it alone.
    process: c_int,
}

/// The descriptor that an event's data leads to, if the data is the library's.
pub(crate) fn descriptor(data: u64) -> Option<c_int> {
    (data & !LOW == MARK).then_some((data & LOW) as c_int)
}

impl Registration {
    /// This process's.
    pub(crate) fn new(epoll: c_int, fd: c_int, wanted: epoll_event) -> Self {
        Registration {
            epoll,
            fd,
            events: wanted.events,
            data: wanted.u64,
            process: process::owner(),
        }
    }

    fn is_ours(&self) -> bool {
        self.process == process::owner()
    }

    /// Tells the kernel, with the library's data.
    pub(crate) fn register(&self, operation: c_int) -> c_int {
        self.tell(operation, MARK | self.fd as u64 & LOW)
    }

    #[inline(never)]
    fn tell(&self, operation: c_int, data: u64) -> c_int {
        let mut event = epoll_event {
            events: self.events,
            u64: data,
        };
        // SAFETY: the event is the library's.
        unsafe { sys::epoll_ctl(self.epoll, operation, self.fd, &mut event) }
    }

    /// Edge-triggered, and not disarmed by its first event.
    pub(crate) fn is_edge(&self) -> bool {
        self.events & (EPOLLET | EPOLLONESHOT) as u32 == EPOLLET as u32
    }

    /// An event that is dropped has used up the only one there was.
    pub(crate) fn is_used_up(&self) -> bool {
        self.events & (EPOLLET | EPOLLONESHOT) as u32 != 0
    }
}

/// Where a connection is registered.
pub(crate) struct Watchers {
    places: [Option<Registration>; PLACES],
    overflown: bool,
}

impl Watchers {
    pub(crate) const fn new() -> Self {
        Watchers {
            places: [None; PLACES],
            overflown: false,
        }
    }

    /// Some epoll watches the socket of which nothing is known here.
    pub(crate) fn have_unknown(&self) -> bool {
        self.overflown
    }

    /// There was no place for an epoll.
    pub(crate) fn set_unknown(&mut self) {
        self.overflown = true;
    }

    /// This process watches the socket.
    pub(crate) fn have_ours(&self) -> bool {
        self.ours().next().is_some()
    }

    /// The registrations of this process.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Registration> {
        self.places.iter().flatten().filter(|known| known.is_ours())
    }

    fn find(&mut self, epoll: c_int, fd: c_int) -> Option<&mut Option<Registration>> {
        self.places
            .iter_mut()
            .find(|place| place.is_some_and(|known| known.epoll == epoll && known.fd == fd))
    }

    /// The registration that an event of `epoll` belongs to; if that was made under another number
    /// of the same epoll (dup), the descriptor's own.
    #[inline(never)]
    pub(crate) fn get(&self, epoll: c_int, fd: c_int) -> Option<Registration> {
        let mut of_fd = self.places.iter().flatten().filter(|known| known.fd == fd);
        of_fd
            .clone()
            .find(|known| known.epoll == epoll)
            .or_else(|| of_fd.next())
            .copied()
    }

    /// The place of this registration, or a free one for it.
    pub(crate) fn place(&mut self, epoll: c_int, fd: c_int) -> Option<&mut Option<Registration>> {
        if self.find(epoll, fd).is_some() {
            return self.find(epoll, fd);
        }
        self.places.iter_mut().find(|place| place.is_none())
    }

    /// The program takes a registration back.
    pub(crate) fn remove(&mut self, epoll: c_int, fd: c_int) {
        if let Some(place) = self.find(epoll, fd) {
            *place = None;
        }
    }

    /// Edge-triggered epolls report the socket once more.
    pub(crate) fn trigger_again(&self) {
        for known in self.ours().filter(|known| known.is_edge()) {
            known.register(EPOLL_CTL_MOD);
        }
    }

    /// The descriptor is about to close. If a child has the socket still open, the kernel would go
    /// on reporting it to this process.
    pub(crate) fn forget(&mut self, fd: c_int) {
        for place in &mut self.places {
            if let Some(known) = place.filter(|known| known.fd == fd) {
                if known.is_ours() {
                    known.register(EPOLL_CTL_DEL);
                }
                *place = None;
            }
        }
    }

    /// The descriptors are about to become another socket's, or have become it.
    #[inline(never)]
    pub(crate) fn move_to_new_socket(&self, has_moved: bool) {
        let operation = if has_moved {
            EPOLL_CTL_ADD
        } else {
            EPOLL_CTL_DEL
        };
        for known in self.ours() {
            known.register(operation);
        }
    }

    /// The socket is none of the library's: its events carry the program's data.
    pub(crate) fn give_back(&mut self) {
        for known in self.ours() {
            known.tell(EPOLL_CTL_MOD, known.data);
        }
        self.places = [None; PLACES];
    }
}
