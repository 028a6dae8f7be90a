//! One connection, start to end: the story all other files are called from.
//!
//! TLS, request, checks, backend, 101; then the pump, or the hand-over in direct
//! mode. Before the 101 a client is refused with an HTTP status, after it with a
//! close code. One log line ends each connection that was let in.

use std::fmt;
#[cfg(feature = "websocket")]
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
#[cfg(feature = "websocket_rt")]
use std::{net::SocketAddr, os::fd::AsFd};

use log::debug;
#[cfg(feature = "websocket")]
use log::{info, warn};

use crate::client::Client;
use crate::document::Document;
use crate::proxy;
use crate::refusal::Refusal;
use crate::request::{self, Request};
use crate::response;
use crate::room::Place;
use crate::server::Server;
use crate::trust;
use crate::wire::Wire;
#[cfg(feature = "websocket")]
use crate::{
    access::{self, Service},
    backend::{self, Backend},
    config::WebsocketConfig,
    handshake::{self, Upgrade},
    pump,
};
#[cfg(feature = "websocket_rt")]
use crate::{direct, frame::CloseCode};

/// Longest wait for a refused client to take its answer.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Pause between two tries to reach a backend that restarts.
#[cfg(feature = "websocket")]
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Serves one client; returns when it is gone.
pub fn serve(server: &Server, place: &Place, wire: Arc<Wire>, deadline: Instant) {
    match answer(server, place, wire.client(), deadline) {
        Ok(None) => {}
        #[cfg(feature = "websocket")]
        Ok(Some(session)) => session.run(place, wire),
        #[cfg(not(feature = "websocket"))]
        Ok(Some(never)) => match *never {},
        Err(refusal) => {
            place.is_answered(false);
            refuse(wire.client(), &refusal);
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
    place: &Place,
    client: &Client,
    deadline: Instant,
) -> Result<Answer<'a>, Refusal> {
    let request = read_request(server, place, client, deadline)?;
    if place.is_spare() {
        return Err(Refusal::TooManyClients);
    }
    place.is_answered(true);
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
    place: &Place,
    client: &Client,
    deadline: Instant,
) -> Result<Request, Refusal> {
    if !place.is_trusted() {
        return request::read(client, deadline);
    }
    let nearest = proxy::read(client, deadline)?.or(client.peer());
    let request = request::read(client, deadline)?;
    let config = server.config();
    if let Some(source) = trust::source(&config.trusted, nearest, request.list("X-Forwarded-For")) {
        client.comes_from(source);
        if !place.belongs_to(source.ip(), config.max_per_ip) {
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
    service: Service<'a>,
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
                    return Ok(Session {
                        upgrade,
                        service,
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
                    let reason = format!("{}: {error}", service.name);
                    (service.config.wait, Refusal::Unavailable(reason))
                }
            },
            Err(Refusal::NoService(name)) if !websocket.service.wait.is_zero() => {
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
        std::thread::sleep(RETRY_PAUSE);
    }
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
    fn run(self, place: &Place, wire: Arc<Wire>) {
        #[cfg(feature = "websocket_rt")]
        if self.service.config.direct
            && !wire.client().is_tls()
            // Behind a UNIX socket there is no address to tell.
            && let Some(address) = wire.client().peer()
        {
            return self.hand_over(place, wire, address);
        }
        #[cfg(not(feature = "websocket_rt"))]
        let _ = place;
        if let Err(error) = self.relay(&wire, || self.switch(wire.client())) {
            let reason = format!("{}: cannot create a thread: {error}", self.service.name);
            refuse(wire.client(), &Refusal::Unavailable(reason));
        }
    }

    /// Copies until both sides have ended.
    ///
    /// # Errors
    /// When the second thread cannot be created: `greet` has not been called then.
    fn relay(&self, wire: &Wire, greet: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
        let start = Instant::now();
        let peer = Peer(wire.client());
        let name = &self.service.name;
        let report = pump::run(wire, &self.backend, self.service.config, self.ping, greet)?;
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
        response::switching_protocols(client, &self.upgrade, self.service.protocol.as_deref())
    }

    /// Sends the 101 and gives the client's descriptor to the backend, which speaks frames
    /// itself. If that fails the relay serves.
    #[cfg(feature = "websocket_rt")]
    fn hand_over(self, place: &Place, wire: Arc<Wire>, address: SocketAddr) {
        let peer = Peer(wire.client()).to_string();
        let name = &self.service.name;
        wire.client().tune(self.ping);
        if let Err(error) = self.switch(wire.client()) {
            return debug!("{peer} {name}: gone before the 101: {error}");
        }
        let client = place.take(wire);
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
            left.comes_from(source);
        }
        let wire = place.put(left);
        if let Err(error) = self.relay(&wire, || Ok(())) {
            warn!("{peer} {name}: cannot create a thread: {error}");
            // The 101 has been sent.
            let _ = wire.open(|| Ok(()));
            let _ = wire.close(Some(CloseCode::Error));
            wire.client().finish();
            wire.client().linger(REFUSAL_WAIT);
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
        match self.0.source() {
            Some(address) if address.port() == 0 => write!(f, "{}", address.ip()),
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unix"),
        }
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
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    use crate::beneath::tests::Scratch;
    use crate::request::tests::{EXAMPLE, pair, parse};

    /// A `websocket` section in whose docroot nothing stands, with a link to a backend.
    fn section(scratch: &Scratch, wait: u32, link_wait: u32) -> WebsocketConfig {
        let text = format!(
            "servers = ({{ websocket = {{ docroot = \"{0}\"; origins = \"*\"; wait = {wait}; \
             links = ({{ origin = \"chat\"; type = \"unix\"; destination = \"{0}/x\"; \
             wait = {link_wait}; }}); }}; }});",
            scratch.0.display()
        );
        let loaded = crate::config::from_text(Path::new("x.conf"), &text);
        let (config, _) = loaded.expect("a good configuration");
        config.servers[0].websocket.clone().expect("it has one")
    }

    #[test]
    fn a_link_waits_as_long_as_it_says_itself() {
        let request = parse(EXAMPLE.as_bytes()).expect("a good head");
        let (client, _far) = pair();
        let scratch = Scratch::new();
        let start = Instant::now();
        let config = section(&scratch, 60, 0);
        let refused = open(&request, &config, &client);
        assert!(matches!(refused, Err(Refusal::Unavailable(_))));
        assert!(start.elapsed() < Duration::from_secs(30), "at once");

        let config = section(&scratch, 0, 60);
        thread::scope(|scope| {
            let opened = scope.spawn(|| open(&request, &config, &client).map(|_| ()));
            // The backend is away, for a moment.
            thread::sleep(4 * RETRY_PAUSE);
            let _backend = UnixListener::bind(scratch.0.join("x")).expect("a free name");
            let opened = opened.join().expect("no panic");
            assert!(opened.is_ok(), "{opened:?}");
        });
    }

    #[test]
    fn a_client_that_leaves_is_not_waited_with() {
        let request = parse(EXAMPLE.as_bytes()).expect("a good head");
        let (client, far) = pair();
        drop(far);
        let scratch = Scratch::new();
        let config = section(&scratch, 0, 60);
        let start = Instant::now();
        let refused = open(&request, &config, &client);
        assert!(matches!(refused, Err(Refusal::Gone(_))));
        assert!(start.elapsed() < Duration::from_secs(30), "at once");
    }
}
