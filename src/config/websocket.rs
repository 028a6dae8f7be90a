//! The `websocket` section and its `links`.

use std::sync::Arc;
use std::time::Duration;

use glob::Pattern;

use super::choices::{FRAMETYPES, FRAMINGS, LINK_TYPES, LinkType, MODES, PROXIES};
use super::keys::websocket::{
    ALLOW, CONSOLE, DENY, DENYLAST, DOCROOT, FRAMETYPE, FRAMING, LINKS, LIST, MAXMESSAGE, MERGE,
    OPTIONS, ORIGIN, ORIGINS, PARK, PING, PROTOCOLS, PROXY, TYPE, WAIT,
};
use super::link::LinkConfig;
use super::login::{self, Surroundings};
use super::model::WebsocketConfig;
use super::patterns::{HostPattern, Origins, matches};
use super::reader::Reader;
use super::schema::Key;
use super::service::{FrameType, Framing, Protocols, ServiceConfig};
use super::sharing;
use super::suggest;
use super::target::target;

/// Reads the section of a server, which may have TLS. `around` says what its logins must know.
pub(crate) fn read(reader: &Reader, has_tls: bool, around: Surroundings) -> WebsocketConfig {
    let links = reader.list(&LINKS);
    let service = service(reader, has_tls);
    check_direct(reader, &service);
    let mut config = WebsocketConfig {
        docroot: around.base.join(reader.text(&DOCROOT).unwrap_or_default()),
        allow: names(reader, &ALLOW),
        deny: names(reader, &DENY),
        deny_last: reader.flag(&DENYLAST),
        origins: origins(reader),
        ping: Duration::from_secs(reader.count(&PING).into()),
        list: reader.flag(&LIST),
        console: console(reader),
        auth: login::read(reader, around),
        park: Some(reader.count(&PARK))
            .filter(|seconds| *seconds > 0)
            .map(|seconds| Duration::from_secs(seconds.into())),
        service: Arc::new(service),
        links: Vec::new(),
    };
    for entry in links {
        let entry = entry.within(reader);
        if let Some(link) = link(&entry, has_tls, around) {
            warn_of_link(&entry, &config, link.origin.as_str());
            warn_of_second(&entry, &config, link.origin.as_str());
            config.links.push(link);
        }
    }
    warn_of_allow(reader, &config);
    warn_of_deny(reader, &config);
    warn_of_docroot(reader, &config);
    config
}

/// Reads whether the console is shown, which a small build may lack.
fn console(reader: &Reader) -> bool {
    let console = reader.flag(&CONSOLE);
    if console && !reader.built.console {
        let message = "this ouistiti was built without the console (feature 'console')";
        reader.error(&CONSOLE, message);
    }
    console
}

/// Warns of an `allow` without a glob, which lets nothing in.
fn warn_of_allow(reader: &Reader, config: &WebsocketConfig) {
    if config.allow.is_empty() && reader.words(&ALLOW).is_some_and(|words| words.is_empty()) {
        let message = "this lets no name in; allow = \"*\"; lets in every name";
        reader.report.warning(reader.span(&ALLOW), message);
    }
}

/// Warns of `deny = "*"`. In the C gateway the names of `allow` are served in spite of it.
fn warn_of_deny(reader: &Reader, config: &WebsocketConfig) {
    if !config.deny_last && config.deny.iter().any(|glob| glob.as_str() == "*") {
        let message =
            "this refuses every name; denylast = true; lets in those that 'allow' matches";
        reader.report.warning(reader.span(&DENY), message);
    }
}

/// Warns of a docroot that cannot be entered, unless links serve every name, or are all there is.
fn warn_of_docroot(reader: &Reader, config: &WebsocketConfig) {
    let mut links = config.links.iter();
    let is_used = match reader.sets(&DOCROOT) {
        true => !links.any(|link| link.origin.as_str() == "*"),
        false => config.links.is_empty(),
    };
    if is_used {
        reader.check_directory(&DOCROOT, &config.docroot);
    }
}

/// Warns of a link to a name that is not allowed. The names that a glob matches are not known.
fn warn_of_link(reader: &Reader, config: &WebsocketConfig, name: &str) {
    if Pattern::escape(name) == name && !config.allows(name) {
        let message = format!("the name '{name}' is not allowed: see 'allow' and 'deny'");
        reader.report.warning(reader.span(&ORIGIN), message);
    }
}

/// Warns of a link to names that a link before it serves.
fn warn_of_second(reader: &Reader, config: &WebsocketConfig, name: &str) {
    let is_plain = Pattern::escape(name) == name;
    let serves = |first: &&LinkConfig| match name.is_empty() || !is_plain {
        true => first.origin.as_str() == name,
        false => matches(&first.origin, name),
    };
    if let Some(first) = config.links.iter().find(serves) {
        let message = format!(
            "this link is never used: the one before with origin = \"{}\" serves its clients",
            first.origin
        );
        reader.report.warning(reader.span(&ORIGIN), message);
    }
}

/// Reads how backends are spoken to: of the section, or of one link.
fn service(reader: &Reader, has_tls: bool) -> ServiceConfig {
    let service = ServiceConfig {
        direct: direct(reader, has_tls),
        frame_type: reader.choice(&FRAMETYPE, &FRAMETYPES),
        framing: reader.choice(&FRAMING, &FRAMINGS),
        max_message: reader.size(&MAXMESSAGE),
        protocols: protocols(reader),
        merge: reader.flag(&MERGE),
        proxy: reader.choice(&PROXY, &PROXIES),
        wait: Duration::from_secs(reader.count(&WAIT).into()),
        sharing: sharing::read(reader),
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
            None => {
                let hint = suggest::hint(&word, MODES.iter().map(|mode| mode.word));
                let message = format!("'{word}' is no option of ours and has no effect{hint}");
                reader.report.warning(reader.span(&OPTIONS), message);
            }
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

/// Notes an error for a PROXY header to a direct backend, whose library takes the first message for
/// the hand-over, and a warning for a type of messages that an old library does not know of.
fn check_direct(reader: &Reader, service: &ServiceConfig) {
    if service.direct && service.frame_type != FrameType::Auto && reader.sets(&FRAMETYPE) {
        let message = "in direct mode a backend needs libwebsocket.so for this: with the C \
             gateway's library it sends text";
        reader.report.warning(reader.span(&FRAMETYPE), message);
    }
    if service.proxy && service.direct {
        let message =
            "'proxy' cannot go with 'direct', where the backend gets the client's address anyway";
        reader.error(&PROXY, message);
    }
}

/// Reads globs over service names.
fn names(reader: &Reader, key: &'static Key) -> Vec<Pattern> {
    let words = reader.words(key).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| name(reader, key, word))
        .collect()
}

/// Reads one glob over service names. As in the C gateway `\*` is `*`, and a leading `^` or `/` and
/// a trailing `$` change nothing.
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
        Ok(_) if glob.is_empty() && !key.may_be_empty => {
            reader.error(key, "an empty glob matches nothing");
        }
        Ok(pattern) => return Some(pattern),
        Err(error) => reader.bad_glob(key, glob, &error),
    }
    None
}

/// Reads the words and globs of `origins`.
fn origins(reader: &Reader) -> Origins {
    let mut origins = Origins::default();
    for word in reader.words(&ORIGINS).unwrap_or_default() {
        match word.as_str() {
            "*" | "\\*" => origins.any = true,
            // Pages of the same origin always may.
            "same-origin" => {}
            "same-host" => origins.same_host = true,
            "null" => origins.null = true,
            "file" => origins.file = true,
            _ if word.contains('/') => {
                let message = format!(
                    "'{word}': an origin is given as its host alone, such as www.example.org"
                );
                reader.error(&ORIGINS, message);
            }
            _ => match HostPattern::new(&word.replace("\\*", "*")) {
                Ok(pattern) => origins.hosts.push(pattern),
                Err(error) => reader.bad_glob(&ORIGINS, &word, &error),
            },
        }
    }
    origins
}

/// Reads names of subprotocols, which are tokens (RFC 6455, section 4.1; RFC 9110, section 5.6.2).
fn protocols(reader: &Reader) -> Protocols {
    let Some(words) = reader.words(&PROTOCOLS) else {
        return Protocols::FirstOffered;
    };
    for word in &words {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !word.chars().all(token) {
            let message = format!(
                "'{word}' is not the name of a subprotocol: letters, digits and !#$%&'*+-.^_`|~"
            );
            reader.error(&PROTOCOLS, message);
        }
    }
    match words.iter().any(|word| word == "*") {
        true => Protocols::FirstOffered,
        false => Protocols::Listed(words),
    }
}

fn link(reader: &Reader, has_tls: bool, around: Surroundings) -> Option<LinkConfig> {
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
    if kind == LinkType::Status {
        // Each line is one message.
        service.framing = Framing::Line;
        service.frame_type = FrameType::Text;
        service.proxy = false;
    }
    check_direct(reader, &service);
    if let (Some(origin), Some(target)) = (&origin, &target) {
        sharing::check(reader, origin, target, &service);
    }
    let auth = login::read(reader, around);
    Some(LinkConfig {
        origin: origin?,
        target: target?,
        auth,
        service: Arc::new(service),
    })
}
