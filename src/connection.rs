//! One connection from start to end. Everything else that serves a client is called from here.
//!
//! The steps are: PROXY header and TLS handshake, if any; the request; then a WebSocket, or one
//! file after the other. Before the 101 a client is refused with an HTTP status, after it the
//! connection ends with a close code. Each WebSocket leaves one line in the log.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::client::frames::FrameWriter;
use crate::http::notice;
use crate::http::peek::peek;
use crate::http::proxy::{self, Told};
use crate::http::refusal::Refusal;
use crate::http::response::{self, After};
use crate::server::Server;
use crate::server::slot::Slot;
use crate::server::workers::Place;
#[cfg(feature = "websocket")]
use crate::websocket;

mod admission;
#[cfg(feature = "state")]
pub(crate) mod explain;
mod file;

/// Longest wait for a refused client to take its answer.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Serves one client, and returns when the client is gone or other threads serve it. TLS handshake
/// and first request head must be complete at `deadline`.
pub(crate) fn serve(
    server: &Server,
    slot: Slot,
    (socket, peer): (TcpStream, Option<SocketAddr>),
    deadline: Instant,
    place: &mut Place,
) {
    #[cfg(not(feature = "websocket"))]
    let _ = place;
    let (client, told) = match greet(server, &slot, (socket, peer), deadline) {
        Ok(greeted) => greeted,
        Err(refused) => {
            let (client, refusal) = *refused;
            refuse(&client, &refusal);
            drop(slot);
            return server.farewell().linger(client.into_socket());
        }
    };
    let writer = slot.put(client);
    let mut deadline = deadline;
    loop {
        let request = match admission::next(server, &slot, writer.client(), told, deadline) {
            Ok(request) => request,
            Err(refusal) => return turn_away(server, slot, writer, &refusal),
        };
        #[cfg(feature = "websocket")]
        if let Some(config) = websocket::settings_for(server, &request) {
            return match websocket::open(server, config, &slot, &request, writer.client()) {
                Ok(session) => {
                    let who = session.who();
                    slot.set_service(&who.service, who.is_shared, who.user.as_ref());
                    drop(request);
                    session.run(slot, writer, place);
                }
                Err(refusal) => turn_away(server, slot, writer, &request.refused(refusal)),
            };
        }
        match file::answer(server, &slot, &request, writer.client()) {
            Ok(After::Close) => return leave(server, slot, writer),
            Ok(After::Next(limit)) => deadline = Instant::now() + limit,
            Err(refusal) => return turn_away(server, slot, writer, &request.refused(refusal)),
        }
        // Waits for the next request, or for the client's end.
        slot.set_idle();
        if peek(writer.client(), deadline, &mut [0]).is_err() {
            return leave(server, slot, writer);
        }
    }
}

/// A client after its handshake, and what its PROXY header says.
type Greeted = (Client, Told);

/// Reads the PROXY header of a trusted peer, then does the TLS handshake if the server has TLS.
/// Never inlined: the stack that a handshake needs would stay in use while the client is connected.
#[inline(never)]
fn greet(
    server: &Server,
    slot: &Slot,
    (socket, peer): (TcpStream, Option<SocketAddr>),
    deadline: Instant,
) -> Result<Greeted, Box<(Client, Refusal)>> {
    let client = Client::accepted(socket, peer);
    let told = match slot.is_trusted() {
        true => proxy::read(&client, deadline),
        false => Ok(Told::Nothing),
    };
    let told = match told {
        Ok(Told::Source(source)) if slot.assign(source.ip(), server.config()).is_err() => {
            Err(Refusal::TooManyClients)
        }
        told => told,
    };
    match told {
        Ok(told) => Ok((server.security().shake_hands(client, deadline)?, told)),
        // A client that expects TLS cannot read an answer.
        Err(refusal) if server.config().tls.is_some() => {
            Err(Box::new((client, refusal.unanswered())))
        }
        Err(refusal) => Err(Box::new((client, refusal))),
    }
}

/// Refuses a client and ends its connection. As `file::answer` it is never inlined: the stack of a
/// connection's other ends would lie beneath the pump.
#[inline(never)]
fn turn_away(server: &Server, slot: Slot, writer: Arc<FrameWriter>, refusal: &Refusal) {
    refuse(writer.client(), refusal);
    leave(server, slot, writer);
}

/// Ends the connection of a client that has been told everything. Its slot is free before the
/// client has closed its end.
#[inline(never)]
fn leave(server: &Server, slot: Slot, writer: Arc<FrameWriter>) {
    writer.client().finish();
    let client = slot.take(writer);
    drop(slot);
    server.farewell().linger(client.into_socket());
}

/// Logs the refusal and answers the client with its status.
fn refuse(client: &Client, refusal: &Refusal) {
    notice::tell(client, refusal);
    if refusal.is_answered() && client.set_deadline(Instant::now() + REFUSAL_WAIT).is_ok() {
        // If this fails, the client has gone.
        let _ = response::refuse(client, refusal);
    }
}
