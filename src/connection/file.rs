//! Opening: answers a request without an upgrade: with a file, or with what the client should do.

use std::time::Instant;

use log::debug;

use crate::client::Client;
use crate::connection::REFUSAL_WAIT;
use crate::http::document::Document;
use crate::http::probe;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::After;
use crate::logging::Seconds;
use crate::server::Server;
use crate::server::slot::Slot;
#[cfg(feature = "websocket")]
use crate::websocket;

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
    let sent = match server.document() {
        Some(document) => send_file(document, slot, request, after, client),
        None => Err(Refusal::NotAnUpgrade),
    };
    match sent {
        Ok(()) => Ok(after),
        #[cfg(feature = "websocket")]
        Err(Refusal::NoFile(_) | Refusal::NotAnUpgrade) if is_service(server, slot, request) => {
            Err(Refusal::IsService(request.path.clone()))
        }
        Err(refusal) => Err(refusal),
    }
}

/// Whether the path of a plain request names a WebSocket service.
#[cfg(feature = "websocket")]
fn is_service(server: &Server, slot: &Slot, request: &Request) -> bool {
    let Some(config) = &server.config().websocket else {
        return false;
    };
    let opening = slot.opening(Instant::now() + REFUSAL_WAIT);
    opening.is_some_and(|_opening| websocket::access::is_service(config, &request.path))
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
