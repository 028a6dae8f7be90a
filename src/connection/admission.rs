//! Which requests go on: what each must meet before it is answered, with an upgrade or without.

use std::time::Instant;

use crate::client::Client;
use crate::http::host;
use crate::http::login::Login;
use crate::http::probe;
use crate::http::proxy::Told;
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::trust;
use crate::server::Server;
use crate::server::slot::Slot;
#[cfg(feature = "websocket")]
use crate::{connection::file, websocket};

/// Reads and checks the next request. When it is complete, the client no longer gives way to a new
/// one.
#[inline(never)]
pub(super) fn next(
    server: &Server,
    slot: &Slot,
    client: &Client,
    told: Told,
    deadline: Instant,
) -> Result<Request, Refusal> {
    let mut request = request::read(client, server.config().head_size, deadline)?;
    match check(server, slot, client, told, &mut request) {
        Ok(()) => Ok(request),
        Err(refusal) => Err(request.refused(refusal)),
    }
}

/// Checks what every request must meet: slot, host, redirect and login. A trusted peer's headers
/// name the client it speaks for.
pub(super) fn check(
    server: &Server,
    slot: &Slot,
    client: &Client,
    told: Told,
    request: &mut Request,
) -> Result<(), Refusal> {
    let config = server.config();
    if slot.is_refused() {
        return Err(Refusal::TooManyClients);
    }
    if slot.is_trusted() {
        let chain = trust::chain(request).into_iter();
        if let Some(source) = trust::source(&config.trusted, client.peer(), told, chain) {
            client.set_source(source);
            slot.assign(source.ip(), config)
                .map_err(|_| Refusal::TooManyClients)?;
        }
        trust::adopt(request);
    }
    slot.set_answered();
    host::check(request, &config.hostnames, |name| {
        server.security().certifies(name)
    })?;
    if let Some(port) = config.redirect
        && !request.is_https
    {
        return Err(host::redirect(request, port));
    }
    if !request.is_upgrade() && probe::is_one(request) {
        return Ok(());
    }
    match login_for(server, request) {
        Some(login) => login.admit(request, client),
        None => Ok(()),
    }
}

/// What somebody needs who sends a request; `None` for nothing.
fn login_for<'a>(server: &'a Server, request: &Request) -> Option<&'a Login> {
    #[cfg(not(feature = "websocket"))]
    let _ = request;
    #[cfg(feature = "websocket")]
    if let Some(config) = websocket::settings_for(server, request) {
        let link = websocket::access::link_of(config, &request.path);
        return server.logins().of_service(link);
    }
    #[cfg(feature = "websocket")]
    if file::lists(server, request).is_some() {
        return server.logins().of_service(None);
    }
    server.logins().of_files()
}
