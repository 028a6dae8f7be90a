//! Opening: answers a request without an upgrade: with a file, or with what the client should do.

#[cfg(feature = "websocket")]
use std::ptr;
use std::time::Instant;

use log::debug;

use crate::client::Client;
use crate::connection::REFUSAL_WAIT;
#[cfg(feature = "console")]
use crate::http::console;
use crate::http::document::Document;
use crate::http::probe;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::After;
use crate::logging::Seconds;
use crate::server::Server;
use crate::server::slot::Slot;
#[cfg(feature = "websocket")]
use crate::{config::WebsocketConfig, http::host, websocket, websocket::listing};

/// Answers a request without an upgrade. Returns what becomes of the connection.
///
/// # Errors
/// Why no file was sent.
#[inline(never)]
pub(super) fn answer(
    server: &Server,
    slot: &Slot,
    request: &Request,
    client: &Client,
) -> Result<After, Refusal> {
    let after = match request.is_persistent() {
        true => After::Next(server.config().head_timeout),
        false => After::Close,
    };
    if let Some(answer) = probe::answer(request, after) {
        let deadline = Instant::now() + REFUSAL_WAIT;
        let written = client.write_all_until(answer.as_bytes(), deadline);
        return written.map(|()| after).map_err(Refusal::Gone);
    }
    if request.is_spoiled_upgrade() {
        return Err(Refusal::SpoiledUpgrade);
    }
    #[cfg(feature = "websocket")]
    if let Some(config) = lists(server, request) {
        return send_list(server, config, slot, request, after, client);
    }
    let sent = match server.document() {
        Some(document) => send_file(document, slot, request, after, client),
        None => Err(Refusal::NotAnUpgrade),
    };
    #[cfg(feature = "console")]
    let sent = sent.or_else(|refusal| match shows_console(server, &refusal) {
        true => console::serve(client, request, after),
        false => Err(refusal),
    });
    match sent {
        Ok(()) => Ok(after),
        #[cfg(feature = "websocket")]
        Err(refusal @ (Refusal::NoFile(_) | Refusal::NotAnUpgrade)) => {
            Err(of_service(server, slot, request).unwrap_or(refusal))
        }
        Err(refusal) => Err(refusal),
    }
}

/// What a plain request gets whose path names a WebSocket service.
#[cfg(feature = "websocket")]
fn of_service(server: &Server, slot: &Slot, request: &Request) -> Option<Refusal> {
    let config = server.config().websocket.as_ref()?;
    let _opening = slot.opening(Instant::now() + REFUSAL_WAIT)?;
    websocket::access::is_service(config, &request.path)
}

/// The gateway whose services a request wants listed, if it lists them.
#[cfg(feature = "websocket")]
pub(super) fn lists<'a>(server: &'a Server, request: &Request) -> Option<&'a WebsocketConfig> {
    let config = server.config().websocket.as_ref()?;
    let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
    (config.list && is_read && request.path == listing::PATH).then_some(config)
}

/// Sends the list of services, to no page of a name that somebody has pointed at this machine.
#[cfg(feature = "websocket")]
fn send_list(
    server: &Server,
    config: &WebsocketConfig,
    slot: &Slot,
    request: &Request,
    after: After,
    client: &Client,
) -> Result<After, Refusal> {
    host::demand(request, &server.config().hostnames, |name| {
        server.security().certifies(name)
    })?;
    let deadline = Instant::now() + REFUSAL_WAIT;
    let opening = slot.opening(deadline).ok_or(Refusal::TooManyClients)?;
    let logins = server.logins();
    let own = logins.of_service(None);
    let admits = |link, name: &str| {
        let login = logins.of_service(link);
        // The login for the list counts for every service that needs the same login.
        let is_done = request.user.is_some()
            && login
                .zip(own)
                .is_some_and(|(one, other)| ptr::eq(one, other));
        is_done || login.is_none_or(|login| !login.keeps(name))
    };
    let answer = listing::answer(config, &admits, request.is_head(), after);
    drop(opening);
    let deadline = Instant::now() + REFUSAL_WAIT;
    let written = client.write_all_until(answer.as_bytes(), deadline);
    written.map(|()| after).map_err(Refusal::Gone)
}

/// Whether the console may answer where there is no file.
#[cfg(feature = "console")]
fn shows_console(server: &Server, refusal: &Refusal) -> bool {
    let config = server.config().websocket.as_ref();
    matches!(refusal, Refusal::NoFile(_) | Refusal::NotAnUpgrade)
        && config.is_some_and(|config| config.console)
}

fn send_file(
    document: &Document,
    slot: &Slot,
    request: &Request,
    after: After,
    client: &Client,
) -> Result<(), Refusal> {
    let start = Instant::now();
    let opening = slot
        .opening(start + REFUSAL_WAIT)
        .ok_or(Refusal::TooManyClients)?;
    let sent = document.serve(client, request, after, opening)?;
    let took = Seconds(start.elapsed());
    debug!("{} file {:?}: {sent} bytes, {took}", client, request.path);
    Ok(())
}
