//! After an upgrade: silent clients go over from the old process to the new one.
//!
//! A client goes over when both directions of its connection are parked: then nobody reads or
//! writes it, and its two sockets are all there is. The old process offers one client at a time,
//! and the new one answers; whoever it does not take is served by the old one to the end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use log::info;

use crate::daemon::upgrade::Successor;
use crate::listen::Servers;
use crate::server::clients::Clients;
use crate::system::{passing, threads};
use crate::websocket::pump::{MAX_PACKET, NOT_TAKEN, TAKEN};

/// Pause between two looks at who has become silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Passes clients on, on a thread of its own, until there are none or the new process takes none.
///
/// # Errors
/// If the thread cannot be created; as fcntl(2).
pub(crate) fn give(clients: Vec<(String, Arc<Clients>)>, to: &Successor) -> io::Result<()> {
    let (taker, pid) = (to.taker.try_clone()?, to.pid);
    threads::spawn("heirs", move || {
        while !clients.iter().all(|(_, clients)| clients.is_empty()) {
            let mut count = 0;
            for (server, clients) in &clients {
                match clients.parking().pass(server, taker.as_fd()) {
                    Ok(passed) => count += passed,
                    Err(_) => return,
                }
            }
            if count > 0 {
                info!("process {pid} has taken {count} silent clients over");
            }
            threads::sleep(LOOK_EVERY);
        }
    })
}

/// Takes a client that the process before this one offers. Returns false if that one is gone.
pub(crate) fn take(giver: &OwnedFd, servers: &Servers) -> bool {
    let mut packet = [0; MAX_PACKET];
    let Ok((length @ 1.., sockets)) = passing::receive(giver, &mut packet) else {
        return false;
    };
    let text = std::str::from_utf8(&packet[..length]);
    let is_taken = text.is_ok_and(|text| servers.adopt(text, sockets));
    let answer = if is_taken { TAKEN } else { NOT_TAKEN };
    passing::send(giver, &[answer], &[]).is_ok()
}
