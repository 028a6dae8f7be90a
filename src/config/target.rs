//! Reads where the backend of a link is: `type`, `destination`, and the keys of one type only.

use std::path::PathBuf;

use super::choices::{BAUDS, FLOWS, HANGUPS, LinkType, PARITIES};
use super::endpoint::{SerialConfig, Target};
#[cfg(feature = "exec")]
use super::exec::read as program;
use super::keys::websocket::{
    ARGUMENTS, BAUD, DATABITS, DESTINATION, DIRECTORY, EXCLUSIVE, FLOW, HANGUP, LINK_PORT,
    MAXPROCESSES, PARITY, SOURCE, STOPBITS, TYPE,
};
use super::model::MAX_SOCKET_PATH;
use super::reader::Reader;
use super::schema::Key;

/// Keys of one type of link only.
const FOR_TYPE: [(&Key, LinkType, &str); 12] = [
    (&LINK_PORT, LinkType::Tcp, "tcp"),
    (&BAUD, LinkType::Tty, "tty"),
    (&DATABITS, LinkType::Tty, "tty"),
    (&PARITY, LinkType::Tty, "tty"),
    (&STOPBITS, LinkType::Tty, "tty"),
    (&FLOW, LinkType::Tty, "tty"),
    (&EXCLUSIVE, LinkType::Tty, "tty"),
    (&HANGUP, LinkType::Tty, "tty"),
    (&SOURCE, LinkType::Fifo, "fifo"),
    (&ARGUMENTS, LinkType::Exec, "exec"),
    (&DIRECTORY, LinkType::Exec, "exec"),
    (&MAXPROCESSES, LinkType::Exec, "exec"),
];

/// Reads where the backend of a link is.
pub(crate) fn target(reader: &Reader, kind: LinkType) -> Option<Target> {
    if kind == LinkType::Status {
        return status(reader);
    }
    let source = reader.text(&SOURCE).filter(|_| kind == LinkType::Fifo);
    let destination = match source {
        Some(_) => reader.text(&DESTINATION),
        None => reader.needed(&DESTINATION),
    };
    for (key, only, word) in FOR_TYPE {
        if reader.sets(key) && kind != only {
            let message = format!("'{}' is for links of type \"{word}\"", key.name);
            reader.error(key, message);
        }
    }
    let port = reader
        .number(&LINK_PORT)
        .and_then(|port| u16::try_from(port).ok());
    if kind == LinkType::Tcp {
        check_host(reader, destination.as_deref());
    }
    if kind == LinkType::Exec && !reader.built.exec {
        let message = "this ouistiti was built without programs (feature 'exec')";
        reader.error(&TYPE, message);
    }
    if let Some(source) = source {
        return Some(fifos(reader, source, destination));
    }
    let serial = serial(reader);
    let destination = destination?;
    if kind == LinkType::Unix && destination.len() > MAX_SOCKET_PATH {
        let message = format!("the path of a UNIX socket has at most {MAX_SOCKET_PATH} bytes");
        reader.error(&DESTINATION, message);
    }
    let path = PathBuf::from(&destination);
    match kind {
        LinkType::Unix => Some(Target::Unix(path)),
        LinkType::Tcp => port.map(|port| Target::Tcp(destination, port)),
        LinkType::Tty => Some(Target::Tty(path, serial)),
        LinkType::Fifo => Some(Target::Fifo(path)),
        LinkType::Status => None,
        LinkType::Exec => program(reader, path),
    }
}

/// Notes an error for a TCP server without a port, and for one whose port stands with its host.
fn check_host(reader: &Reader, host: Option<&str>) {
    let split = host.and_then(|host| host.rsplit_once(':'));
    let split = split.filter(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok());
    if let Some((host, port)) = split {
        let message =
            format!("'destination' is the host alone: destination = \"{host}\"; port = {port};");
        reader.error(&DESTINATION, message);
    } else if !reader.sets(&LINK_PORT) {
        reader.missing(&LINK_PORT);
    }
}

fn fifos(reader: &Reader, source: String, destination: Option<String>) -> Target {
    if destination.as_ref() == Some(&source) {
        let message = "the same fifo as 'destination': clients would hear what they send";
        reader.error(&SOURCE, message);
    }
    Target::Fifos {
        source: source.into(),
        destination: destination.map(PathBuf::from),
    }
}

#[cfg(not(feature = "exec"))]
fn program(_: &Reader, _: PathBuf) -> Option<Target> {
    None
}

/// The status service, which has no destination.
fn status(reader: &Reader) -> Option<Target> {
    if !reader.built.state {
        let message = "this ouistiti was built without it (feature 'state')";
        reader.error(&TYPE, message);
    }
    for key in [&DESTINATION, &LINK_PORT] {
        if reader.sets(key) {
            let message = format!("'{}' is not for links of type \"status\"", key.name);
            reader.error(key, message);
        }
    }
    Some(Target::Status)
}

fn serial(reader: &Reader) -> SerialConfig {
    let bits = |key| u8::try_from(reader.count(key)).unwrap_or_default();
    SerialConfig {
        baud: baud(reader),
        data_bits: bits(&DATABITS),
        parity: reader.choice(&PARITY, &PARITIES),
        stop_bits: bits(&STOPBITS),
        flow: reader.choice(&FLOW, &FLOWS),
        hang_up: reader.choice(&HANGUP, &HANGUPS),
        exclusive: reader.flag(&EXCLUSIVE),
    }
}

/// A speed that serial lines have.
fn baud(reader: &Reader) -> u32 {
    let baud = reader.count(&BAUD);
    if !BAUDS.contains(&baud.into()) {
        let distance = |known: &&i64| baud.abs_diff(u32::try_from(**known).unwrap_or_default());
        let near = BAUDS
            .iter()
            .min_by_key(distance)
            .copied()
            .unwrap_or_default();
        let message = format!("{baud} is not a speed of serial lines; the nearest is {near}");
        reader.error(&BAUD, message);
    }
    baud
}
