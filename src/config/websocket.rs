//! The `websocket` section and its `links`.

use super::choices::{BAUDS, FRAMETYPES, FRAMINGS, LINK_TYPES, LinkType, MODES, PROXIES};
use super::keys::websocket::{
    ALLOW, BAUD, DENY, DENYLAST, DESTINATION, DOCROOT, FRAMETYPE, FRAMING, LINK_PORT, LINKS,
    MAXMESSAGE, MERGE, OPTIONS, ORIGIN, ORIGINS, PING, PROTOCOLS, PROXY, TYPE, WAIT,
};
use super::reader::Reader;
use super::schema::Key;
use super::{Framing, LinkConfig, MAX_SOCKET_PATH, ServiceConfig, Target, WebsocketConfig};
use glob::Pattern;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Reads the section of a server, which may have TLS.
pub(crate) fn read(reader: &Reader, has_tls: bool) -> WebsocketConfig {
    let links = reader.list(&LINKS);
    let service = service(reader, has_tls);
    refuse_proxy_with_direct(reader, &service);
    let mut config = WebsocketConfig {
        docroot: reader.text(&DOCROOT).unwrap_or_default().into(),
        allow: names(reader, &ALLOW),
        deny: names(reader, &DENY),
        deny_last: reader.flag(&DENYLAST),
        origins: origins(reader),
        ping: Duration::from_secs(reader.count(&PING).into()),
        service,
        links: Vec::new(),
    };
    for entry in links {
        let entry = entry.within(reader);
        if let Some(link) = link(&entry, has_tls) {
            warn_of_link(&entry, &config, link.origin.as_str());
            config.links.push(link);
        }
    }
    config
}

/// A link to a name that is not allowed is of no use. What a glob matches nobody knows.
fn warn_of_link(reader: &Reader, config: &WebsocketConfig, name: &str) {
    if Pattern::escape(name) == name && !config.allows(name) {
        let message = format!("the name '{name}' is not allowed: see 'allow' and 'deny'");
        reader.report.warning(reader.span(&ORIGIN), message);
    }
}

/// How backends are spoken to: of the section, or of one link.
fn service(reader: &Reader, has_tls: bool) -> ServiceConfig {
    let service = ServiceConfig {
        direct: direct(reader, has_tls),
        frame_type: reader.choice(&FRAMETYPE, &FRAMETYPES),
        framing: reader.choice(&FRAMING, &FRAMINGS),
        max_message: reader.count(&MAXMESSAGE) as usize,
        protocols: protocols(reader),
        merge: reader.flag(&MERGE),
        proxy: reader.choice(&PROXY, &PROXIES),
        wait: Duration::from_secs(reader.count(&WAIT).into()),
    };
    if service.merge && service.framing != Framing::Stream && reader.sets(&MERGE) {
        let message = "'merge' has no effect here: it is for framing \"stream\"";
        reader.report.warning(reader.span(&MERGE), message);
    }
    service
}

fn direct(reader: &Reader, has_tls: bool) -> bool {
    let mut direct = false;
    for word in reader.words(&OPTIONS).unwrap_or_default() {
        match MODES.iter().find(|mode| mode.word == word) {
            Some(mode) => direct = mode.value,
            None => reader.unknown_word(&OPTIONS, &word, &MODES),
        }
    }
    if direct && has_tls {
        let message = "'direct' cannot go with tls: the backend would get the bare TCP socket, \
             on which all is encrypted; give direct services a server without tls";
        reader.error(&OPTIONS, message);
    }
    if direct && !reader.built.websocket_rt {
        let message = "this ouistiti was built without direct mode (feature 'websocket_rt')";
        reader.error(&OPTIONS, message);
    }
    direct
}

/// Nothing but the descriptor may come to a direct backend: its library takes
/// the first message for it.
fn refuse_proxy_with_direct(reader: &Reader, service: &ServiceConfig) {
    if service.proxy && service.direct {
        let message =
            "'proxy' cannot go with 'direct', where the backend gets the client's address anyway";
        reader.error(&PROXY, message);
    }
}

/// Globs over service names.
fn names(reader: &Reader, key: &'static Key) -> Vec<Pattern> {
    let words = reader.words(key).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| name(reader, key, word))
        .collect()
}

/// One glob over service names. The C gateway's notation is read as well:
/// `\*` is `*`, `^` and `$` and the leading `/` of a path change nothing.
fn name(reader: &Reader, key: &'static Key, word: &str) -> Option<Pattern> {
    let plain = word.replace("\\*", "*");
    let start = plain.strip_prefix('^').unwrap_or(&plain);
    let glob = start.strip_suffix('$').unwrap_or(start);
    let glob = glob.strip_prefix('/').unwrap_or(glob);
    if start.len() < plain.len() && !start.ends_with(['*', '$']) {
        let message = format!(
            "'{word}' means the name '{glob}' alone; write '{glob}*' for all that begin with it"
        );
        reader.report.warning(reader.span(key), message);
    }
    pattern(reader, key, glob)
}

fn pattern(reader: &Reader, key: &'static Key, glob: &str) -> Option<Pattern> {
    match Pattern::new(glob) {
        Ok(_) if glob.is_empty() => reader.error(key, "an empty glob matches nothing"),
        Ok(pattern) => return Some(pattern),
        Err(error) => {
            let message = format!(
                "'{glob}' is not a glob: {} (character {})",
                error.msg,
                error.pos + 1
            );
            reader.error(key, message);
        }
    }
    None
}

fn origins(reader: &Reader) -> Option<Vec<Pattern>> {
    let words = reader.words(&ORIGINS)?;
    let mut patterns = Vec::new();
    for word in words {
        let host = word.replace("\\*", "*").to_ascii_lowercase();
        if host.contains('/') {
            reader.error(
                &ORIGINS,
                format!("'{word}': an origin is given as its host alone, such as www.example.org"),
            );
            continue;
        }
        let glob = literal_ipv6(&host).unwrap_or(host);
        patterns.extend(pattern(reader, &ORIGINS, &glob));
    }
    Some(patterns)
}

/// A host or host and port that begin with an IPv6 address: its brackets are
/// no set of characters.
fn literal_ipv6(host: &str) -> Option<String> {
    let (address, rest) = host.strip_prefix('[')?.split_once(']')?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(Pattern::escape(&format!("[{address}]")) + rest)
}

/// Subprotocol names: tokens (RFC 6455, section 4.1; RFC 9110, section 5.6.2).
fn protocols(reader: &Reader) -> Vec<String> {
    let words = reader.words(&PROTOCOLS).unwrap_or_default();
    for word in &words {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !word.chars().all(token) {
            reader.error(
                &PROTOCOLS,
                format!(
                    "'{word}' is not the name of a subprotocol: letters, digits and !#$%&'*+-.^_`|~"
                ),
            );
        }
    }
    words
}

fn link(reader: &Reader, has_tls: bool) -> Option<LinkConfig> {
    let kind = reader.choice(&TYPE, &LINK_TYPES);
    let origin = reader
        .needed(&ORIGIN)
        .and_then(|word| name(reader, &ORIGIN, &word));
    let target = target(reader, kind);
    let mut service = service(reader, has_tls);
    if service.direct && kind != LinkType::Unix {
        if reader.sets(&OPTIONS) {
            let message = "'direct' needs a link of type \"unix\": only a UNIX socket can carry \
                 the client's socket";
            reader.error(&OPTIONS, message);
        }
        service.direct = false;
    }
    refuse_proxy_with_direct(reader, &service);
    Some(LinkConfig {
        origin: origin?,
        target: target?,
        service,
    })
}

fn target(reader: &Reader, kind: LinkType) -> Option<Target> {
    let destination = reader.needed(&DESTINATION);
    let port = reader
        .number(&LINK_PORT)
        .and_then(|port| u16::try_from(port).ok());
    let baud = reader.count(&BAUD);
    match kind {
        LinkType::Tcp if !reader.sets(&LINK_PORT) => reader.missing(&LINK_PORT),
        LinkType::Tcp => {}
        _ if reader.sets(&LINK_PORT) => {
            reader.error(&LINK_PORT, "'port' is for links of type \"tcp\"");
        }
        _ => {}
    }
    if reader.sets(&BAUD) && kind != LinkType::Tty {
        reader.error(&BAUD, "'baud' is for links of type \"tty\"");
    }
    if !BAUDS.contains(&baud.into()) {
        let near = BAUDS
            .iter()
            .min_by_key(|known| baud.abs_diff(u32::try_from(**known).unwrap_or_default()));
        let near = near.copied().unwrap_or_default();
        reader.error(
            &BAUD,
            format!("{baud} is not a speed of serial lines; the nearest is {near}"),
        );
    }
    let destination = destination?;
    if kind == LinkType::Unix && destination.len() > MAX_SOCKET_PATH {
        reader.error(
            &DESTINATION,
            format!("the path of a UNIX socket has at most {MAX_SOCKET_PATH} bytes"),
        );
    }
    let path = PathBuf::from(&destination);
    match kind {
        LinkType::Unix => Some(Target::Unix(path)),
        LinkType::Tcp => port.map(|port| Target::Tcp(destination, port)),
        LinkType::Tty => Some(Target::Tty(path, baud)),
        LinkType::Fifo => Some(Target::Fifo(path)),
    }
}
