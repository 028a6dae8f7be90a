//! Running: takes a connection over that the process before an upgrade has passed.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::backend::Backend;
use crate::client::Client;
use crate::config::{ServiceConfig, WebsocketConfig};
use crate::server::Server;
use crate::server::slot::Slot;
use crate::websocket::pump::{self, Passed, Terms, Who};
use crate::websocket::session::log_end;

/// Serves a client from now on, by its socket and its backend's. Returns false if the server has no
/// slot or no WebSockets; then both sockets stay as they were.
pub(crate) fn adopt(server: &Server, passed: &Passed, client: OwnedFd, backend: OwnedFd) -> bool {
    let Some(websocket) = &server.config().websocket else {
        return false;
    };
    let slot = Slot::adopt(
        server.clients(),
        server.config(),
        server.resources(),
        (passed.number, passed.begun()),
        passed.address,
    );
    let Some(slot) = slot else {
        return false;
    };
    let client = Client::plain(TcpStream::from(client));
    if let Some(source) = passed.source {
        client.set_source(source);
    }
    let writer = slot.put(client);
    let who = Who {
        service: passed.service.as_str().into(),
        user: passed.user.as_deref().map(Into::into),
        is_shared: false,
    };
    slot.set_service(&who.service, who.is_shared, who.user.as_ref());
    let terms = Terms {
        who,
        config: settings(websocket, passed),
        ping: websocket.ping,
        park: websocket.park,
        clients: Arc::clone(server.clients()),
    };
    let backend = Backend::taken(backend, passed.is_packet);
    pump::go_on(writer, backend, terms, passed, log_end(slot));
    true
}

/// The settings the connection began with: those of a service that has the same, as a rule.
fn settings(websocket: &WebsocketConfig, passed: &Passed) -> Arc<ServiceConfig> {
    let links = websocket.links.iter().map(|link| &link.service);
    let mut all = [&websocket.service].into_iter().chain(links);
    let same = all.find(|config| passed.fits(config)).cloned();
    same.unwrap_or_else(|| Arc::new(passed.settings(&websocket.service)))
}
