//! Running: serves an open WebSocket by relay or hand-over, to its end and its log line.

use std::fmt::Display;
#[cfg(feature = "websocket_rt")]
use std::net::SocketAddr;
#[cfg(feature = "websocket_rt")]
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
#[cfg(all(feature = "websocket_rt", feature = "state"))]
use std::time::Instant;

use log::info;
#[cfg(feature = "websocket_rt")]
use log::{debug, warn};

use crate::backend::Backend;
use crate::client::Client;
#[cfg(feature = "websocket_rt")]
use crate::client::Peer;
use crate::client::frames::FrameWriter;
use crate::logging::Seconds;
use crate::server::resources::Opening;
#[cfg(all(feature = "websocket_rt", feature = "state"))]
use crate::server::seen::HandedOver;
use crate::server::slot::Slot;
use crate::server::workers::Place;
use crate::system::reason::reason;
use crate::tally;
use crate::websocket::handshake::{self, Upgrade};
use crate::websocket::pump::{self, Last, Terms, Who};
#[cfg(feature = "share")]
use crate::websocket::share::{self, Membership};
#[cfg(feature = "websocket_rt")]
use crate::websocket::{direct, handed};

/// What serves a client that has passed every check: its service and the connected backend.
pub(crate) struct Session {
    pub(super) upgrade: Upgrade,
    pub(super) protocol: Option<String>,
    /// Taken when it begins to be used.
    pub(super) line: Option<Line>,
    /// The file that was resolved, held open until the hand-over, and the right to do so.
    pub(super) held: Option<(Option<OwnedFd>, Opening)>,
    pub(super) terms: Terms,
    /// What a backend that takes the client over is told.
    #[cfg(feature = "websocket_rt")]
    pub(super) told: direct::Told,
}

/// The way to the backend.
pub(super) enum Line {
    /// A connection for this client alone.
    Own(Backend),
    /// A place among those who share one.
    #[cfg(feature = "share")]
    Shared(Membership),
}

impl Session {
    /// Whom it serves.
    pub(crate) fn who(&self) -> &Who {
        &self.terms.who
    }

    /// The subprotocol that was chosen.
    #[cfg(feature = "state")]
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The subprotocols that the client has offered.
    #[cfg(feature = "state")]
    pub(crate) fn offered(&self) -> &[String] {
        &self.upgrade.protocols
    }

    /// Serves until both sides have ended, or hands the client over to the backend. The call
    /// returns earlier where this thread is not needed.
    pub(crate) fn run(
        mut self: Box<Self>,
        slot: Slot,
        writer: Arc<FrameWriter>,
        place: &mut Place,
    ) {
        let Some(line) = self.line.take() else {
            return;
        };
        if self.terms.park.is_some() {
            slot.release_threads();
        }
        #[cfg(feature = "websocket_rt")]
        let line = match line {
            Line::Own(backend) if direct::is_for(&self.terms.config, writer.client()) => {
                match writer.client().peer() {
                    Some(address) => return self.hand_over(backend, slot, writer, address, place),
                    None => Line::Own(backend),
                }
            }
            line => line,
        };
        self.tell_of_protocols(writer.client());
        drop(self.held.take());
        let Self {
            upgrade,
            protocol,
            terms,
            ..
        } = *self;
        let client = Arc::clone(&writer);
        let greet =
            || handshake::switching_protocols(client.client(), &upgrade, protocol.as_deref());
        let last = log_end(slot);
        match line {
            Line::Own(backend) => {
                let terms = (terms, protocol.as_deref());
                pump::run(writer, backend, terms, place, greet, last);
            }
            #[cfg(feature = "share")]
            Line::Shared(membership) => share::run(writer, membership, terms, place, greet, last),
        }
    }

    /// Logs that subprotocols were offered and none is chosen: browsers then give up, and tell
    /// nobody why.
    fn tell_of_protocols(&self, client: impl Display) {
        if self.protocol.is_none() && !self.upgrade.protocols.is_empty() {
            let offered = self.upgrade.protocols.join(", ");
            info!(
                "{client} {}: none of the subprotocols offered ({offered}) is chosen, so that a \
                 browser gives up; 'protocols' lists those to choose from",
                self.terms.who.service
            );
        }
    }

    /// Sends the 101, then hands the client's descriptor over to the backend, which speaks frames
    /// itself. If the hand-over fails, the relay serves the client.
    #[cfg(feature = "websocket_rt")]
    fn hand_over(
        mut self: Box<Self>,
        backend: Backend,
        slot: Slot,
        writer: Arc<FrameWriter>,
        address: SocketAddr,
        place: &mut Place,
    ) {
        // Until the client is handed over, each step counts: the C gateway's library may be looking
        // for it already.
        let answer = handshake::switching(&self.upgrade, self.protocol.as_deref());
        if let Err(error) = direct::write_ahead(writer.client(), answer.as_bytes()) {
            return debug!(
                "{} {}: gone before the 101: {}",
                writer.client(),
                self.terms.who.service,
                reason(&error)
            );
        }
        let client = slot.take(writer);
        let source = client.source();
        let peer = Peer(source);
        let left = match client.into_plain() {
            Ok(socket) => match direct::hand_over(socket, backend.as_fd(), address, &self.told) {
                Ok(()) => {
                    tally::handed_over();
                    self.tell_of_protocols(&peer);
                    let name = format!("{peer} {}", self.terms.who);
                    let source = source.unwrap_or(address);
                    let (id, pool) = (slot.number(), slot.pool());
                    let shown = self.show(id, source);
                    return handed::watch(backend.into_fd(), (name, id), pool, shown);
                }
                Err((socket, error)) => {
                    warn!(
                        "{peer} {}: {error}; relaying instead",
                        self.terms.who.service
                    );
                    Client::plain(socket)
                }
            },
            Err(client) => client,
        };
        if let Some(source) = source {
            left.set_source(source);
        }
        let writer = slot.put(left);
        if let Err(error) = backend.set_blocking() {
            return warn!("{peer} {}: {}", self.terms.who.service, reason(&error));
        }
        self.tell_of_protocols(&peer);
        drop(self.held.take());
        let Self {
            protocol, terms, ..
        } = *self;
        let terms = (terms, protocol.as_deref());
        pump::run(writer, backend, terms, place, || Ok(()), log_end(slot));
    }
}

/// Shows a client that was handed over to whoever asks, until what is returned is dropped.
#[cfg(feature = "websocket_rt")]
impl Session {
    #[cfg(feature = "state")]
    fn show(&self, id: usize, source: SocketAddr) -> handed::Shown {
        let who = &self.terms.who;
        Box::new(self.terms.clients.show(HandedOver {
            id,
            source,
            service: Arc::clone(&who.service),
            user: who.user.clone(),
            since: Instant::now(),
        }))
    }

    #[cfg(not(feature = "state"))]
    fn show(&self, _: usize, _: SocketAddr) -> handed::Shown {
        Box::new(())
    }
}

/// What is done when both directions of a connection are over: its log line, and its slot is free.
pub(super) fn log_end(slot: Slot) -> Last {
    Box::new(move |writer, who, report| {
        let peer = writer.client();
        tally::ended(report.code, report.lasted, peer.traffic());
        info!(
            "{peer} {who}: {}, {} bytes in, {} bytes out, {}, id {}",
            report.code,
            report.to_backend,
            report.to_client,
            Seconds(report.lasted),
            peer.number()
        );
        drop(slot);
    })
}
