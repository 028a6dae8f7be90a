//! Opening: a WebSocket, from its request to a connected backend.
//!
//! Nothing reaches a backend before every check has passed, and no 101 goes out before the backend
//! is connected (RFC 6455, section 4.2.2).

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;

use crate::backend::{self, Backend};
use crate::client::Client;
use crate::config::{Target, WebsocketConfig};
use crate::http::proxy;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::server::Server;
use crate::server::resources::Opening;
use crate::server::slot::Slot;
use crate::system::reason::reason;
use crate::system::threads;
use crate::websocket::access::Service;
use crate::websocket::handshake::Upgrade;
use crate::websocket::pump::{Terms, Who};
use crate::websocket::session::Line;
pub(crate) use crate::websocket::session::Session;

pub(crate) mod access;
pub(crate) mod adopt;
#[cfg(feature = "exec")]
mod cgi;
#[cfg(feature = "websocket_rt")]
pub(crate) mod direct;
pub(crate) mod framing;
#[cfg(feature = "websocket_rt")]
mod handed;
pub(crate) mod handshake;
pub(crate) mod listing;
pub(crate) mod pump;
mod session;
#[cfg(feature = "share")]
pub(crate) mod share;
#[cfg(feature = "state")]
mod status;

/// First and longest pause between two tries to reach a backend that is away or busy; each pause is
/// twice the one before.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// Longest wait until it is this client's turn for the walk beneath docroot.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// The settings that answer a request, if it asks for a WebSocket.
pub(crate) fn settings_for<'a>(
    server: &'a Server,
    request: &Request,
) -> Option<&'a WebsocketConfig> {
    let config = server.config().websocket.as_ref()?;
    (request.is_upgrade() && request.method != "OPTIONS").then_some(config)
}

/// Checks a request, finds its service and connects the backend. Never inlined: the stack that it
/// needs would stay in use while the client is connected.
///
/// # Errors
/// Why there is no WebSocket.
#[inline(never)]
pub(crate) fn open(
    server: &Server,
    websocket: &WebsocketConfig,
    slot: &Slot,
    request: &Request,
    client: &Client,
) -> Result<Box<Session>, Refusal> {
    let upgrade = handshake::check(request)?;
    let start = Instant::now();
    let mut pause = RETRY_PAUSES.0;
    let mut waiting = None;
    loop {
        let (refusal, limit) = match attempt(server, websocket, slot, request, &upgrade, client) {
            Ok((service, line, opening)) => {
                return Ok(Box::new(Session {
                    #[cfg(feature = "websocket_rt")]
                    told: direct::Told::of(&service, request),
                    protocol: service.protocol,
                    upgrade,
                    held: opening.map(|opening| (service.file, opening)),
                    terms: Terms {
                        who: Who {
                            service: service.name.into(),
                            user: request.user.as_deref().map(Into::into),
                            is_shared: !matches!(line, Line::Own(_)),
                        },
                        config: Arc::clone(service.config),
                        ping: websocket.ping,
                        park: websocket.park,
                        clients: Arc::clone(server.clients()),
                    },
                    line: Some(line),
                }));
            }
            Err(failed) => failed,
        };
        if start.elapsed() >= limit {
            return Err(refusal);
        }
        if client.has_left() {
            return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        if waiting.is_none() {
            waiting = slot.wait_for_backend(server.config());
            if waiting.is_none() {
                return Err(refusal);
            }
        }
        threads::sleep(pause);
        pause = (2 * pause).min(RETRY_PAUSES.1);
    }
}

/// Tries once to find and connect a backend. In direct mode the resolved file and the right to its
/// descriptor are kept until the hand-over, since closing the file takes time.
///
/// # Errors
/// The refusal, and for how long after the first try it is worth trying again: a backend that
/// restarts is away for a moment, and one whose queue is full will accept again.
fn attempt<'a>(
    server: &Server,
    websocket: &'a WebsocketConfig,
    slot: &Slot,
    request: &Request,
    upgrade: &Upgrade,
    client: &Client,
) -> Result<(Service<'a>, Line, Option<Opening>), (Refusal, Duration)> {
    let deadline = Instant::now() + TURN_WAIT;
    let opening = slot.opening(deadline);
    let opening = opening.ok_or((Refusal::TooManyClients, Duration::ZERO))?;
    let mut service = match access::resolve(websocket, request, upgrade, client.is_tls()) {
        Ok(service) => service,
        Err(Refusal::Away(name)) if !websocket.service.wait.is_zero() => {
            let reason = format!("{name}: not there; its server must run");
            return Err((Refusal::Unavailable(reason), websocket.service.wait));
        }
        Err(refusal) => return Err((refusal, Duration::ZERO)),
    };
    #[cfg(feature = "state")]
    if service.target == Target::Status && !status::may_see(request, client) {
        return Err((Refusal::NotForStrangers, Duration::ZERO));
    }
    #[cfg(feature = "websocket_rt")]
    if direct::is_for(service.config, client) {
        direct::prepare(client);
    }
    // A service beneath docroot has one descriptor more open until it is connected. Connecting to
    // it does not block.
    let mut opening = Some(opening).filter(|_| service.is_held_open());
    let reached = reach(server, websocket, &service, client, slot.number(), request);
    if !service.config.direct {
        drop((service.file.take(), opening.take()));
    }
    match reached {
        Ok(line) => Ok((service, line, opening)),
        Err(error) => {
            if error.kind() == io::ErrorKind::PermissionDenied {
                warn!(
                    "{}: {}: the gateway's user must be allowed to write to it",
                    service.name,
                    reason(&error)
                );
            }
            let limit = match error.kind() {
                io::ErrorKind::WouldBlock => websocket.ping,
                _ if is_away(&error) => service.config.wait,
                _ => Duration::ZERO,
            };
            let reason = format!("{}: {}", service.name, reason(&error));
            #[cfg(feature = "exec")]
            if let Target::Exec(_) = service.target {
                return Err((Refusal::NotRun(reason), limit));
            }
            let cure = cure(&service.target, &error);
            Err((Refusal::Unavailable(format!("{reason}; {cure}")), limit))
        }
    }
}

/// Returns what helps where a backend cannot be reached, for the log.
fn cure(target: &Target, error: &io::Error) -> &'static str {
    match target {
        _ if error.kind() == io::ErrorKind::PermissionDenied => {
            "the gateway's user must be allowed to write to it"
        }
        Target::Tty(..) => "the device must be there, and no other program have it",
        Target::Fifo(_) | Target::Fifos { .. } => {
            "the fifo must be there, with a program at its other end"
        }
        Target::Tcp(..) => "its server must run, and listen there",
        _ => "its server must run",
    }
}

/// Whether a backend may be there in a moment: its socket or device is missing, nobody listens on it
/// or reads its fifo, it has just ended, or its device is being pulled out.
fn is_away(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    use nix::libc::{EIO, ENODEV, ENXIO};
    matches!(
        error.kind(),
        NotFound | ConnectionRefused | ConnectionReset | BrokenPipe
    ) || matches!(error.raw_os_error(), Some(ENXIO | ENODEV | EIO))
}

/// Connects a backend and sends it a PROXY header if `proxy` asks for it.
fn reach(
    server: &Server,
    websocket: &WebsocketConfig,
    service: &Service<'_>,
    client: &Client,
    id: usize,
    request: &Request,
) -> io::Result<Line> {
    #[cfg(feature = "state")]
    if service.target == Target::Status {
        return status::connect().map(Line::Own);
    }
    #[cfg(feature = "share")]
    if let Some(key) = share::key(websocket, service) {
        let go_on = || !client.has_left();
        return share::take_seat(key, &service.target, server.clients(), &go_on).map(Line::Shared);
    }
    #[cfg(not(feature = "share"))]
    let _ = server;
    let limit = websocket.ping;
    let backend = match &service.target {
        #[cfg(feature = "exec")]
        Target::Exec(config) => {
            Backend::run(config, cgi::run(service, client, id, request), limit)?
        }
        #[cfg(feature = "websocket_rt")]
        Target::Unix(path) if direct::is_for(service.config, client) => {
            backend::connect_for_client(path)?
        }
        target => backend::connect_while(target, limit, &|| !client.has_left())?,
    };
    introduce(client, id, request, service, (&backend, limit))?;
    Ok(Line::Own(backend))
}

/// Sends the backend a PROXY header if `proxy` asks for it, within `limit`.
fn introduce(
    client: &Client,
    id: usize,
    request: &Request,
    service: &Service<'_>,
    (backend, limit): (&Backend, Duration),
) -> io::Result<()> {
    if !service.config.proxy {
        return Ok(());
    }
    let header = proxy::header(
        client.source(),
        client.local(),
        &[
            (proxy::USER, request.user.as_deref()),
            (proxy::ID, Some(&id.to_string())),
            (proxy::SERVICE, Some(&service.name)),
            (proxy::AUTHORITY, client.server_name().as_deref()),
            (proxy::SUBJECT, client.subject().as_deref()),
            (proxy::ORIGIN, request.header("Origin")),
            (proxy::QUERY, request.query.as_deref()),
            (proxy::COOKIES, request.cookies().as_deref()),
        ],
    );
    let begun = Instant::now();
    backend.write_all(&header, || begun.elapsed() < limit)
}

#[cfg(test)]
mod tests;
