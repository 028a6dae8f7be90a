//! One element of `servers`: its names, limits and sections.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::choices::{CLIENTAUTHS, ClientAuth, REDIRECTS};
use super::keys::tls::{CACHAIN, CERTIFICATES, CLIENTAUTH, CRTFILE, DHMFILE, KEYFILE};
use super::keys::{
    DEFAULTPAGE, DOCUMENT, DOCUMENT_ROOT, HEADSIZE, HOSTNAME, KEEPALIVETIMEOUT, MAXCLIENTS,
    MAXMEMORY, MAXPERIP, MAXTHREADS, REDIRECT, SERVER_ROOT, TLS, TRUSTED, WEBSOCKET,
};
use super::libconfig::source::Sources;
use super::login::Surroundings;
use super::model::{
    DocumentConfig, Listen, MaxPerIp, Network, Place, ServerConfig, TlsConfig, TlsPair,
};
use super::patterns::HostPattern;
use super::reader::Reader;
use super::schema::Kind;
use super::{addresses, login, websocket};

/// The port of https://.
const HTTPS: u16 = 443;

/// Default of `maxthreads` at most.
const DEFAULT_THREADS: usize = 256;

/// Reads one server of the files in `sources`.
pub(crate) fn read(reader: &Reader, sources: &Sources) -> ServerConfig {
    let tls_group = reader.group(&TLS);
    let websocket_group = reader.group(&WEBSOCKET);
    let document_group = reader.group(&DOCUMENT);
    if let (Some(tls), false) = (&tls_group, reader.built.tls) {
        let message =
            "this ouistiti was built without TLS (feature 'tls'): it cannot serve this server";
        reader.report.error(tls.here(), message);
    }
    if let (Some(websocket), false) = (&websocket_group, reader.built.websocket) {
        let message = "this ouistiti was built without the gateway (feature 'websocket')";
        reader.report.error(websocket.here(), message);
    }
    let redirects = reader.choice(&REDIRECT, &REDIRECTS);
    let serves = websocket_group.is_some() || document_group.is_some() || redirects;
    if !serves && !reader.report.has_errors() {
        let message = "this server serves nothing: it has neither 'websocket' nor 'document'";
        reader.report.warning(reader.here(), message);
    }
    let has_tls = tls_group.is_some();
    let base = PathBuf::from(reader.text(&SERVER_ROOT).unwrap_or_default());
    let place = sources.place(addresses::span(reader));
    let listen = addresses::listen(reader, has_tls);
    let tls = tls_group.and_then(|group| tls(&group, &base));
    let around = Surroundings {
        is_open: !has_tls && !listen.iter().all(Listen::is_local),
        asks_for_certificates: tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
        base: &base,
    };
    ServerConfig {
        hostnames: hostnames(reader),
        listen,
        listen_place: Place {
            path: place.path.to_owned(),
            line: place.line,
        },
        max_clients: reader.count(&MAXCLIENTS) as usize,
        max_memory: reader.size(&MAXMEMORY),
        max_threads: max_threads(reader),
        max_per_ip: max_per_ip(reader),
        head_timeout: head_timeout(reader),
        head_size: reader.size(&HEADSIZE),
        trusted: trusted(reader),
        redirect: redirects.then_some(HTTPS),
        auth: login::read(reader, around),
        websocket: websocket_group.map(|group| websocket::read(&group, has_tls, around)),
        document: document_group.and_then(|group| document(&group, around)),
        tls,
    }
}

fn hostnames(reader: &Reader) -> Vec<HostPattern> {
    let words = reader.words(&HOSTNAME).unwrap_or_default();
    let mut patterns = Vec::new();
    for word in words {
        match HostPattern::new(&word) {
            _ if word.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) => {
                let message = format!("'{word}' is not a host name: no scheme, no port, no path");
                reader.error(&HOSTNAME, message);
            }
            Ok(pattern) => patterns.push(pattern),
            Err(error) => reader.bad_glob(&HOSTNAME, &word, &error),
        }
    }
    patterns
}

/// As in the C gateway, 0 is the default.
fn head_timeout(reader: &Reader) -> Duration {
    let seconds = match (reader.count(&KEEPALIVETIMEOUT), &KEEPALIVETIMEOUT.kind) {
        (0, Kind::Number(Some(default), ..)) => u64::try_from(*default).unwrap_or_default(),
        (seconds, _) => seconds.into(),
    };
    Duration::from_secs(seconds)
}

fn max_threads(reader: &Reader) -> usize {
    match reader.number(&MAXTHREADS) {
        Some(limit) => usize::try_from(limit).unwrap_or(DEFAULT_THREADS),
        None => (2 * reader.count(&MAXCLIENTS) as usize).min(DEFAULT_THREADS),
    }
}

fn max_per_ip(reader: &Reader) -> MaxPerIp {
    match reader.number(&MAXPERIP) {
        Some(limit) => MaxPerIp::Set(usize::try_from(limit).unwrap_or_default()),
        None => MaxPerIp::Default,
    }
}

fn trusted(reader: &Reader) -> Vec<Network> {
    let words = reader.words(&TRUSTED).unwrap_or_default();
    let mut networks = Vec::new();
    for word in words {
        match network(&word) {
            Some(network) => networks.push(network),
            None => reader.error(
                &TRUSTED,
                format!("'{word}' is not a network such as 10.0.0.0/8, fd00::/8 or 127.0.0.1"),
            ),
        }
    }
    networks
}

fn network(word: &str) -> Option<Network> {
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (word, None),
    };
    let address = address.parse::<IpAddr>().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(whole);
    (prefix <= whole).then_some(Network { address, prefix })
}

fn tls(reader: &Reader, base: &Path) -> Option<TlsConfig> {
    reader.text(&DHMFILE);
    let mut pairs = vec![pair(reader, base)];
    let further = reader.list(&CERTIFICATES);
    pairs.extend(further.iter().map(|reader| pair(reader, base)));
    let client_auth = reader.choice(&CLIENTAUTH, &CLIENTAUTHS);
    let client_ca = reader.text(&CACHAIN).map(|path| base.join(path));
    let is_asked = client_auth != ClientAuth::None;
    match &client_ca {
        None if is_asked => {
            let message = "'clientauth' needs 'cachain', the authorities of the certificates";
            reader.error(&CLIENTAUTH, message);
        }
        Some(_) if !reader.sets(&CLIENTAUTH) => {
            let message = "'cachain' has no effect: nobody is asked for a certificate unless \
                           clientauth is \"required\" or \"optional\"";
            reader.report.warning(reader.span(&CACHAIN), message);
        }
        _ => {}
    }
    Some(TlsConfig {
        pairs: pairs.into_iter().collect::<Option<_>>()?,
        client_ca: client_ca.filter(|_| is_asked),
        client_auth_optional: client_auth == ClientAuth::Optional,
    })
}

fn pair(reader: &Reader, base: &Path) -> Option<TlsPair> {
    let certificate = reader.needed(&CRTFILE).map(|path| base.join(path));
    let key = reader.needed(&KEYFILE).map(|path| base.join(path));
    Some(TlsPair {
        certificate: certificate?,
        key: key?,
    })
}

fn document(reader: &Reader, around: Surroundings) -> Option<DocumentConfig> {
    let docroot = reader.needed(&DOCUMENT_ROOT);
    let docroot = docroot.map(|path| around.base.join(path));
    let auth = login::read(reader, around);
    let default_page = reader.text(&DEFAULTPAGE).unwrap_or_default();
    if default_page.contains('/') {
        let message = "'defaultpage' is the name of a file, without '/'";
        reader.error(&DEFAULTPAGE, message);
    }
    let docroot = docroot?;
    reader.check_directory(&DOCUMENT_ROOT, &docroot);
    Some(DocumentConfig {
        docroot,
        default_page,
        auth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_and_a_prefix_that_fits() {
        let local = IpAddr::from([10, 0, 0, 0]);
        assert_eq!(
            network("10.0.0.0/8"),
            Some(Network {
                address: local,
                prefix: 8
            })
        );
        assert_eq!(network("::1").map(|network| network.prefix), Some(128));
        for word in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "x"] {
            assert_eq!(network(word), None, "{word}");
        }
    }
}
