//! Opening: a line that has come from the process before an upgrade.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use log::warn;

use super::key::{Key, key_in_docroot, key_of};
use super::passed::{FORMAT, LOOK, Taken, WAIT, place};
use super::{Line, Share, shares, thread};
use crate::backend::Backend;
use crate::config::{SerialConfig, Target, WebsocketConfig};
use crate::server::clients::Clients;
use crate::system::reason::reason;
use crate::system::threads;

/// Serves a line that another process passes in this packet. `servers` are those of this process,
/// with their clients. Returns false if nothing here leads to it.
pub(crate) fn adopt<'a>(
    packet: &str,
    descriptors: Vec<OwnedFd>,
    servers: impl Iterator<Item = (&'a WebsocketConfig, &'a Arc<Clients>)>,
) -> bool {
    let lines: Vec<&str> = packet.lines().collect();
    let [FORMAT, place, name, begun, waiting] = lines[..] else {
        return false;
    };
    let (Ok(begun), Ok(waiting)) = (begun.parse(), waiting.parse()) else {
        return false;
    };
    let found = servers.filter_map(|(websocket, clients)| {
        key_at(websocket, place, name).map(|key| (key, Arc::clone(clients)))
    });
    let Some((key, clients)) = found.into_iter().next() else {
        return false;
    };
    let taken = take(&key, descriptors, begun, waiting);
    let begun = taken.and_then(|(taken, waiting)| begin(&key, taken, waiting, &clients));
    begun
        .inspect_err(|error| warn!("{name}: cannot be taken over: {}", reason(error)))
        .is_ok()
}

/// Reads what has come, and what waits for the line.
fn take(
    key: &Key,
    descriptors: Vec<OwnedFd>,
    begun: usize,
    waiting: usize,
) -> io::Result<(Taken, Vec<u8>)> {
    let mut descriptors = descriptors.into_iter();
    let mut bytes = File::from(descriptors.next().ok_or(io::ErrorKind::InvalidInput)?);
    let backend = Backend::taken_for(&key.target, &mut descriptors, key.ping)?;
    bytes.rewind()?;
    let [mut start, mut middle] = [begun, waiting].map(|length| vec![0; length]);
    bytes.read_exact(&mut start)?;
    bytes.read_exact(&mut middle)?;
    let mut said = Vec::new();
    bytes.read_to_end(&mut said)?;
    let taken = Taken {
        backend: Arc::new(backend),
        others: descriptors.collect(),
        begun: start,
        said,
    };
    Ok((taken, middle))
}

/// Begins a share with such a line, or lets one that waits for it go on.
///
/// # Errors
/// `ResourceBusy` if a client of this process has the line, or is about to; if there is no thread.
fn begin(key: &Key, taken: Taken, waiting: Vec<u8>, clients: &Arc<Clients>) -> io::Result<()> {
    let deadline = Instant::now() + WAIT;
    loop {
        let mut shares = shares();
        let found = shares.iter().find(|share| share.key.is_same(key)).cloned();
        match found {
            None => {
                let share = Share::begin(key.clone(), clients)?;
                share.go_on(taken, waiting)?;
                thread::start(&share, None, Arc::clone(clients))?;
                shares.push(share);
                return Ok(());
            }
            Some(share) if share.is_kept() && share.state().line != Line::Open => {
                share.go_on(taken, waiting)?;
                share.wake();
                return Ok(());
            }
            // A client looks whether it gets the line: that is over in a moment.
            Some(share) if share.state().line != Line::Open && Instant::now() < deadline => {}
            Some(_) => return Err(io::ErrorKind::ResourceBusy.into()),
        }
        drop(shares);
        threads::sleep(LOOK);
    }
}

/// The key of the line at a place, by a link or beneath docroot.
fn key_at(websocket: &WebsocketConfig, wanted: &str, name: &str) -> Option<Key> {
    let is_there = |target: &Target| place(target).is_some_and(|place| place == wanted);
    if let Some(link) = websocket.links.iter().find(|link| is_there(&link.target)) {
        return key_of(websocket, name, &link.target, &link.service);
    }
    let path = websocket.docroot.join(name);
    let beneath = [
        Target::Tty(path.clone(), SerialConfig::default()),
        Target::Fifo(path),
    ];
    let target = beneath.iter().find(|target| is_there(target))?;
    key_in_docroot(websocket, name, target)
}
