//! Running: serves an open WebSocket by relay or hand-over, to its end and its log line.

use std::io;
#[cfg(feature = "websocket_rt")]
use std::net::SocketAddr;
#[cfg(feature = "websocket_rt")]
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;
#[cfg(feature = "websocket_rt")]
use log::{debug, warn};

use crate::backend::Backend;
use crate::client::Client;
use crate::client::frames::FrameWriter;
use crate::config::ServiceConfig;
#[cfg(feature = "websocket_rt")]
use crate::frame::CloseCode;
use crate::http::refusal::Refusal;
use crate::logging::Seconds;
use crate::server::resources::Opening;
use crate::server::slot::Slot;
use crate::system::budget::Budget;
use crate::system::reason::reason;
use crate::tally;
use crate::websocket::handshake::{self, Upgrade};
use crate::websocket::pump::{self, Terms};
#[cfg(feature = "websocket_rt")]
use crate::websocket::{direct, handed};

/// What serves a client that has passed every check: its service and the connected backend.
pub(crate) struct Session<'a> {
    pub(super) upgrade: Upgrade,
    /// The service's name.
    pub(super) name: String,
    pub(super) config: &'a ServiceConfig,
    pub(super) protocol: Option<String>,
    pub(super) backend: Backend,
    /// The file that was resolved, held open until the hand-over, and the right to do so.
    pub(super) held: Option<(Option<OwnedFd>, Opening<'a>)>,
    pub(super) ping: Duration,
    /// The memory that all clients of the server share.
    pub(super) budget: &'a Budget,
}

impl Session<'_> {
    /// The service's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The subprotocol that was chosen.
    #[cfg(feature = "state")]
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The subprotocols that the client has offered.
    pub(crate) fn offered(&self) -> &[String] {
        &self.upgrade.protocols
    }

    /// Serves until both sides have ended, or hands the client over to the backend.
    ///
    /// # Errors
    /// The client and its refusal if no thread can be created: the 101 has not been sent then.
    pub(crate) fn run(
        mut self: Box<Self>,
        slot: &Slot,
        writer: Arc<FrameWriter>,
    ) -> Result<(), (Arc<FrameWriter>, Refusal)> {
        #[cfg(feature = "websocket_rt")]
        if self.config.direct
            && !writer.client().is_tls()
            // A client of a UNIX socket has no address for the hand-over.
            && let Some(address) = writer.client().peer()
        {
            self.hand_over(slot, writer, address);
            return Ok(());
        }
        #[cfg(not(feature = "websocket_rt"))]
        let _ = slot;
        drop(self.held.take());
        match self.relay(&writer, &|| self.switch(writer.client())) {
            Ok(()) => Ok(()),
            Err(error) => {
                let reason = format!("{}: cannot create a thread: {}", self.name, reason(&error));
                Err((writer, Refusal::Unavailable(reason)))
            }
        }
    }

    /// Copies until both sides have ended.
    ///
    /// # Errors
    /// If the second thread cannot be created. `greet` has not been called then.
    fn relay(&self, writer: &FrameWriter, greet: &pump::Greet<'_>) -> io::Result<()> {
        let start = Instant::now();
        let peer = writer.client();
        let name = &self.name;
        let terms = Terms {
            config: self.config,
            protocol: self.protocol.as_deref(),
            ping: self.ping,
            budget: self.budget,
        };
        let report = pump::run(writer, &self.backend, &terms, greet)?;
        tally::ended(report.code, start.elapsed(), peer.traffic());
        info!(
            "{peer} {name}: {}, {} bytes in, {} bytes out, {}",
            report.code,
            report.to_backend,
            report.to_client,
            Seconds(start.elapsed())
        );
        Ok(())
    }

    /// Sends the 101.
    fn switch(&self, client: &Client) -> io::Result<()> {
        handshake::switching_protocols(client, &self.upgrade, self.protocol.as_deref())
    }

    /// Sends the 101, then hands the client's descriptor over to the backend, which speaks frames
    /// itself. If the hand-over fails, the relay serves the client.
    #[cfg(feature = "websocket_rt")]
    fn hand_over(mut self: Box<Self>, slot: &Slot, writer: Arc<FrameWriter>, address: SocketAddr) {
        let peer = writer.client().to_string();
        // Made before the 101: nothing stands between that and the hand-over.
        let told = direct::Told::of(self.config, self.protocol.as_deref());
        if let Err(error) = self.switch(writer.client()) {
            return debug!("{peer} {}: gone before the 101: {error}", self.name);
        }
        let client = slot.take(writer);
        let source = client.source();
        let left = match client.into_plain() {
            Ok(socket) => match direct::hand_over(socket, self.backend.as_fd(), address, &told) {
                Ok(()) => {
                    tally::handed_over();
                    let name = format!("{peer} {}", self.name);
                    return handed::watch(self.backend.into_fd(), name, slot.pool());
                }
                Err((socket, error)) => {
                    warn!("{peer} {}: {error}; relaying instead", self.name);
                    Client::plain(socket)
                }
            },
            Err(client) => client,
        };
        if let Some(source) = source {
            left.set_source(source);
        }
        let writer = slot.put(left);
        drop(self.held.take());
        if let Err(error) = self.relay(&writer, &|| Ok(())) {
            warn!(
                "{peer} {}: cannot create a thread: {}",
                self.name,
                reason(&error)
            );
            // The 101 has been sent, so only a Close can tell the client.
            let _ = writer.open(|| Ok(()));
            let _ = writer.close(Some(CloseCode::Error));
            writer.client().finish();
            writer.client().linger(pump::CLOSE_WAIT);
        }
    }
}
