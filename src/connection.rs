//! One connection, start to end: the story all other files are called from.
//!
//! TLS, request, checks, backend, 101; then the pump, or the hand-over in direct
//! mode. Before the 101 a client is refused with an HTTP status, after it with a
//! close code. One log line ends each connection that was let in.

use std::fmt;
#[cfg(feature = "websocket")]
use std::io;
#[cfg(feature = "websocket_rt")]
use std::net::SocketAddr;
#[cfg(feature = "websocket_rt")]
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
#[cfg(feature = "websocket")]
use log::{info, warn};

use crate::client::Client;
use crate::client::frames::FrameWriter;
use crate::http::document::Document;
#[cfg(feature = "websocket")]
use crate::http::proxy;
use crate::http::proxy::Told;
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::response;
use crate::http::trust;
use crate::server::Server;
use crate::server::clients::Slot;
#[cfg(feature = "websocket")]
use crate::{
    backend::{self, Backend},
    config::{ServiceConfig, WebsocketConfig},
    websocket::access::{self, Service},
    websocket::handshake::{self, Upgrade},
    websocket::pump,
};
#[cfg(feature = "websocket_rt")]
use crate::{frame::CloseCode, websocket::direct};

/// Longest wait for a refused client to take its answer.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Pause between two tries to reach a backend that restarts.
#[cfg(feature = "websocket")]
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Serves one client; returns when it is gone. `told` is what its PROXY header says.
pub fn serve(
    server: &Server,
    slot: &Slot,
    writer: Arc<FrameWriter>,
    told: Told,
    deadline: Instant,
) {
    match answer(server, slot, writer.client(), told, deadline) {
        Ok(None) => {}
        #[cfg(feature = "websocket")]
        Ok(Some(session)) => session.run(slot, writer),
        #[cfg(not(feature = "websocket"))]
        Ok(Some(never)) => match *never {},
        Err(refusal) => {
            slot.is_answered(false);
            refuse(writer.client(), &refusal);
        }
    }
}

/// What a request comes to: a WebSocket, or nothing more once a file has been sent.
#[cfg(feature = "websocket")]
type Answer<'a> = Option<Box<Session<'a>>>;
#[cfg(not(feature = "websocket"))]
type Answer<'a> = Option<&'a std::convert::Infallible>;

/// Reads the request and gives it to who answers it. Its stack, and that of `open`, is not the
/// pump's: inlined, what they need would stay touched while the client is there.
#[inline(never)]
fn answer<'a>(
    server: &'a Server,
    slot: &Slot,
    client: &Client,
    told: Told,
    deadline: Instant,
) -> Result<Answer<'a>, Refusal> {
    let request = read_request(server, slot, client, told, deadline)?;
    if slot.is_spare() {
        return Err(Refusal::TooManyClients);
    }
    slot.is_answered(true);
    #[cfg(feature = "websocket")]
    if let Some(websocket) = &server.config().websocket
        && (request.is_upgrade() || server.document().is_none())
    {
        return open(&request, websocket, client).map(|session| Some(Box::new(session)));
    }
    match server.document() {
        Some(document) => send_file(client, document, &request).map(|()| None),
        None => Err(Refusal::NotAnUpgrade),
    }
}

/// Reads the request, and from a trusted peer whom it is made for.
fn read_request(
    server: &Server,
    slot: &Slot,
    client: &Client,
    told: Told,
    deadline: Instant,
) -> Result<Request, Refusal> {
    let request = request::read(client, deadline)?;
    if !slot.is_trusted() {
        return Ok(request);
    }
    let config = server.config();
    let forwarded_for = request.list("X-Forwarded-For");
    if let Some(source) = trust::source(&config.trusted, client.peer(), told, forwarded_for) {
        client.set_source(source);
        if !slot.assign_to(source.ip(), config) {
            return Err(Refusal::TooManyClients);
        }
    }
    Ok(request)
}

fn send_file(client: &Client, document: &Document, request: &Request) -> Result<(), Refusal> {
    let start = Instant::now();
    let sent = document.serve(client, request)?;
    client.finish();
    client.linger(REFUSAL_WAIT);
    let took = Seconds(start.elapsed());
    debug!(
        "{} file {:?}: {sent} bytes, {took}",
        Peer(client),
        request.path
    );
    Ok(())
}

/// A client that has passed every check, and the backend it is to talk to.
#[cfg(feature = "websocket")]
struct Session<'a> {
    upgrade: Upgrade,
    /// The service's name.
    name: String,
    config: &'a ServiceConfig,
    protocol: Option<String>,
    backend: Backend,
    ping: Duration,
}

#[cfg(feature = "websocket")]
#[inline(never)]
fn open<'a>(
    request: &Request,
    websocket: &'a WebsocketConfig,
    client: &Client,
) -> Result<Session<'a>, Refusal> {
    let upgrade = handshake::check(request)?;
    let start = Instant::now();
    loop {
        // A backend that restarts is away for a moment, its socket too.
        let (wait, refusal) = match access::resolve(websocket, request, &upgrade, client.is_tls()) {
            Ok(service) => match reach(&service, websocket.ping, client, request) {
                Ok(backend) => {
                    // What else the service has, its file open, is not needed any more.
                    return Ok(Session {
                        upgrade,
                        name: service.name,
                        config: service.config,
                        protocol: service.protocol,
                        backend,
                        ping: websocket.ping,
                    });
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::PermissionDenied {
                        warn!(
                            "{}: {error}: the gateway's user must be allowed to write to it",
                            service.name
                        );
                    }
                    let wait = match is_away(&error) {
                        true => service.config.wait,
                        false => Duration::ZERO,
                    };
                    let reason = format!("{}: {error}", service.name);
                    (wait, Refusal::Unavailable(reason))
                }
            },
            Err(Refusal::Away(name)) if !websocket.service.wait.is_zero() => {
                let reason = format!("{name}: not there");
                (websocket.service.wait, Refusal::Unavailable(reason))
            }
            Err(refusal) => return Err(refusal),
        };
        if start.elapsed() >= wait {
            return Err(refusal);
        }
        if client.has_left() {
            return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        crate::system::threads::sleep(RETRY_PAUSE);
    }
}

/// Whether a backend may be there in a moment: nothing stands at its place, or nobody listens or
/// reads there (a fifo), or who did has just gone.
#[cfg(feature = "websocket")]
fn is_away(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    matches!(
        error.kind(),
        NotFound | ConnectionRefused | ConnectionReset | BrokenPipe
    ) || error.raw_os_error() == Some(nix::libc::ENXIO)
}

/// Connects a backend and tells it of the client, if it wants to know.
#[cfg(feature = "websocket")]
fn reach(
    service: &Service<'_>,
    limit: Duration,
    client: &Client,
    request: &Request,
) -> io::Result<Backend> {
    let backend = backend::connect(&service.target, limit)?;
    introduce(client, request, service, &backend)?;
    Ok(backend)
}

/// Tells the backend who the client is, before anything else, if it wants to know (`proxy`).
#[cfg(feature = "websocket")]
fn introduce(
    client: &Client,
    request: &Request,
    service: &Service<'_>,
    backend: &Backend,
) -> io::Result<()> {
    if !service.config.proxy {
        return Ok(());
    }
    let header = proxy::header(
        client.source(),
        client.local(),
        &[
            (proxy::AUTHORITY, client.server_name().as_deref()),
            (proxy::NAME, Some(&service.name)),
            (proxy::ORIGIN, request.header("Origin")),
            (proxy::SUBJECT, client.subject().as_deref()),
        ],
    );
    backend.write_all_of(&[&header, &[]], || false)
}

#[cfg(feature = "websocket")]
impl Session<'_> {
    /// Serves until both sides have ended, or gives the client to the backend.
    fn run(self, slot: &Slot, writer: Arc<FrameWriter>) {
        #[cfg(feature = "websocket_rt")]
        if self.config.direct
            && !writer.client().is_tls()
            // Behind a UNIX socket there is no address to tell.
            && let Some(address) = writer.client().peer()
        {
            return self.hand_over(slot, writer, address);
        }
        #[cfg(not(feature = "websocket_rt"))]
        let _ = slot;
        if let Err(error) = self.relay(&writer, &|| self.switch(writer.client())) {
            let reason = format!("{}: cannot create a thread: {error}", self.name);
            refuse(writer.client(), &Refusal::Unavailable(reason));
        }
    }

    /// Copies until both sides have ended.
    ///
    /// # Errors
    /// When the second thread cannot be created: `greet` has not been called then.
    fn relay(&self, writer: &FrameWriter, greet: &pump::Greet<'_>) -> io::Result<()> {
        let start = Instant::now();
        let peer = Peer(writer.client());
        let name = &self.name;
        let report = pump::run(writer, &self.backend, self.config, self.ping, greet)?;
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
        response::switching_protocols(client, &self.upgrade, self.protocol.as_deref())
    }

    /// Sends the 101 and gives the client's descriptor to the backend, which speaks frames
    /// itself. If that fails the relay serves.
    #[cfg(feature = "websocket_rt")]
    fn hand_over(self, slot: &Slot, writer: Arc<FrameWriter>, address: SocketAddr) {
        let peer = Peer(writer.client()).to_string();
        let name = &self.name;
        writer.client().tune(self.ping);
        if let Err(error) = self.switch(writer.client()) {
            return debug!("{peer} {name}: gone before the 101: {error}");
        }
        let client = slot.take(writer);
        let source = client.source();
        let left = match client.into_plain() {
            Ok(socket) => match direct::hand_over(socket, self.backend.as_fd(), address) {
                Ok(()) => return info!("{peer} {name}: handed over"),
                Err((socket, error)) => {
                    warn!("{peer} {name}: {error}; relaying instead");
                    Client::plain(socket)
                }
            },
            Err(client) => client,
        };
        if let Some(source) = source {
            left.set_source(source);
        }
        let writer = slot.put(left);
        if let Err(error) = self.relay(&writer, &|| Ok(())) {
            warn!("{peer} {name}: cannot create a thread: {error}");
            // The 101 has been sent.
            let _ = writer.open(|| Ok(()));
            let _ = writer.close(Some(CloseCode::Error));
            writer.client().finish();
            writer.client().linger(REFUSAL_WAIT);
        }
    }
}

/// Answers with a status, so that the client gets to read it.
pub fn refuse(client: &Client, refusal: &Refusal) {
    debug!("{} refused: {refusal}", Peer(client));
    if matches!(refusal, Refusal::Gone(_)) {
        return;
    }
    let deadline = Instant::now() + REFUSAL_WAIT;
    if client.set_deadline(deadline).is_ok() && response::refuse(client, refusal).is_ok() {
        client.finish();
        client.linger(REFUSAL_WAIT);
    }
}

/// A client's address in the log.
struct Peer<'a>(&'a Client);

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A duration in the log. Whole numbers: what shows fractions would add a fiftieth to the program.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0.as_secs(), self.0.subsec_millis())
    }
}

#[cfg(all(test, feature = "websocket"))]
mod tests;
